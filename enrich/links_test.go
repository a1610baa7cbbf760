package enrich_test

import (
	"encoding/json"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/enrich"
)

// linkOf is the link that a template makes of a snapshot.
func linkOf(t *testing.T, template string, s relay.Snapshot) string {
	t.Helper()
	e := newEnricher(t, enrich.Config{TraceURL: template})
	n := &relay.Notification{Alerts: relay.Alerts{alert("a", nil, nil)}}
	e.Enrich(t.Context(), n, saved{n.Alerts[0].Key(): {Snapshot: s}}, relay.Snapshot{}, "")
	return n.Alerts[0].Snapshot.TraceURL
}

const (
	goodTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	badTrace  = `a/../b?c=d&e#f "<g>'` + "`{{ . }}"
)

func TestPagesOfTraces(t *testing.T) {
	t.Parallel()
	const escaped = "a%2F..%2Fb%3Fc%3Dd%26e%23f%20%22%3Cg%3E%27%60%7B%7B%20.%20%7D%7D"
	for _, tc := range []struct{ template, want string }{
		{`{{ jaeger "http://jaeger:16686" . }}`, "http://jaeger:16686/trace/"},
		{`{{ jaeger "https://example.org/jaeger/" . }}`, "https://example.org/jaeger/trace/"},
		{`{{ zipkin "http://zipkin:9411" . }}`, "http://zipkin:9411/zipkin/traces/"},
		{`{{ skywalking "http://skywalking:8080" . }}`, "http://skywalking:8080/traces/"},
		{"http://mine/{{ .TraceID }}", "http://mine/"},
		{`http://mine/{{ printf "%s" .TraceID }}`, "http://mine/"},
	} {
		t.Run(tc.template, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want+goodTrace, linkOf(t, tc.template, relay.Snapshot{TraceID: goodTrace}))
			require.Equal(t, tc.want+escaped, linkOf(t, tc.template, relay.Snapshot{TraceID: badTrace}))
			require.Empty(t, linkOf(t, tc.template, relay.Snapshot{RoomID: "7"}), "no trace, no link")
		})
	}
}

// TestGrafanaExplore reads the links as Grafana does.
func TestGrafanaExplore(t *testing.T) {
	t.Parallel()
	const (
		from = `"range":{"from":"1795158000000","to":"1795165200000"}`
		tail = `"queryType":"traceql","query":`
	)
	for _, tc := range []struct{ name, template, trace, want string }{
		{
			"Tempo", `{{ tempo "http://grafana:3000/" "T1" . }}`, goodTrace,
			`{"trace":{"datasource":"T1","queries":[{"refId":"A","datasource":{"type":"tempo","uid":"T1"},` +
				tail + `"` + goodTrace + `"}],` + from + `}}`,
		},
		{
			"Loki", "{{ loki `http://grafana:3000` `L1` `{service=\"pay\"}` . }}", goodTrace,
			`{"trace":{"datasource":"L1","queries":[{"refId":"A","datasource":{"type":"loki","uid":"L1"},` +
				`"queryType":"range","expr":"{service=\"pay\"} |= \"` + goodTrace + `\""}],` + from + `}}`,
		},
		{
			"a hostile trace in Tempo", `{{ tempo "http://grafana:3000" "T1" . }}`, badTrace,
			`{"trace":{"datasource":"T1","queries":[{"refId":"A","datasource":{"type":"tempo","uid":"T1"},` +
				tail + `"a/../b?c=d&e#f \"<g>'` + "`{{ . }}" + `"}],` + from + `}}`,
		},
		{
			"a hostile trace in Loki", "{{ loki `http://grafana:3000` `L1` `{job=\"x\"}` . }}", `" or {job="secret"} |= "`,
			`{"trace":{"datasource":"L1","queries":[{"refId":"A","datasource":{"type":"loki","uid":"L1"},` +
				`"queryType":"range","expr":"{job=\"x\"} |= \"\\\" or {job=\\\"secret\\\"} |= \\\"\""}],` + from + `}}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			link, err := url.Parse(linkOf(t, tc.template, relay.Snapshot{TraceID: tc.trace, Time: start}))
			require.NoError(t, err)
			require.Equal(t, "http://grafana:3000/explore", link.Scheme+"://"+link.Host+link.Path)
			require.NotContains(t, link.RawQuery, "+", "a space is %20 to every reader")
			query, err := url.ParseQuery(link.RawQuery)
			require.NoError(t, err)
			require.Len(t, query, 3)
			require.Equal(t, "1 1", query.Get("schemaVersion")+" "+query.Get("orgId"))
			require.JSONEq(t, tc.want, query.Get("panes"))
		})
	}
}

// TestExploreWithoutATime looks around the present.
func TestExploreWithoutATime(t *testing.T) {
	t.Parallel()
	link, err := url.Parse(linkOf(t, `{{ tempo "http://grafana:3000" "T1" . }}`, relay.Snapshot{TraceID: goodTrace}))
	require.NoError(t, err)
	var panes map[string]struct {
		Range struct{ From, To string }
	}
	require.NoError(t, json.Unmarshal([]byte(link.Query().Get("panes")), &panes))
	require.Len(t, panes["trace"].Range.From, 13)
	require.Less(t, panes["trace"].Range.From, panes["trace"].Range.To)
}

func TestOwnLinks(t *testing.T) {
	t.Parallel()
	s := relay.Snapshot{TraceID: "t", RoomID: "7 8", UserAgent: "App/1", Extra: map[string]string{"tenant": "s/hop"}, Time: start}
	for _, tc := range []struct{ template, want string }{
		{"http://t/{{ .TraceID }}?tenant={{ .Extra.tenant }}&none={{ .Extra.none }}", "http://t/t?tenant=s%2Fhop&none="},
		{"http://t/{{ .TraceID }}{{ with .RoomID }}?room={{ . }}{{ end }}", "http://t/t?room=7%208"},
		{`http://t/{{ .TraceID }}{{ if eq .RoomID "7 8" }}?vip{{ end }}`, "http://t/t?vip"},
		{"http://t/{{ .TraceID }}?at={{ .Time.Unix }}&ua={{ .UserAgent }}", "http://t/t?at=1795161600&ua=App%2F1"},
	} {
		t.Run(tc.template, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, linkOf(t, tc.template, s))
		})
	}
}
