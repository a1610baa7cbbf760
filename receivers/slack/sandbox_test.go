package slack_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/sandbox"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/receivers/receiverstest"
	"github.com/alertrelay/relay/receivers/slack"
)

// The sandbox plays Slack from its documents, without knowing this package.
func TestSandboxTakesEveryForm(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]slack.Config{
		"blocks":             {},
		"blocks without bar": {Color: new("")},
		"attachment":         {Blocks: new("")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.Mention = slack.Mention{UserIDs: []string{"U0ALICE"}}
			vendor, setup := inSandbox(t, c, sandbox.SlackHook{Limit: sandbox.NoLimit()})
			deliveries := []relay.Delivery{receiverstest.Many(500)}
			for _, payload := range receiverstest.Payloads() {
				d := receiverstest.Delivery(t, payload)
				deliveries = append(deliveries, d)
				d.Plain = true
				deliveries = append(deliveries, d)
			}
			for _, d := range deliveries {
				before := len(vendor.Inbox(sandbox.InboxSlack))
				for _, m := range receiverstest.Render(t, setup, d) {
					_, err := setup.Send(t.Context(), m)
					require.NoError(t, err)
				}
				shown := vendor.Inbox(sandbox.InboxSlack)[before:]
				var mentioned []string
				for _, m := range shown {
					require.False(t, m.MentionAll)
					require.Empty(t, m.Flags)
					mentioned = append(mentioned, m.Mentioned...)
				}
				if d.Notification().Status == relay.StatusFiring {
					require.Equal(t, []string{"U0ALICE"}, mentioned, "once, and nobody else")
				} else {
					require.Empty(t, mentioned, "nobody is called to what is over")
				}
			}
		})
	}
}

func TestSandboxRefusals(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		hook  sandbox.SlackHook
		sends int
		want  relay.Kind
	}{
		"archived":             {sandbox.SlackHook{Archived: true}, 1, relay.Misconfigured},
		"prohibited":           {sandbox.SlackHook{Prohibited: true}, 1, relay.Misconfigured},
		"one message too many": {sandbox.SlackHook{}, 2, relay.RateLimited},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, setup := inSandbox(t, slack.Config{}, tt.hook)
			m := receiverstest.Render(t, setup, receiverstest.Delivery(t, "single-firing"))[0]
			for range tt.sends - 1 {
				_, err := setup.Send(t.Context(), m)
				require.NoError(t, err)
			}
			_, err := setup.Send(t.Context(), m)
			require.Equal(t, tt.want, relay.KindOf(err), "%v", err)
			if tt.want == relay.RateLimited {
				require.Equal(t, time.Second, relay.RetryAfter(err))
			}
		})
	}
}

// inSandbox makes the integration of c with an incoming webhook.
func inSandbox(t *testing.T, c slack.Config, hook sandbox.SlackHook) (*sandbox.Sandbox, relay.Setup) {
	t.Helper()
	env := receiverstest.Env(t, set(t))
	vendor, err := sandbox.Start(sandbox.Options{Now: env.Now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, vendor.Close()) })
	hook.Team, hook.Bot, hook.Token = "T0", "B0", token
	c.APIURL = secret.New(vendor.Slack.Add(hook))
	return vendor, build(t, c, env)
}
