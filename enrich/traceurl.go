package enrich

import (
	"fmt"
	"net/url"
	"strings"
	"text/template"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
)

// traceURL makes the link to a trace. A nil one makes none.
type traceURL struct{ template *template.Template }

// newTraceURL compiles snapshots.trace_url and tries it once.
func newTraceURL(src string) (*traceURL, error) {
	if src == "" {
		return nil, nil //nolint:nilnil // no template, no link
	}
	t, err := template.New("trace_url").Option("missingkey=zero").Funcs(linkFunctions()).Parse(src)
	if err != nil {
		return nil, fault.At("trace_url", err)
	}
	link := &traceURL{t}
	made, err := link.execute(relay.Snapshot{TraceID: "0af7651916cd43dd8448eb211c80319c"})
	if err != nil {
		return nil, fault.At("trace_url", err)
	}
	if u, err := url.Parse(made); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fault.At("trace_url", fmt.Errorf("makes %q, expected a link that starts with http:// or https://", made))
	}
	return link, nil
}

// of returns the link to the trace of s; empty when there is none.
func (l *traceURL) of(s relay.Snapshot) string {
	if l == nil || s.TraceID == "" {
		return ""
	}
	made, err := l.execute(s)
	if err != nil {
		return "" // It ran at load; what is left is a field that this snapshot lacks.
	}
	return made
}

// linkDot is what the template of a link sees of a snapshot.
type linkDot struct {
	TraceID, RoomID, UserAgent linkValue
	Extra                      map[string]linkValue
	Time                       time.Time
}

func (l *traceURL) execute(s relay.Snapshot) (string, error) {
	dot := linkDot{TraceID: linkValue(s.TraceID), RoomID: linkValue(s.RoomID), UserAgent: linkValue(s.UserAgent), Time: s.Time}
	if len(s.Extra) > 0 {
		dot.Extra = make(map[string]linkValue, len(s.Extra))
		for name, value := range s.Extra {
			dot.Extra[name] = linkValue(value)
		}
	}
	var b strings.Builder
	if err := l.template.Execute(&b, dot); err != nil {
		return "", err
	}
	return strings.TrimSpace(b.String()), nil
}

// A linkValue is a value from outside. Printed, it is escaped, so that whoever writes a template cannot forget it; functions
// see it as it is.
type linkValue string

func (v linkValue) String() string { return escape(string(v)) }

// escape makes value safe in a path and in a query alike.
func escape(value string) string { return strings.ReplaceAll(url.QueryEscape(value), "+", "%20") }
