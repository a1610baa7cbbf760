package enrich_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/enrich"
	"github.com/alertrelay/relay/internal/fault"
)

// answers is a Prometheus that answers query_exemplars with the same, whatever it is asked.
func answers(t *testing.T, code int, data any) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var asked atomic.Int64
	body, err := json.Marshal(map[string]any{"status": "success", "data": data})
	require.NoError(t, err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(code)
		_, _ = w.Write(body)
	}))
	t.Cleanup(server.Close)
	return server, &asked
}

// exemplars is the source that asks the Prometheus at url.
func exemplars(t *testing.T, url string, cfg enrich.Config) enrich.Source {
	t.Helper()
	if cfg.Exemplars == nil {
		cfg.Exemplars = &enrich.Exemplars{URL: url}
	}
	source, err := enrich.FromExemplars(cfg)
	require.NoError(t, err)
	return source
}

// of is an alert of the rule with an expression, on another host's graph.
func of(expression string, labels kv) relay.Alert {
	a := alert("a", labels, nil)
	a.GeneratorURL = "http://prometheus.attacker.example:9090/graph?g0.expr=" + url.QueryEscape(expression) + "&g0.tab=1"
	return a
}

type (
	series   = map[string]any
	sequence = []map[string]any
)

// seen is an exemplar so many seconds after the alert began.
func seen(labels kv, value string, after float64) map[string]any {
	return map[string]any{"labels": labels, "value": value, "timestamp": float64(start.Unix()) + after}
}

func TestExemplarOfAnAlert(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		labels kv
		known  string // trace
		data   []series
		want   string // trace and room
	}{
		{"none", nil, "", nil, " "},
		{"trace and room", nil, "", []series{
			{"seriesLabels": kv{"code": "500"}, "exemplars": sequence{seen(kv{"trace_id": "t1", "room_id": "7"}, "1", -60)}},
		}, "t1 7"},
		{"the usual names of a trace", nil, "", []series{
			{"seriesLabels": kv{}, "exemplars": sequence{seen(kv{"traceId": "t1"}, "1", 0)}},
		}, "t1 "},
		{"configured names", nil, "", []series{
			{"seriesLabels": kv{}, "exemplars": sequence{seen(kv{"trace_id": "t1", "room": "7"}, "1", 0)}},
		}, "t1 7"},
		{"without a trace it is none", nil, "", []series{
			{"seriesLabels": kv{}, "exemplars": sequence{seen(kv{"room_id": "7"}, "1", 0)}},
		}, " "},
		{"the newest of a counter", nil, "", []series{
			{"seriesLabels": kv{"path": "/a"}, "exemplars": sequence{seen(kv{"trace_id": "t1"}, "5", -9), seen(kv{"trace_id": "t2"}, "1", -3)}},
			{"seriesLabels": kv{"path": "/b"}, "exemplars": sequence{seen(kv{"trace_id": "t3"}, "1", -6)}},
		}, "t2 "},
		{"of a ratio one that failed", nil, "", []series{
			{"seriesLabels": kv{"code": "200"}, "exemplars": sequence{seen(kv{"trace_id": "ok"}, "1", 0)}},
			{"seriesLabels": kv{"code": "503"}, "exemplars": sequence{seen(kv{"trace_id": "failed"}, "1", -9)}},
		}, "failed "},
		{"of a histogram the largest", nil, "", []series{
			{"seriesLabels": kv{"le": "1", "code": "500"}, "exemplars": sequence{seen(kv{"trace_id": "quick"}, "0.2", 0)}},
			{"seriesLabels": kv{"le": "+Inf"}, "exemplars": sequence{seen(kv{"trace_id": "slow"}, "12.5", -99)}},
		}, "slow "},
		{"of a series that the alert may be about", kv{"service": "pay", "severity": "page"}, "", []series{
			{"seriesLabels": kv{"service": "cart"}, "exemplars": sequence{seen(kv{"trace_id": "cart"}, "1", 0)}},
			{"seriesLabels": kv{"service": "pay", "pod": "x"}, "exemplars": sequence{seen(kv{"trace_id": "pay"}, "1", -9)}},
		}, "pay "},
		{"of the trace that is known", nil, "t1", []series{
			{"seriesLabels": kv{}, "exemplars": sequence{
				seen(kv{"trace_id": "t2", "room_id": "2"}, "1", 0), seen(kv{"trace_id": "t1", "room_id": "1"}, "1", -9),
			}},
		}, "t1 1"},
		{"of no other trace", nil, "t1", []series{
			{"seriesLabels": kv{}, "exemplars": sequence{seen(kv{"trace_id": "t2", "room_id": "2"}, "1", 0)}},
		}, " "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server, _ := answers(t, http.StatusOK, tc.data)
			source := exemplars(t, server.URL, enrich.Config{Fields: map[string][]string{"room_id": {"room_id", "room"}}})
			a := of("up", tc.labels)
			a.Snapshot.TraceID = tc.known
			known, err := source.Find(t.Context(), relay.Alerts{a})
			require.NoError(t, err)
			require.Equal(t, tc.want, known[0].TraceID+" "+known[0].RoomID)
			require.Equal(t, tc.want == " ", known[0].Time.IsZero())
		})
	}
}

