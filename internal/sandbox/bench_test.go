package sandbox_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/alertrelay/relay/internal/sandbox"
)

// What one message costs the emulator when it only counts: it must not be what a load test measures.
func BenchmarkCountOnly(b *testing.B) {
	sb, err := sandbox.Start(sandbox.Options{CountOnly: true})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = sb.Close() }()
	url := sb.DingTalk.Add(sandbox.DingTalkRobot{Token: "t", Limit: sandbox.NoLimit()})
	body := `{"msgtype":"markdown","markdown":{"title":"t","text":"` + strings.Repeat("x", 1000) + `"},"msgUuid":""}`
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, url, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		sb.Handler().ServeHTTP(httptest.NewRecorder(), r)
	}
	if n := sb.Counts("dingtalk").Delivered; n != b.N {
		b.Fatalf("%d of %d delivered", n, b.N)
	}
}
