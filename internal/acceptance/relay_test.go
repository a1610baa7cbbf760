package acceptance_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/require"

	_ "github.com/alertrelay/relay/internal/app" // a change of the program makes results kept from before void
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/sandbox"
)

// inboxes are the four vendors.
func inboxes() []string {
	return []string{sandbox.InboxDingTalk, sandbox.InboxWeCom, sandbox.InboxSlack, sandbox.InboxEmail}
}

// A relayProcess is the real binary with a sandbox for its vendors.
type relayProcess struct {
	*parts.Process
	url     string
	vendors *sandbox.Sandbox
	args    []string
}

const configText = `
global:
  locale: en
  timezone: UTC
  smtp_smarthost: {{ .SMTP }}
  smtp_from: relay@example.org
  smtp_require_tls: false
dedupe: {window: {{ .Window }}}
snapshots:
  trace_url: "http://jaeger.example.org/trace/{{ "{{ .TraceID }}" }}"
  {{- range .Snapshots }}
  {{ . }}
  {{- end }}
{{- with .Storage }}
{{ . }}
{{- end }}
route: {receiver: ops}
receivers:
  - name: ops
    dingtalk_configs:
      - {url: "{{ .DingTalk }}", secret: SECacceptance}
    wecom_configs:
      - {url: "{{ .WeCom }}"}
    slack_configs:
      - {api_url: "{{ .Slack }}", channel: "#ops"}
    email_configs:
      - {to: ops@example.org}
`

// startRelay starts the relay with one receiver of four integrations, all played by a sandbox.
func startRelay(t *testing.T, window time.Duration) *relayProcess {
	t.Helper()
	return startRelayWith(t, window, "")
}

// startRelayWith is startRelay with a section storage: and further keys of the section snapshots:.
func startRelayWith(t *testing.T, window time.Duration, storage string, snapshots ...string) *relayProcess {
	t.Helper()
	r := newRelay(t, window, storage, snapshots...)
	r.start(t)
	return r
}

// newRelay is startRelayWith without the start.
func newRelay(t *testing.T, window time.Duration, storage string, snapshots ...string) *relayProcess {
	t.Helper()
	vendors := startVendors(t)
	config := configuration(t, map[string]any{
		"Window":  window,
		"Storage": storage, "Snapshots": snapshots,
		"SMTP":     vendors.Mail.Addr(),
		"DingTalk": vendors.DingTalk.Add(sandbox.DingTalkRobot{Token: "acceptance", Secret: "SECacceptance"}),
		"WeCom":    vendors.WeCom.Add(sandbox.WeComRobot{Key: "acceptance"}),
		"Slack":    vendors.Slack.Add(sandbox.SlackHook{Team: "T1", Bot: "B1", Channel: "ops", Token: "acceptance"}),
	})
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	addr := parts.FreeAddress(t)
	return &relayProcess{url: "http://" + addr, vendors: vendors, args: []string{
		"--config.file=" + file, "--storage.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + addr, "--log.level=debug",
	}}
}

// configuration fills configText in.
func configuration(t *testing.T, values map[string]any) string {
	t.Helper()
	var text strings.Builder
	require.NoError(t, template.Must(template.New("").Parse(configText)).Execute(&text, values))
	return text.String()
}

func (r *relayProcess) start(t *testing.T) {
	t.Helper()
	r.Process = parts.Start(t, parts.RelayBinary(t), r.args...)
	r.Ready(t, r.url+"/-/ready")
}

// await waits until each inbox has received n messages since the start, and returns the newest of each.
func (r *relayProcess) await(t *testing.T, n int) map[string]sandbox.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	newest := map[string]sandbox.Message{}
	for _, name := range inboxes() {
		messages, err := r.vendors.Await(ctx, name, n)
		require.NoErrorf(t, err, "%s got %d of %d messages", name, len(messages), n)
		require.Lenf(t, messages, n, "messages in %s", name)
		newest[name] = messages[n-1]
	}
	return newest
}

// awaitMore waits until every inbox has something newer than the state in which all together had n messages, and returns
// the newest of each once nothing more is pending.
func (r *relayProcess) awaitMore(t *testing.T, n int) map[string]sandbox.Message {
	t.Helper()
	parts.WaitFor(t, "all pending messages to be delivered", func() error {
		if got := r.vendors.Counts("").Delivered; got < n+len(inboxes()) {
			return fmt.Errorf("%d of %d messages", got, n+len(inboxes()))
		}
		if pending := metric(t, r.url, "relay_pending_notifications"); pending != "0" {
			return fmt.Errorf("%s entries pending", pending)
		}
		return nil
	})
	newest := map[string]sandbox.Message{}
	for _, name := range inboxes() {
		messages := r.vendors.Inbox(name)
		newest[name] = messages[len(messages)-1]
	}
	return newest
}
