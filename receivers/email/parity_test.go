package email_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/receivers/email"
	"github.com/alertrelay/relay/templates"
)

// explicit is an item that a real Alertmanager and the relay both read. It sets every text.
const explicit = `
send_resolved: true
to: 'Ops <ops@example.org>, {{ .CommonLabels.severity }}@example.org'
from: 'Relay <relay@example.com>'
hello: relay.example.com
require_tls: false
headers: {subject: '{{ template "email.default.subject" . }} 告警', reply-to: 'oncall@example.org', X-Team: '{{ .Receiver }}'}
html: '{{ template "email.default.html" . }}'
text: '{{ range .Alerts }}{{ .Status }} {{ .Labels.instance }}: {{ .Annotations.summary }}{{ end }}'
`

// threads are the ways in which such an item shows a group, by a header that tells its mails apart.
func threads() map[string]string {
	return map[string]string{
		"no thread":       explicit + "threading: {enabled: false}",
		"one for all":     explicit + "threading: {enabled: true, thread_by_date: none}",
		"one for the day": explicit + "threading: {enabled: true, thread_by_date: daily}",
	}
}

// TestSameMailAsAlertmanager lets a real Alertmanager send a group as mails and to a webhook: two alerts that fire, one of
// them resolved, both of them. What the relay makes of each webhook with the same items must say the same to the same
// people, under the same headers; what differs is listed here as it is on the reference page.
func TestSameMailAsAlertmanager(t *testing.T) {
	t.Parallel()
	binary := parts.Binary(t, "alertmanager-v0.34.2") // whose default templates the relay has
	inbox := serve(t, &server{}, nil, false)
	webhook := make(chan string, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		webhook <- string(body)
	}))
	t.Cleanup(hook.Close)
	var items strings.Builder
	for name, item := range threads() {
		item = strings.Replace(item, "headers: {", "headers: {X-Thread: "+name+", ", 1)
		items.WriteString("\n      - smarthost: " + inbox.address + strings.ReplaceAll(item, "\n", "\n        "))
	}
	am := parts.StartAlertmanager(t, binary, `
route: {receiver: ops, group_by: [alertname], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}
receivers:
  - name: ops
    webhook_configs: [{url: '`+hook.URL+`'}]
    email_configs:`+items.String())
	alert := func(instance, summary string) parts.Alert {
		return parts.Alert{
			Labels:      map[string]string{"alertname": "Disk <full>", "severity": "critical", "instance": instance},
			Annotations: map[string]string{"summary": summary, "runbook_url": "https://example.com/?a=b&c=d"},
			StartsAt:    time.Now(), GeneratorURL: "http://prometheus.example.com/graph?a=b&c=d",
		}
	}
	one, two := alert("db-1", "磁盘 <b> & more"), alert("db-2", "second")
	roots := map[string]bool{}
	compare := func() int {
		var n relay.Notification
		select {
		case body := <-webhook:
			require.NoError(t, json.Unmarshal([]byte(body), &n))
		case <-time.After(2 * time.Minute):
			t.Fatal("no notification\n" + am.Log())
		}
		parts.WaitFor(t, "the mails", func() error {
			if len(inbox.all()) < len(threads()) {
				return io.EOF
			}
			return nil
		})
		for _, theirs := range inbox.take() {
			name := parse(t, theirs.data).Get("X-Thread")
			c := read(t, strings.Replace(threads()[name], "headers: {", "headers: {X-Thread: "+name+", ", 1))
			c.SetDefaults(email.Globals{SMTPSmarthost: inbox.address})
			set, err := templates.New(templates.Config{})
			require.NoError(t, err)
			s, err := email.New(c, relay.Env{Templates: set, Zone: time.Local})
			require.NoError(t, err)
			d := delivery(t, s, &n)
			d.Now = time.Now()
			_, err = s.Send(t.Context(), render(t, s, d))
			require.NoError(t, err)
			sameMail(t, theirs, inbox.take()[0])
			roots[name+parse(t, theirs.data).Get("References")] = true
		}
		return len(n.Alerts.Firing())
	}
	am.PostIncident(t, one, two, compare)
	require.Len(t, roots, len(threads()), "all mails of a group are one thread, at Alertmanager's too")
}

// sameMail compares a mail of Alertmanager's with the relay's.
func sameMail(t *testing.T, theirs, ours stored) {
	t.Helper()
	require.Equal(t, theirs.from, ours.from)
	require.Equal(t, theirs.to, ours.to)
	want, got := parse(t, theirs.data), parse(t, ours.data)
	require.Equal(t, want.subject, got.subject)
	for name := range want.Header {
		switch name {
		case "From", "To", "Reply-To": // written in another way
			wanted, err := want.AddressList(name)
			require.NoError(t, err)
			had, err := got.AddressList(name)
			require.NoError(t, err)
			require.Equal(t, wanted, had, name)
		case "Subject", "Content-Type", "Mime-Version", "Date": // encoded, delimited, stamped in another way
			require.NotEmpty(t, got.Get(name), name)
		case "Message-Id": // stable, so that a mail sent twice can be told from two mails
			require.Regexp(t, `^<[0-9a-f]{32}@example\.com>$`, got.Get(name))
		case "References", "In-Reply-To": // below the sender's domain, and not the same for two rooms
			root := regexp.MustCompile(`^<alert-[0-9a-f]{16}-(.*)@alertmanager>$`).FindStringSubmatch(want.Get(name))
			require.NotNil(t, root, want.Get(name))
			day := root[1]
			if day != "" {
				day = "-" + day
			}
			require.Regexp(t, `^<alert-[0-9a-f]{16}`+day+`@example\.com>$`, got.Get(name))
		default:
			require.Equal(t, want.Header[name], got.Header[name], name)
		}
	}
	for name := range got.Header {
		if _, ok := want.Header[name]; !ok { // to sort by, and to keep holiday notices away
			require.Contains(t, []string{"Auto-Submitted", "List-Id", "X-Auto-Response-Suppress"}, name)
		}
	}
	require.Len(t, got.parts, len(want.parts))
	for i := range want.parts {
		require.Equal(t, want.parts[i].mediaType, got.parts[i].mediaType)
		require.Equal(t, lines(want.parts[i].body), lines(got.parts[i].body))
	}
}

// read reads an item as the configuration does.
func read(t *testing.T, item string) email.Config {
	t.Helper()
	var c email.Config
	require.NoError(t, yaml.UnmarshalWithOptions([]byte(item), &c, yaml.Strict()))
	return c
}

func lines(body string) string { return strings.ReplaceAll(body, "\r\n", "\n") }
