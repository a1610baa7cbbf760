package sandbox_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/sandbox"
)

// Alertmanager's own senders were written against the real services: if they cannot deliver, the emulator is wrong.
func TestAlertmanagerDeliversToTheEmulators(t *testing.T) {
	t.Parallel()
	for _, binary := range parts.Alertmanagers() {
		t.Run(binary, func(t *testing.T) {
			t.Parallel()
			sb, err := sandbox.Start(sandbox.Options{
				Mail: sandbox.MailSettings{Username: "u", Password: "p", RequireAuth: true},
			})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, sb.Close()) })
			slack := sb.Slack.Add(sandbox.SlackHook{Team: "T", Bot: "B", Token: "X", Channel: "ops"})
			ca := filepath.Join(t.TempDir(), "ca.pem")
			require.NoError(t, os.WriteFile(ca, sb.Mail.CA(), 0o600))
			am := parts.StartAlertmanager(t, binary, fmt.Sprintf(`
route: {receiver: all, group_by: [alertname], group_wait: 10ms}
receivers:
  - name: all
    slack_configs: [{api_url: %q, channel: "#ops"}]
    email_configs:
      - {to: ops@example.org, from: am@example.org, smarthost: %q, auth_username: u, auth_password: p,
         tls_config: {ca_file: %q}}
`, slack, sb.Mail.Addr(), ca))
			am.Post(t, parts.Alert{Labels: map[string]string{"alertname": "Original", "city": "北京"}})

			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			in, err := sb.Await(ctx, "slack", 1)
			require.NoError(t, err)
			require.Contains(t, in[0].Title, "[FIRING:1] Original")
			require.Equal(t, "danger", in[0].Slack.Attachments[0].Color)

			in, err = sb.Await(ctx, "email", 1)
			require.NoError(t, err)
			require.Contains(t, in[0].Title, "[FIRING:1] Original")
			require.Equal(t, []string{"ops@example.org"}, in[0].Mail.To)
			require.Contains(t, in[0].Mail.HTML, "北京")
			require.Empty(t, in[0].Flags)
		})
	}
}
