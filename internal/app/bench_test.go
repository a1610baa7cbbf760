package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/internal/app"
)

// BenchmarkPath is a notification from the webhook to the vendor, the embedded store and fsync between.
func BenchmarkPath(b *testing.B) {
	var delivered sync.WaitGroup
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"errcode":0,"errmsg":"ok"}`)
		delivered.Done()
	}))
	defer vendor.Close()
	c, err := config.Parse("config.yaml", fmt.Appendf(nil, `
route: {receiver: ops}
receivers:
  - name: ops
    dingtalk_configs: [{name: robot, url: "%s/robot/send?access_token=t", rate_limit: {messages: 0}}]
`, vendor.URL))
	require.NoError(b, err)
	a, err := app.New(b.Context(), c, app.Options{
		StoragePath: b.TempDir(),
		Logger:      slog.New(slog.NewTextHandler(io.Discard, nil)), //nolint:sloglint // what a line costs counts
	})
	require.NoError(b, err)
	ended := make(chan error, 1)
	go func() { ended <- a.Run(b.Context()) }()
	require.Eventually(b, func() bool { return a.Ready() == nil }, wait, tick)

	var number atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n := notification(fmt.Sprint("G", number.Add(1)), firing("checkout"))
			body, _ := json.Marshal(n)
			delivered.Add(1)
			w := httptest.NewRecorder()
			a.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/webhook", bytes.NewReader(body)))
			if w.Code != http.StatusOK {
				b.Error(w.Code, w.Body)
			}
		}
	})
	delivered.Wait()
}