// TestExemplarsAreAskedForOnce for each expression, at the configured Prometheus, around the alert.
func TestExemplarsAreAskedForOnce(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, fmt.Sprintf("%s %s %s:%s %s from %s to %s", r.Method, r.URL, user, password,
			r.PostFormValue("query"), r.PostFormValue("start"), r.PostFormValue("end")))
		_, _ = io.WriteString(w, `{"status":"success","data":[{"seriesLabels":{},"exemplars":[
			{"labels":{"trace_id":"`+r.PostFormValue("query")+`"},"value":"1","timestamp":1795161600.5}]}]}`)
	}))
	defer server.Close()
	f := fault.New()
	cfg := enrich.Config{MaxAge: model.Duration(5 * time.Minute), Exemplars: &enrich.Exemplars{URL: server.URL + "/prometheus/"}}
	cfg.Exemplars.HTTPConfig = basicAuth("reader", "s3cret")
	cfg.Validate(f)
	require.Empty(t, f.All())
	source := exemplars(t, "", cfg)

	var alerts relay.Alerts
	for range 500 {
		alerts = append(alerts, of("a > 1", nil), of("b", nil), alert("none", nil, nil))
	}
	for i := range alerts {
		alerts[i].StartsAt = time.Date(2020, 1, 1, 0, 0, 30, 0, time.UTC)
	}
	for range 2 { // the second from the cache
		known, err := source.Find(t.Context(), alerts)
		require.NoError(t, err)
		require.Len(t, known, len(alerts))
		for i := range known {
			require.Equal(t, []string{"a > 1", "b", ""}[i%3], known[i].TraceID)
		}
	}
	require.ElementsMatch(t, []string{
		"POST /prometheus/api/v1/query_exemplars reader:s3cret a > 1 from 1577836500.000 to 1577837100.000",
		"POST /prometheus/api/v1/query_exemplars reader:s3cret b from 1577836500.000 to 1577837100.000",
	}, asked)
}

func basicAuth(user, password string) *promconfig.HTTPClientConfig {
	c := promconfig.DefaultHTTPClientConfig
	c.BasicAuth = &promconfig.BasicAuth{Username: user, Password: promconfig.Secret(password)}
	return &c
}

func TestWhatIsNotAskedFor(t *testing.T) {
	t.Parallel()
	server, asked := answers(t, http.StatusOK, nil)
	source := exemplars(t, server.URL, enrich.Config{})
	for _, link := range []string{
		"", "http://prometheus/graph", "http://prometheus/graph?g0.expr=", "://", "http://grafana/alerting/grafana/x/view",
		"http://vmalert/vmalert/alert?group_id=1&alert_id=2",
		"http://prometheus/graph?g0.expr=" + strings.Repeat("a", 17<<10), "?g0.expr=" + strings.Repeat("a", 1<<20),
	} {
		a := alert("a", nil, nil)
		a.GeneratorURL = link
		known, err := source.Find(t.Context(), relay.Alerts{a})
		require.NoError(t, err)
		require.True(t, len(known) == 0 || known[0].IsZero())
	}
	require.Zero(t, asked.Load())
}

