package app_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/sandbox"
)

// TestExemplarsOfStrangers are shown as text; and when Prometheus hangs the alert is told without.
func TestExemplarsOfStrangers(t *testing.T) {
	t.Parallel()
	const hostile = `<b>*[trace](http://evil)*</b>\u0000\u202e @all <!channel>`
	var hangs atomic.Bool
	release := make(chan struct{})
	prometheus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if hangs.Load() {
			<-release
		}
		fmt.Fprintf(w, `{"status":"success","data":[{"seriesLabels":{"service":"pay"},"exemplars":[{"labels":{"trace_id":"%s",
			"room_id":%q},"value":"1","timestamp":%d}]}]}`, hostile, strings.Repeat("1", 1<<14), time.Now().Unix())
	}))
	defer prometheus.Close()
	defer close(release)
	box, text := vendors(t)
	text = strings.Replace(text, "snapshots: {", fmt.Sprintf("snapshots: {exemplars: {url: %q}, ", prometheus.URL), 1)
	p := start(t, t.TempDir(), text, nil)
	alert := func(name string) *relay.Notification {
		a := firing(name)
		a.Annotations = template.KV{"summary": name}
		a.StartsAt = time.Now()
		a.GeneratorURL = "http://prometheus.attacker.example/graph?g0.expr=" + name
		return notification(name, a)
	}
	p.accept(t, "accepted", alert("first"))
	for _, inbox := range inboxes() {
		message := await(t, box, inbox, 1)
		require.Contains(t, message, "trace", inbox)
		require.NotContains(t, message, "11111111", "a room as long as this is none")
		require.NotContains(t, message, "\u202e", inbox)
		require.NotContains(t, message, "<!channel>", inbox)
		if inbox == sandbox.InboxDingTalk || inbox == sandbox.InboxWeCom {
			require.NotContains(t, message, "[trace](http://evil)", inbox)
		}
	}
	require.NotEqual(t, "0", p.metric(t, `relay_enrichment_values_altered_total{source="exemplar"}`))

	hangs.Store(true)
	for i := range 6 {
		p.accept(t, "accepted", alert(fmt.Sprint("without", i)))
	}
	for _, inbox := range inboxes() {
		require.NotContains(t, await(t, box, inbox, 7), "evil", inbox)
	}
	require.Equal(t, "5", p.metric(t, `relay_enrichment_lookups_total{outcome="failed",source="exemplar"}`))
	require.Equal(t, "1", p.metric(t, `relay_enrichment_lookups_total{outcome="rested",source="exemplar"}`))
	require.NotContains(t, p.logs.String(), prometheus.URL)
}

// TestAStormWhilePrometheusIsDown: two hundred webhooks at once are all accepted, well before Alertmanager would give up, and
// Prometheus is not asked for each of them.
func TestAStormWhilePrometheusIsDown(t *testing.T) {
	t.Parallel()
	const webhooks = 200
	for _, tt := range []struct {
		name       string
		prometheus func(t *testing.T) (url string)
	}{
		{"refuses connections", func(t *testing.T) string {
			t.Helper()
			return "http://" + parts.FreeAddress(t)
		}},
		{"hangs", func(t *testing.T) string {
			t.Helper()
			release := make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
			t.Cleanup(server.Close)
			t.Cleanup(func() { close(release) })
			return server.URL
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, t.TempDir(), fmt.Sprintf("snapshots: {exemplars: {url: %q}}\n"+
				"route: {receiver: ops}\nreceivers: [{name: ops}]\n", tt.prometheus(t)), nil)
			storm := func(name string) map[int]int {
				var mu sync.Mutex
				var all sync.WaitGroup
				codes := map[int]int{}
				for i := range webhooks {
					a := firing(fmt.Sprint(name, i))
					a.Annotations, a.GeneratorURL = nil, "http://prometheus:9090/graph?g0.expr="+a.Labels["alertname"]
					all.Go(func() {
						code, _ := p.post(t, "/webhook", notification(fmt.Sprint(name, i), a))
						mu.Lock()
						defer mu.Unlock()
						codes[code]++
					})
				}
				all.Wait()
				return codes
			}
			require.Equal(t, map[int]int{http.StatusOK: webhooks}, storm("first"))
			require.NotEqual(t, "0", p.metric(t, `relay_enrichment_lookups_total{outcome="failed",source="exemplar"}`))
			require.Equal(t, map[int]int{http.StatusOK: webhooks}, storm("second"))
			rested, err := strconv.Atoi(p.metric(t, `relay_enrichment_lookups_total{outcome="rested",source="exemplar"}`))
			require.NoError(t, err)
			require.GreaterOrEqual(t, rested, webhooks/2, "what is down is left alone")
		})
	}
}

// TestReloadCanBringExemplars: a Prometheus in the new configuration is asked from then on.
func TestReloadCanBringExemplars(t *testing.T) {
	t.Parallel()
	prometheus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"status":"success","data":[{"exemplars":[{"labels":{"trace_id":"0af7651916cd43dd"},"timestamp":1}]}]}`)
	}))
	defer prometheus.Close()
	box, text := vendors(t)
	p := start(t, t.TempDir(), text, nil)
	p.configure(t, strings.Replace(text, "snapshots: {", fmt.Sprintf("snapshots: {exemplars: {url: %q}, ", prometheus.URL), 1))
	code, answer := p.do(t, http.MethodPost, "/-/reload", nil)
	require.Equal(t, http.StatusOK, code, string(answer))
	a := firing("checkout")
	a.Annotations, a.GeneratorURL = nil, "http://prometheus:9090/graph?g0.expr=up"
	p.accept(t, "accepted", notification("Down", a))
	require.Contains(t, await(t, box, sandbox.InboxSlack, 1), "http://jaeger:16686/trace/0af7651916cd43dd")
}
