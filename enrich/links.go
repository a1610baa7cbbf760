package enrich

import (
	"encoding/json"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// linkFunctions are what a template of trace_url can call for the link to a trace in a system that is in wide use:
//
//	{{ jaeger "http://jaeger:16686" . }}
//	{{ tempo "http://grafana:3000" "uid-of-the-data-source" . }}
//
// The base is the address of the system's page, the dot the snapshot.
func linkFunctions() template.FuncMap {
	return template.FuncMap{
		// https://github.com/jaegertracing/jaeger-ui/blob/main/packages/jaeger-ui/src/components/TracePage/url/index.tsx
		"jaeger": func(base string, dot linkDot) string { return page(base, "/trace/", dot) },
		// https://github.com/openzipkin/zipkin/tree/master/zipkin-lens
		"zipkin": func(base string, dot linkDot) string { return page(base, "/zipkin/traces/", dot) },
		// https://github.com/apache/skywalking-booster-ui/blob/main/src/router/constants.ts
		"skywalking": func(base string, dot linkDot) string { return page(base, "/traces/", dot) },
		"tempo":      tempo,
		"loki":       loki,
	}
}

func page(base, path string, dot linkDot) string {
	return strings.TrimSuffix(base, "/") + path + dot.TraceID.String()
}

// tempo opens the trace in Grafana's Explore, from the Tempo with a data source uid.
func tempo(base, uid string, dot linkDot) (string, error) {
	return explore(base, uid, dot, exploreQuery{
		Datasource: exploreSource{"tempo", uid}, QueryType: "traceql", Query: string(dot.TraceID),
	})
}

// loki opens the log lines that name the trace in Grafana's Explore: those of a stream selector, {service="pay"}, from the
// Loki with a data source uid.
func loki(base, uid, selector string, dot linkDot) (string, error) {
	return explore(base, uid, dot, exploreQuery{
		Datasource: exploreSource{"loki", uid}, QueryType: "range", Expr: selector + " |= " + strconv.Quote(string(dot.TraceID)),
	})
}

// An exploreQuery is a query of a pane of Grafana's Explore:
// https://grafana.com/docs/grafana/latest/explore/get-started-with-explore/#generate-explore-urls-from-external-tools
type exploreQuery struct {
	RefID      string        `json:"refId"`
	Datasource exploreSource `json:"datasource"`
	QueryType  string        `json:"queryType"`
	Query      string        `json:"query,omitempty"`
	Expr       string        `json:"expr,omitempty"`
}

type exploreSource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

type explorePane struct {
	Datasource string            `json:"datasource"`
	Queries    []exploreQuery    `json:"queries"`
	Range      map[string]string `json:"range"`
}

// exploreRange is how far around the time of a snapshot Explore looks.
const exploreRange = time.Hour

// explore opens one query. The link is read later than it is made, so its times do not count from the present; where the
// snapshot says no time it is about now.
func explore(base, uid string, dot linkDot, q exploreQuery) (string, error) {
	q.RefID = "A"
	at := dot.Time
	if at.IsZero() {
		at = time.Now()
	}
	millis := func(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
	panes, err := json.Marshal(map[string]explorePane{"trace": {
		Datasource: uid,
		Queries:    []exploreQuery{q},
		Range:      map[string]string{"from": millis(at.Add(-exploreRange)), "to": millis(at.Add(exploreRange))},
	}})
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(base, "/") + "/explore?schemaVersion=1&orgId=1&panes=" + escape(string(panes)), nil
}