func TestExemplarsOfAPrometheusThatFails(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		handler http.HandlerFunc
		want    string // nothing: no failure of Prometheus
		timeout time.Duration
	}{
		{"an expression it cannot read", status(http.StatusBadRequest), "", time.Minute},
		{"one it cannot answer", status(http.StatusUnprocessableEntity), "", time.Minute},
		{"unavailable", status(http.StatusServiceUnavailable), "query exemplars: it answers 503 Service Unavailable", time.Minute},
		{"not a Prometheus", status(http.StatusNotFound), "query exemplars: it answers 404 Not Found", time.Minute},
		{"elsewhere", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/login", http.StatusFound)
		}, "query exemplars: it answers 302 Found", time.Minute},
		{"a page", text("<html>"), "query exemplars: decode answer: ", time.Minute},
		{"an error", text(`{"status":"error"}`), `query exemplars: the answer has status "error"`, time.Minute},
		{"endless", func(w http.ResponseWriter, _ *http.Request) {
			for range 5 << 10 {
				_, _ = w.Write(make([]byte, 1<<10))
			}
		}, "query exemplars: the answer is longer than 4194304 bytes", time.Minute},
		{"silent", func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		}, "query exemplars: timeout: ", 100 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				_, _ = io.Copy(io.Discard, r.Body) // only then the server sees that the client has gone
				tc.handler(w, r)
			}))
			defer server.Close()
			source := exemplars(t, "", enrich.Config{Exemplars: &enrich.Exemplars{
				URL: server.URL, Timeout: model.Duration(tc.timeout),
			}})
			for i := range int64(2) {
				known, err := source.Find(t.Context(), relay.Alerts{of("up", nil)})
				if tc.want == "" {
					require.NoError(t, err)
					require.True(t, known[0].IsZero())
					require.EqualValues(t, 1, asked.Load(), "asked again")
					continue
				}
				require.ErrorContains(t, err, tc.want)
				require.NotContains(t, err.Error(), server.URL)
				if tc.timeout == time.Minute { // else it may have been given up before it arrived
					require.Equal(t, i+1, asked.Load(), "a failure is not kept")
				}
			}
		})
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
}

// TestExemplarsBehindRecordedSeries: a recorded series has none itself.
func TestExemplarsBehindRecordedSeries(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, expression, rules, want string }{
		{
			"one", "job:errors:rate5m > 1", `{"type":"recording","name":"job:errors:rate5m","query":"rate(errors[5m])"}`,
			"job:errors:rate5m > 1 → (rate(errors[5m])) → t",
		},
		{
			"two", "a:b / c:d > 1",
			`{"type":"recording","name":"a:b","query":"b"},{"type":"recording","name":"c:d","query":"rate(errors[5m])"}`,
			"a:b / c:d > 1 → (b) or (rate(errors[5m])) → t",
		},
		{
			"of a recorded one", "a:b",
			`{"type":"recording","name":"a:b","query":"c:d"},{"type":"recording","name":"c:d","query":"rate(errors[5m])"}`,
			"a:b → (c:d) → (rate(errors[5m])) → t",
		},
		{
			"a name that begins with a colon", ":errors:rate5m > 1",
			`{"type":"recording","name":":errors:rate5m","query":"rate(errors[5m])"}`, ":errors:rate5m > 1 → (rate(errors[5m])) → t",
		},
		{
			"a colon elsewhere", `up{instance="a:b",job='a\'a:b'}[5m:m]`,
			`{"type":"recording","name":"a:b","query":"rate(errors[5m])"}`, `up{instance="a:b",job='a\'a:b'}[5m:m]`,
		},
		{"of itself", "a:b", `{"type":"recording","name":"a:b","query":"a:b"}`, "a:b → (a:b) → (a:b) → (a:b)"},
		{"an alert of the name", "a:b", `{"type":"alerting","name":"a:b","query":"rate(errors[5m])"}`, "a:b"},
		{"an unknown one", "a:b", `{"type":"recording","name":"c:d","query":"rate(errors[5m])"}`, "a:b"},
		{"no rules to be had", "a:b", `no JSON`, "a:b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var asked []string
			transport := roundTrip(func(r *http.Request) *http.Response {
				answer := `{"status":"success","data":[]}`
				if r.URL.Path == "/api/v1/rules" {
					answer = `{"status":"success","data":{"groups":[{"rules":[` + tc.rules + `]}]}}`
				} else {
					asked = append(asked, r.PostFormValue("query"))
				}
				if strings.Contains(r.PostFormValue("query"), "rate(errors[5m])") {
					answer = `{"status":"success","data":[{"exemplars":[{"labels":{"trace_id":"t"},"timestamp":1}]}]}`
				}
				return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(answer))}
			})
			known, err := enrich.ExemplarsWith(transport).Find(t.Context(), relay.Alerts{of(tc.expression, nil)})
			require.NoError(t, err)
			if known[0].TraceID != "" {
				asked = append(asked, known[0].TraceID)
			}
			require.Equal(t, tc.want, strings.Join(asked, " → "))
		})
	}
}

