package email_test

import (
	"bytes"
	"fmt"
	htmltemplate "html/template"
	"net/http"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
)

// renderer is the least there can be of a relay.Renderer: the standard library's templates over a notification, with
// short texts of its own in place of the default ones.
type renderer struct{}

const defaults = `
{{ define "relay.email.subject" }}[{{ .Status }}:{{ len .Alerts }}] {{ .CommonLabels.alertname }}{{ end }}
{{ define "relay.email.text" }}{{ .Status }}
{{ range .Alerts }}- {{ .Labels.alertname }} {{ .Labels.instance }} {{ .Annotations.summary }}
{{ end }}{{ end }}
{{ define "relay.email.html" }}<html><body><h1>{{ .Status }}</h1>
{{ range .Alerts }}<p>{{ .Labels.alertname }} {{ .Labels.instance }} {{ .Annotations.summary }}</p>
{{ end }}</body></html>{{ end }}`

type compiled func(relay.View) (string, error)

func (c compiled) Execute(v relay.View) (string, error) { return c(v) }

func (renderer) Text(_, src string) (relay.Template, error) {
	t, err := template.New("").Option("missingkey=zero").Parse(defaults)
	if err == nil {
		t, err = t.New("src").Parse(src)
	}
	return compiled(func(v relay.View) (string, error) {
		var out bytes.Buffer
		err := t.Execute(&out, dot(v))
		return out.String(), err
	}), err
}

func (renderer) HTML(_, src string) (relay.Template, error) {
	t, err := htmltemplate.New("").Option("missingkey=zero").Parse(defaults)
	if err == nil {
		t, err = t.New("src").Parse(src)
	}
	return compiled(func(v relay.View) (string, error) {
		var out bytes.Buffer
		err := t.Execute(&out, dot(v))
		return out.String(), err
	}), err
}

// dot is what templates see: the notification with the alerts of the part.
func dot(v relay.View) any {
	n := *v.Notification()
	if v.Alerts != nil {
		n.Alerts = v.Alerts
	}
	return n
}

func (renderer) Plain(_ string, v relay.View) string {
	return fmt.Sprintf("plain: %s %d\nmore", v.Notification().CommonLabels["alertname"], len(v.Notification().Alerts))
}

func (renderer) Compact(_ string, _ relay.View, alerts relay.Alerts, limit int) (string, int) {
	var lines []string
	for i, a := range alerts {
		line := "~ " + a.Labels["alertname"] + " " + a.Labels["instance"]
		if limit -= len(line) + 1; limit < 20 {
			return strings.Join(append(lines, fmt.Sprintf("and %d more", len(alerts)-i)), "\n"), len(alerts) - i
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n"), 0
}

func env(tb testing.TB) relay.Env {
	tb.Helper()
	var r relay.Renderer = renderer{}
	_, err := r.Text("", "")
	require.NoError(tb, err)
	return relay.Env{Templates: r, HTTPClient: http.DefaultClient, Now: time.Now}
}
