package app_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/sandbox"
)

const dingtalkSecret = "SEC000000000000000000000000000000000000000000000000000000000000000"

// vendors are the four vendors, and a configuration that sends to all of them.
func vendors(t *testing.T) (box *sandbox.Sandbox, config string) {
	t.Helper()
	box, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, box.Close())
		http.DefaultClient.CloseIdleConnections()
	})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, box.Mail.CA(), 0o600))
	return box, fmt.Sprintf(`
global: {locale: en, timezone: Asia/Shanghai}
snapshots: {trace_url: "http://jaeger:16686/trace/{{ .TraceID }}"}
route: {receiver: ops}
receivers:
  - name: ops
    dingtalk_configs: [{name: robot, url: %q, secret: %q, rate_limit: {messages: 0}}]
    wecom_configs: [{name: robot, url: %q, rate_limit: {messages: 0}}]
    slack_configs: [{name: hook, api_url: %q, channel: "#ops", rate_limit: {messages: 0}}]
    email_configs:
      - {name: mail, to: ops@example.org, from: relay@example.org, smarthost: %q, tls_config: {ca_file: %q}, rate_limit: {messages: 0}}
`,
		box.DingTalk.Add(sandbox.DingTalkRobot{
			Token: "ding-token", Group: "Ops", Robot: "relay", Secret: dingtalkSecret, Limit: sandbox.NoLimit(),
		}), dingtalkSecret,
		box.WeCom.Add(sandbox.WeComRobot{Key: "wecom-key", Group: "Ops", Robot: "relay", Limit: sandbox.NoLimit()}),
		box.Slack.Add(sandbox.SlackHook{
			Team: "T000", Bot: "B000", Token: "slack-token", Channel: "ops", App: "relay", Limit: sandbox.NoLimit(),
		}),
		box.Mail.Addr(), ca)
}

func inboxes() []string {
	return []string{sandbox.InboxDingTalk, sandbox.InboxWeCom, sandbox.InboxSlack, sandbox.InboxEmail}
}

// await waits until an inbox has received n messages, and returns what its reader sees of the last.
func await(t *testing.T, box *sandbox.Sandbox, inbox string, n int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	messages, err := box.Await(ctx, inbox, n)
	require.NoError(t, err)
	require.Len(t, messages, n)
	return said(messages[n-1])
}

// said is all that a message says, markup and all.
func said(m sandbox.Message) string {
	text := m.Title + "\n" + m.Text
	if m.Mail != nil {
		return text + "\n" + m.Mail.HTML
	}
	return text + "\n" + strings.ReplaceAll(string(m.Body), `\n`, "\n")
}