// TestOneFailureOfSeveral: what is known of the others is told.
func TestOneFailureOfSeveral(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("query") == "bad" {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, `{"status":"success","data":[{"exemplars":[{"labels":{"trace_id":"t"},"timestamp":1}]}]}`)
	}))
	defer server.Close()
	source := exemplars(t, server.URL, enrich.Config{})
	known, err := source.Find(t.Context(), relay.Alerts{of("bad", nil), of("good", nil)})
	require.NoError(t, err)
	require.True(t, known[0].IsZero())
	require.Equal(t, "t", known[1].TraceID)
	_, err = source.Find(t.Context(), relay.Alerts{of("bad", nil)})
	require.Error(t, err)
}

// TestOneNotificationAsksALittle: a forged one cannot make the relay ask thousands of questions.
func TestOneNotificationAsksALittle(t *testing.T) {
	t.Parallel()
	server, asked := answers(t, http.StatusOK, nil)
	source := exemplars(t, server.URL, enrich.Config{})
	var alerts relay.Alerts
	for i := range 1000 {
		alerts = append(alerts, of(fmt.Sprintf("a > %d", i), nil))
	}
	_, err := source.Find(t.Context(), alerts)
	require.NoError(t, err)
	require.EqualValues(t, 16, asked.Load())
}

// TestNotificationsShareAQuery that is under way, and the one that came first may be given up.
func TestNotificationsShareAQuery(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			close(arrived)
		}
		<-release
		_, _ = io.WriteString(w, `{"status":"success","data":[{"exemplars":[{"labels":{"trace_id":"t"},"timestamp":1}]}]}`)
	}))
	defer server.Close()
	source := exemplars(t, "", enrich.Config{Exemplars: &enrich.Exemplars{URL: server.URL, Timeout: model.Duration(time.Minute)}})
	first, giveUp := context.WithCancelCause(t.Context())
	var finds sync.WaitGroup
	finds.Go(func() { _, _ = source.Find(first, relay.Alerts{of("up", nil)}) })
	<-arrived
	for range 50 {
		finds.Go(func() {
			known, err := source.Find(t.Context(), relay.Alerts{of("up", nil)})
			if err != nil || known[0].TraceID != "t" {
				t.Errorf("got %v, %v", known, err)
			}
		})
	}
	giveUp(errors.New("the caller has gone"))
	close(release)
	finds.Wait()
	require.EqualValues(t, 1, asked.Load())
}

// TestStormWithoutPrometheus: 200 webhooks a second, each about another rule, while Prometheus hangs. Those of the first
// second wait for it, for a second at most; then it rests, and nobody waits but the one in half a minute that tries again.
func TestStormWithoutPrometheus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		hangs := roundTrip(func(r *http.Request) *http.Response {
			asked.Add(1)
			<-r.Context().Done()
			return nil
		})
		e, _ := withLookups(t, enrich.Config{}, enrich.ExemplarsWith(hangs))
		var waited atomic.Int64
		var webhooks sync.WaitGroup
		for i := range 200 * 20 {
			webhooks.Go(func() {
				n := &relay.Notification{Alerts: relay.Alerts{of(fmt.Sprintf("a > %d", i), kv{"room_id": "7"})}}
				began := time.Now()
				e.Enrich(t.Context(), n, nil, relay.Snapshot{}, "")
				took := time.Since(began)
				if took > time.Second || n.Alerts[0].Snapshot.RoomID != "7" {
					t.Errorf("webhook %d took %s", i, took)
				}
				if took > 0 {
					waited.Add(1)
				}
			})
			time.Sleep(5 * time.Millisecond)
		}
		webhooks.Wait()
		require.Less(t, waited.Load(), int64(210), "those of the first second, and until the fifth has failed")
		require.Less(t, asked.Load(), int64(210))
	})
}

