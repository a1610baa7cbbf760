package receiverstest

import (
	"errors"
	"fmt"
	"strings"
	"text/template"

	"github.com/alertrelay/relay"
)

// Words is a renderer that shows all of an alert, unescaped, whatever the template: a small stand-in where the words do
// not matter. It still refuses a template that does not parse.
type Words struct{}

var _ relay.Renderer = Words{}

// Text returns a template that shows the title, when src names a title or subject, or all.
func (Words) Text(_, src string) (relay.Template, error) {
	functions := template.FuncMap{"word": func(string) string { return "" }}
	if _, err := template.New("").Funcs(functions).Parse(src); err != nil {
		return nil, err
	}
	if strings.Contains(src, "title") || strings.Contains(src, "subject") {
		return words(title), nil
	}
	return words(all), nil
}

// HTML is Text.
func (w Words) HTML(locale, src string) (relay.Template, error) { return w.Text(locale, src) }

// Plain shows all.
func (Words) Plain(_ string, v relay.View) string { return all(v) }

// Compact shows a line for each alert that fits, and how many do not.
func (Words) Compact(_ string, _ relay.View, alerts relay.Alerts, limit int) (string, int) {
	var b strings.Builder
	for i, a := range alerts {
		line := fmt.Sprintf("%s %s\n", a.Status, a.Labels["instance"])
		rest := fmt.Sprintf("%d more", len(alerts)-i)
		if b.Len()+len(line)+len(rest) > limit {
			return b.String() + rest, len(alerts) - i
		}
		b.WriteString(line)
	}
	return b.String(), 0
}

type words func(relay.View) string

func (w words) Execute(v relay.View) (string, error) { return w(v), nil }

func title(v relay.View) string {
	return fmt.Sprintf("[%s] %s", v.Notification().Status, v.Notification().GroupLabels["alertname"])
}

func all(v relay.View) string {
	var b strings.Builder
	b.WriteString(title(v))
	if v.Parts > 0 {
		fmt.Fprintf(&b, " (%d/%d)", v.Part, v.Parts)
	}
	alerts := v.Alerts
	if alerts == nil {
		alerts = v.Notification().Alerts
	}
	for _, a := range alerts {
		fmt.Fprintf(&b, "\n%s", a.Status)
		for _, p := range append(a.Labels.SortedPairs(), a.Annotations.SortedPairs()...) {
			fmt.Fprintf(&b, "\n%s: %s", p.Name, p.Value)
		}
		fmt.Fprintf(&b, "\ntrace %s, room %s, client %s", a.Snapshot.TraceID, a.Snapshot.RoomID, a.Snapshot.UserAgent)
	}
	return b.String()
}

// ErrBroken is the error of a Broken template.
var ErrBroken = errors.New("template: relay.text:1:2: no such field")

// Broken is a renderer whose templates compile and then fail.
type Broken struct{ relay.Renderer }

// Text returns a template that fails.
func (Broken) Text(string, string) (relay.Template, error) { return broken{}, nil }

// HTML returns a template that fails.
func (Broken) HTML(string, string) (relay.Template, error) { return broken{}, nil }

type broken struct{}

func (broken) Execute(relay.View) (string, error) { return "", ErrBroken }
