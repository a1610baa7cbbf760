package webhook_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/webhook"
)

// intake is an Intake made of a function.
type intake func(ctx context.Context, r webhook.Request) (webhook.Answer, error)

func (i intake) Take(ctx context.Context, r webhook.Request) (webhook.Answer, error) {
	return i(ctx, r)
}

// take accepts everything.
func take(_ context.Context, r webhook.Request) (webhook.Answer, error) {
	return webhook.Answer{ID: r.Notification.ID}, nil
}

func newHandler(tb testing.TB, o webhook.Options) http.Handler {
	tb.Helper()
	if o.Intake == nil {
		o.Intake = intake(take)
	}
	if o.Metrics == nil {
		o.Metrics = webhook.NewMetrics(prometheus.NewRegistry())
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return webhook.New(o)
}

// TestRealBodies: everything a real Alertmanager sent is taken.
func TestRealBodies(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/payloads/*/*.json")
	require.NoError(t, err)
	require.Greater(t, len(files), 100)
	h := newHandler(t, webhook.Options{})
	for _, file := range files {
		t.Run(strings.TrimPrefix(file, "testdata/payloads/"), func(t *testing.T) {
			t.Parallel()
			body, err := os.ReadFile(file)
			require.NoError(t, err)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/webhook", strings.NewReader(string(body))))
			require.Equal(t, http.StatusOK, w.Code, w.Body)
		})
	}
}
