package dingtalk_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/sandbox"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/receivers/dingtalk"
	"github.com/alertrelay/relay/receivers/receiverstest"
)

// The sandbox plays DingTalk from its documents, without knowing this package.
func TestSandbox(t *testing.T) {
	t.Parallel()
	vendor, setup := inSandbox(t, dingtalk.Config{Mention: dingtalk.Mention{
		Mobiles: []string{"13800000000"}, UserIDs: []string{"a01"},
	}})
	send := func(d relay.Delivery) error {
		messages, err := setup.Render(d)
		require.NoError(t, err)
		for _, m := range messages {
			if _, err := setup.Send(t.Context(), m); err != nil {
				return err
			}
		}
		return nil
	}
	readers := func() []sandbox.Message { return vendor.Inbox(sandbox.InboxDingTalk) }

	for i, name := range receiverstest.Payloads() {
		d := receiverstest.Delivery(t, name)
		d.ID += name
		require.NoError(t, send(d), name)
		require.Len(t, readers(), i+1)
		require.Equal(t, []string{"13800000000", "a01"}, readers()[i].Mentioned, name)
		require.Empty(t, readers()[i].Flags, name)
	}

	shown := len(readers())
	unknown := receiverstest.Delivery(t, "single-firing")
	vendor.DingTalk.Inject("", sandbox.FaultDeliverThenClose())
	require.Equal(t, relay.Transient, relay.KindOf(send(unknown)), "the answer was lost")
	require.NoError(t, send(unknown))
	require.Len(t, readers(), shown+1, "the same msgUuid is shown once")

	plain := receiverstest.Delivery(t, "html-chars")
	plain.ID, plain.Plain = "plain", true
	require.NoError(t, send(plain))
	require.Equal(t, "text", readers()[shown+1].Type)

	long := receiverstest.Many(500)
	long.ID = "long"
	require.NoError(t, send(long))
	require.LessOrEqual(t, len(readers()), shown+2+relay.DefaultMaxParts)
}

// Whatever the message type, the vendor takes all of it, and ignores none of its fields.
func TestSandboxTakesEachType(t *testing.T) {
	t.Parallel()
	for _, c := range types() {
		t.Run(c.MessageType, func(t *testing.T) {
			t.Parallel()
			c.Keyword, c.Mention = "告警", mentionOf(c.MessageType)
			vendor, setup := inSandbox(t, c, sandbox.DingTalkRobot{Keywords: []string{"故障", "告警"}})
			for _, story := range receiverstest.Stories() {
				d := receiverstest.Story(t, story)
				d.ID += story
				messages, err := setup.Render(d)
				require.NoError(t, err)
				for _, m := range messages {
					_, err := setup.Send(t.Context(), m)
					require.NoError(t, err, story)
				}
			}
			kinds := map[string]int{}
			for _, m := range vendor.Inbox(sandbox.InboxDingTalk) {
				require.Empty(t, m.Flags, m.Text)
				require.False(t, m.MentionAll, m.Text)
				for _, who := range m.Mentioned {
					require.Contains(t, []string{"13800000000", "a01", "alice"}, who, "whom nobody configured")
				}
				kinds[m.Type]++
			}
			require.Positive(t, kinds[c.MessageType], kinds)
		})
	}
}

func TestSandboxRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		robot sandbox.DingTalkRobot
		sends int
		want  relay.Kind
	}{
		{"another secret", sandbox.DingTalkRobot{Secret: "SECother"}, 1, relay.Misconfigured},
		{"another secret, newer text", sandbox.DingTalkRobot{Secret: "SECother", NewWording: true}, 1, relay.Misconfigured},
		{"keyword", sandbox.DingTalkRobot{Secret: signing, Keywords: []string{"pager"}}, 1, relay.Misconfigured},
		{"disabled", sandbox.DingTalkRobot{Disabled: true}, 1, relay.Misconfigured},
		{"one message too many", sandbox.DingTalkRobot{}, 21, relay.RateLimited},
		{"the other code of it", sandbox.DingTalkRobot{RateCode410100: true}, 21, relay.RateLimited},
		{"codes as strings", sandbox.DingTalkRobot{CodeAsString: true}, 21, relay.RateLimited},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			vendor, setup := inSandbox(t, dingtalk.Config{})
			tt.robot.Token = token
			vendor.DingTalk.Add(tt.robot)
			for i := 1; i <= tt.sends; i++ {
				d := receiverstest.Delivery(t, "single-firing")
				d.ID += time.Duration(i).String()
				messages, err := setup.Render(d)
				require.NoError(t, err)
				_, err = setup.Send(t.Context(), messages[0])
				if i < tt.sends {
					require.NoError(t, err)
					continue
				}
				require.Error(t, err)
				require.Equal(t, tt.want, relay.KindOf(err), "%s", err)
			}
		})
	}
}

// inSandbox makes the integration of c with a robot that signs.
func inSandbox(
	t *testing.T, c dingtalk.Config, settings ...sandbox.DingTalkRobot,
) (*sandbox.Sandbox, relay.Setup) {
	t.Helper()
	env := receiverstest.Env(t, words(t))
	vendor, err := sandbox.Start(sandbox.Options{Now: env.Now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, vendor.Close()) })
	robot := sandbox.DingTalkRobot{}
	for _, robot = range settings {
	}
	robot.Token, robot.Secret, robot.Limit = token, signing, sandbox.Limit{Messages: 1000, Per: time.Minute}
	link := vendor.DingTalk.Add(robot)
	c.URL, c.Secret = secret.New(link), secret.New(signing)
	return vendor, build(t, c, env)
}
