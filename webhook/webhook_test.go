package webhook_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/alertrelay/relay/webhook"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/alertrelay/relay/internal/parts.onMainThread.func1.1"))
}

// intake is an Intake made of a function.
type intake func(ctx context.Context, r webhook.Request) (webhook.Answer, error)

func (i intake) Take(ctx context.Context, r webhook.Request) (webhook.Answer, error) {
	return i(ctx, r)
}

// take accepts everything.
func take(_ context.Context, r webhook.Request) (webhook.Answer, error) {
	return webhook.Answer{ID: r.Notification.ID}, nil
}

// newHandler fills in what a test does not care about.
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

// send makes one request to h. Headers are "Name: value".
func send(h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// logs collects what is logged.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
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
			w := send(h, http.MethodPost, "/webhook", string(body))
			require.Equal(t, http.StatusOK, w.Code, w.Body)
		})
	}
}

// TestPaths: a path either takes a webhook or refuses it, and never points elsewhere.
func TestPaths(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		method, target string
		code           int
		allow          string
	}{
		{http.MethodPost, "/webhook", 200, ""},
		{http.MethodPost, "/webhook/ops", 200, ""},
		{http.MethodPost, "/webhook/", 404, ""},
		{http.MethodPost, "/webhook/ops/", 404, ""},
		{http.MethodPost, "//webhook", 404, ""},
		{http.MethodPost, "/webhook//ops", 404, ""},
		{http.MethodPost, "/./webhook", 404, ""},
		{http.MethodPost, "/Webhook", 404, ""},
		{http.MethodPost, "/", 404, ""},
		{http.MethodPost, "/webhook/%zz", 400, ""},
		{http.MethodGet, "/webhook", 405, "POST"},
		{http.MethodHead, "/webhook/ops", 405, "POST"},
		{http.MethodPut, "/webhook", 405, "POST"},
		{http.MethodDelete, "/-/healthy", 405, "GET, HEAD"},
		{http.MethodGet, "/-/reload", 404, ""}, // not offered by this handler
	} {
		t.Run(tc.method+" "+tc.target, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(newHandler(t, webhook.Options{}))
			defer server.Close()
			r, err := http.NewRequestWithContext(t.Context(), tc.method, server.URL, strings.NewReader(least))
			require.NoError(t, err)
			r.URL.Opaque = tc.target // as it is, also when no URL would be written so
			client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			resp, err := client.Do(r)
			require.NoError(t, err)
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, tc.code, resp.StatusCode, "%s", body)
			require.Empty(t, resp.Header.Get("Location"))
			require.Equal(t, tc.allow, resp.Header.Get("Allow"))
		})
	}
}
