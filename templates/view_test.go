package templates_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/templates"
)

// payload reads what a real Alertmanager posted.
func payload(tb testing.TB, name string) *relay.Notification {
	tb.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "payloads", name+".json"))
	require.NoError(tb, err)
	n := new(relay.Notification)
	require.NoError(tb, json.Unmarshal(body, n))
	return n
}

// viewOf shows all of n, 14 minutes after its first alert began.
func viewOf(n *relay.Notification) relay.View {
	return relay.View{Delivery: &relay.Delivery{
		Tellings: []relay.Telling{{Notification: n}},
		Now:      n.Alerts[0].StartsAt.Add(14 * time.Minute),
	}}
}

// newSet makes a set with the default texts, in Shanghai's time, and so patient that a busy machine fails no test.
func newSet(tb testing.TB, globs ...string) *templates.Set {
	tb.Helper()
	set, err := templates.New(templates.Config{Globs: globs, Timezone: "Asia/Shanghai", Timeout: time.Minute})
	require.NoError(tb, err)
	return set
}

// render compiles and executes a text template.
func render(tb testing.TB, set *templates.Set, locale, src string, v relay.View) string {
	tb.Helper()
	compiled, err := set.Text(locale, src)
	require.NoError(tb, err)
	text, err := compiled.Execute(v)
	require.NoError(tb, err)
	return text
}

// renderHTML compiles and executes an HTML template.
func renderHTML(tb testing.TB, set *templates.Set, locale, src string, v relay.View) string {
	tb.Helper()
	compiled, err := set.HTML(locale, src)
	require.NoError(tb, err)
	html, err := compiled.Execute(v)
	require.NoError(tb, err)
	return html
}

// hostile is a value that tries everything a channel could take for markup, a mention or a link.
const hostile = "**x** [a](javascript:alert(1)) ![i](http://evil.example/i.png) @all @13800000000 <!channel> <@U1> <@alice>" +
	" <font color=\"warning\">red</font> <script>alert(1)</script> `code` # h\r\nBcc: evil@example.org\n> quote\n# heading" +
	"\u202e\u2066right to left\u2069 \u2028 {{ .ExternalURL }} |x> <http://evil.example|click>"

// hostileNotification carries hostile values wherever values may stand.
func hostileNotification(tb testing.TB) *relay.Notification {
	tb.Helper()
	n := payload(tb, "mixed-2")
	for i := range n.Alerts {
		a := &n.Alerts[i]
		a.Labels["alertname"], a.Labels["severity"], a.Labels["instance"] = hostile, hostile, hostile+a.Labels["instance"]
		a.Labels["long"] = strings.Repeat("长", 64<<10)
		a.Annotations["summary"], a.Annotations["description"] = hostile, hostile+strings.Repeat(" long", 16<<10)
		a.Annotations["runbook_url"], a.GeneratorURL = "javascript:alert(1)", "javascript:alert(2)"
		a.Snapshot = relay.Snapshot{
			TraceID: hostile, RoomID: hostile, UserAgent: hostile, Extra: map[string]string{hostile: hostile},
			TraceURL: "javascript:alert(3)",
		}
	}
	n.GroupLabels["alertname"], n.GroupLabels["cluster"] = hostile, hostile
	n.CommonLabels["alertname"], n.CommonLabels["cluster"], n.CommonLabels["severity"] = hostile, hostile, hostile
	n.CommonAnnotations["runbook_url"] = "javascript:alert(4)"
	n.ExternalURL = "javascript:alert(5)//http://evil.example"
	return n
}
