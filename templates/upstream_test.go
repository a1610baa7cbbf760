package templates_test

import (
	htmltemplate "html/template"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	texttemplate "text/template"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
)

// upstream is Alertmanager's own renderer and the names of its templates.
func upstream(tb testing.TB) (*template.Template, []string) {
	tb.Helper()
	var text *texttemplate.Template
	tmpl, err := template.FromGlobs(nil, func(t *texttemplate.Template, _ *htmltemplate.Template) { text = t })
	require.NoError(tb, err)
	var names []string
	for _, defined := range text.Templates() {
		if defined.Name() != "" {
			names = append(names, defined.Name())
		}
	}
	slices.Sort(names)
	require.Greater(tb, len(names), 60)
	return tmpl, names
}

// dataOf is the same notification as Alertmanager's own template data.
func dataOf(n *relay.Notification) *template.Data {
	data := n.Data
	for _, a := range n.Alerts {
		data.Alerts = append(data.Alerts, a.Alert)
	}
	template.MarkRouteLabelsRendered(&data)
	return &data
}

// Each of Alertmanager's default templates says the same here as there, for every payload.
func TestAlertmanagersTemplates(t *testing.T) {
	t.Parallel()
	theirs, names := upstream(t)
	ours := newSet(t)
	paths, err := filepath.Glob("testdata/payloads/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		n := payload(t, strings.TrimSuffix(filepath.Base(path), ".json"))
		for _, name := range names {
			src := `{{ template "` + name + `" . }}`
			if strings.HasPrefix(name, "__text_alert_list") || name == "pagerduty.default.instances" {
				// Their dot is a list of alerts.
				src = `{{ template "` + name + `" .Alerts.Firing }}`
			}
			want, wantErr := theirs.ExecuteTextString(src, dataOf(n))
			require.NoError(t, wantErr, name)
			require.Equal(t, want, render(t, ours, "", src, viewOf(n)), "%s: %s as text", path, name)

			want, wantErr = theirs.ExecuteHTMLString(src, dataOf(n))
			require.NoError(t, wantErr, name)
			require.Equal(t, want, renderHTML(t, ours, "", src, viewOf(n)), "%s: %s as HTML", path, name)
		}
	}
}

// What Alertmanager's users write in their templates says the same here as there.
func TestAlertmanagersFunctions(t *testing.T) {
	t.Parallel()
	theirs, _ := upstream(t)
	ours := newSet(t)
	n := payload(t, "mixed-2")
	n.RouteLabels = template.KV{"team": "pay"}
	for _, src := range []string{
		`{{ .Receiver }} {{ .Status }} {{ .ExternalURL }} {{ .NotificationReason }}`,
		`{{ range .Alerts }}{{ .Labels.instance }} {{ .Status }} {{ .StartsAt }} {{ .EndsAt.Unix }} {{ .Fingerprint }}{{ end }}`,
		`{{ range .Alerts.Firing }}{{ .Labels.SortedPairs.Names | join "," }}{{ end }}{{ len .Alerts.Resolved }}`,
		`{{ .GroupLabels }} {{ .CommonLabels.Remove (stringSlice "job") }} {{ .CommonAnnotations.Values }}`,
		`{{ with index .Alerts 0 }}{{ .Annotations.summary }}{{ end }} {{ .CommonLabels.nosuch }}`,
		`{{ toUpper "a" }}{{ toLower "B" }}{{ title "high cpu LOAD" }}{{ trimSpace "  x " }}{{ join "-" (stringSlice "a" "b") }}`,
		`{{ match "^Disk" .CommonLabels.alertname }}{{ reReplaceAll "(.*)Low" "$1" .CommonLabels.alertname }}`,
		`{{ urlUnescape "a%20b" }}{{ toJson .GroupLabels }}{{ base64encode "x?" }}{{ base64decode "eD8=" }}`,
		`{{ list 1 2 }}{{ append (list 1) 2 3 }}{{ index (dict "a" 1) "a" }}{{ humanizeDuration 3666 }}`,
		`{{ (index .Alerts 0).StartsAt | tz "Asia/Tokyo" | date "15:04 MST" }}{{ (toDate "2006" "2020").Year }}`,
		`{{ (mustToDate "2006" "2020").Year }}{{ safeHtml "<b>" }}{{ routeLabels "team" }}{{ routeLabels "nosuch" }}`,
		`{{ define "mine" }}[{{ . }}]{{ end }}{{ template "mine" .Status }}{{ range $i, $a := .Alerts }}{{ $i }}{{ end }}`,
		`{{ if eq .Status "firing" }}a{{ else if gt 1 2 }}b{{ end }}{{ printf "%s|%d" .Status (len .Alerts) }}{{ urlquery "a b" }}`,
	} {
		want, err := theirs.ExecuteTextString(src, dataOf(n))
		require.NoError(t, err, src)
		require.Equal(t, want, render(t, ours, "", src, viewOf(n)), src)
		want, err = theirs.ExecuteHTMLString(src, dataOf(n))
		require.NoError(t, err, src)
		require.Equal(t, want, renderHTML(t, ours, "", src, viewOf(n)), src)
	}
}

// A value of the request never runs as a template, whatever it holds.
func TestValuesAreNotExecuted(t *testing.T) {
	t.Parallel()
	n := payload(t, "single-firing")
	n.RouteLabels = template.KV{"team": `{{ .ExternalURL }}`}
	n.CommonLabels["team"] = `{{ .ExternalURL }}`
	set := newSet(t)
	src := `{{ define "deeper" }}{{ routeLabels "team" }}{{ end }}{{ template "deeper" .Alerts }} {{ .CommonLabels.team }}`
	require.Equal(t, `{{ .ExternalURL }} {{ .ExternalURL }}`, render(t, set, "", src, viewOf(n)))
	require.Equal(t, `{{ .ExternalURL }} {{ .ExternalURL }}`, renderHTML(t, set, "", src, viewOf(n)))
}
