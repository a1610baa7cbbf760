package email_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
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

// TestSameMailAsAlertmanager lets a real Alertmanager send a group as mail and to a webhook. What the relay makes of the
// webhook with the same item must say the same to the same people.
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
	am := parts.StartAlertmanager(t, binary, `
route: {receiver: ops, group_by: [alertname], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}
receivers:
  - name: ops
    webhook_configs: [{url: '`+hook.URL+`'}]
    email_configs:
      - smarthost: `+inbox.address+strings.ReplaceAll(explicit, "\n", "\n        "))
	am.Post(t, parts.Alert{
		Labels:      map[string]string{"alertname": "Disk <full>", "severity": "critical", "instance": "db-1"},
		Annotations: map[string]string{"summary": "磁盘 <b> & more", "runbook_url": "https://example.com/?a=b&c=d"},
		StartsAt:    time.Now().Add(-time.Minute), GeneratorURL: "http://prometheus.example.com/graph?a=b&c=d",
	})
	var n relay.Notification
	require.NoError(t, json.Unmarshal([]byte(<-webhook), &n))
	parts.WaitFor(t, "the mail", func() error {
		if len(inbox.all()) == 0 {
			return io.EOF
		}
		return nil
	})

	var c email.Config
	require.NoError(t, yaml.UnmarshalWithOptions([]byte(explicit), &c, yaml.Strict()))
	c.SetDefaults(email.Globals{SMTPSmarthost: inbox.address})
	set, err := templates.New(templates.Config{})
	require.NoError(t, err)
	s, err := email.New(c, relay.Env{Templates: set})
	require.NoError(t, err)
	_, err = s.Send(t.Context(), render(t, s, delivery(t, s, &n)))
	require.NoError(t, err)

	theirs, ours := inbox.all()[0], inbox.all()[1]
	require.Equal(t, theirs.from, ours.from)
	require.Equal(t, theirs.to, ours.to)
	want, got := parse(t, theirs.data), parse(t, ours.data)
	require.Equal(t, want.subject, got.subject)
	for _, name := range []string{"From", "To", "Reply-To"} {
		wanted, err := want.AddressList(name)
		require.NoError(t, err)
		had, err := got.AddressList(name)
		require.NoError(t, err)
		require.Equal(t, wanted, had, name)
	}
	require.Equal(t, want.Get("X-Team"), got.Get("X-Team"))
	require.Len(t, got.parts, len(want.parts))
	for i := range want.parts {
		require.Equal(t, want.parts[i].mediaType, got.parts[i].mediaType)
		require.Equal(t, lines(want.parts[i].body), lines(got.parts[i].body))
	}
}

func lines(body string) string { return strings.ReplaceAll(body, "\r\n", "\n") }