// TestTheClientBehindAnExemplar is found in the store under the exemplar's trace.
func TestTheClientBehindAnExemplar(t *testing.T) {
	t.Parallel()
	server, _ := answers(t, http.StatusOK, []series{
		{"seriesLabels": kv{}, "exemplars": sequence{seen(kv{"trace_id": "t1", "room_id": "10086"}, "1", -1)}},
	})
	store := lookup{relay.SourceStore, func(_ context.Context, alerts relay.Alerts) ([]relay.Snapshot, error) {
		if alerts[0].Snapshot.TraceID != "t1" {
			return nil, nil
		}
		return []relay.Snapshot{{TraceID: "t1", UserAgent: "RoomClient/3.2"}}, nil
	}}
	e, _ := withLookups(t, enrich.Config{}, store, exemplars(t, server.URL, enrich.Config{}))
	n := &relay.Notification{Alerts: relay.Alerts{of("up", nil)}}
	e.Enrich(t.Context(), n, nil, relay.Snapshot{}, "")
	got := n.Alerts[0].Snapshot
	require.Equal(t, "t1 10086 RoomClient/3.2", got.TraceID+" "+got.RoomID+" "+got.UserAgent)
	require.Equal(t, marks{"trace_id": "exemplar", "room_id": "exemplar", "user_agent": "store"}, got.Sources)
	require.Empty(t, n.Alerts[0].Room, "evidence is not routed on")
}

func TestValidateExemplars(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		cfg  enrich.Exemplars
		want string
	}{
		{"good", enrich.Exemplars{URL: "https://prometheus.example.org/base"}, ""},
		{"no url", enrich.Exemplars{}, "snapshots.exemplars.url: is required"},
		{"no link", enrich.Exemplars{URL: "prometheus:9090"}, "snapshots.exemplars.url: expected a link that"},
		{"a password", enrich.Exemplars{URL: "http://a:b@prometheus"}, "snapshots.exemplars.url: a password does not belong here"},
		{"a query", enrich.Exemplars{URL: "http://prometheus/?a=b"}, "snapshots.exemplars.url: expected the address of Prometheus"},
		{"negative", enrich.Exemplars{URL: "http://p", Timeout: -1}, "snapshots.exemplars.timeout: must be more than 0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := fault.New()
			cfg := enrich.Config{Exemplars: &tc.cfg}
			cfg.Validate(f.In("snapshots"))
			if tc.want == "" {
				require.Empty(t, f.All())
				return
			}
			require.Len(t, f.All(), 1)
			require.Contains(t, f.All()[0].Path+": "+f.All()[0].Message, tc.want)
			require.NotContains(t, f.All()[0].Message, "a:b")
		})
	}
}

func BenchmarkExemplars(b *testing.B) {
	body := `{"status":"success","data":[` + strings.Repeat(`{"seriesLabels":{"service":"cart"},"exemplars":[{"labels":`+
		`{"trace_id":"x"},"value":"1","timestamp":1}]},`, 100) + `{"seriesLabels":{"service":"pay"},"exemplars":[{"labels":` +
		`{"trace_id":"t"},"value":"1","timestamp":1}]}]}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
	defer server.Close()
	source, err := enrich.FromExemplars(enrich.Config{Exemplars: &enrich.Exemplars{URL: server.URL}})
	require.NoError(b, err)
	for _, n := range []int{1, 500} {
		var alerts relay.Alerts
		for range n {
			alerts = append(alerts, of("up", kv{"service": "pay"}))
		}
		b.Run(fmt.Sprintf("%d alerts", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = source.Find(context.Background(), alerts)
			}
		})
	}
}

// FuzzExemplars: whatever a Prometheus answers, what is found is text.
func FuzzExemplars(f *testing.F) {
	f.Add([]byte(`{"status":"success","data":[{"seriesLabels":{"le":"1"},"exemplars":[{"labels":{"trace_id":"t"},"value":"NaN","timestamp":1e300}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		transport := roundTrip(func(*http.Request) *http.Response {
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(string(body)))}
		})
		known, err := enrich.ExemplarsWith(transport).Find(t.Context(), relay.Alerts{of("up", nil)})
		if err == nil {
			require.LessOrEqual(t, len(known), 1)
		}
	})
}

type roundTrip func(*http.Request) *http.Response

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	if resp := f(r); resp != nil {
		return resp, nil
	}
	return nil, context.Cause(r.Context())
}
