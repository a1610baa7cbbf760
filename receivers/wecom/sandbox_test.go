package wecom_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/sandbox"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/receivers/receiverstest"
	"github.com/alertrelay/relay/receivers/wecom"
)

// The sandbox plays WeCom from its documents, without knowing this package.
func TestSandbox(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		config    wecom.Config
		mentioned []string
	}{
		{"markdown", wecom.Config{Mention: wecom.Mention{UserIDs: []string{"alice"}}}, []string{"alice"}},
		{
			"text",
			wecom.Config{MessageType: "text", Mention: wecom.Mention{UserIDs: []string{"alice"}, Mobiles: []string{"138"}}},
			[]string{"alice", "138"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			vendor, setup := inSandbox(t, tt.config)
			readers := func() []sandbox.Message { return vendor.Inbox(sandbox.InboxWeCom) }
			send := func(d relay.Delivery) {
				messages, err := setup.Render(d)
				require.NoError(t, err)
				for i, m := range messages {
					_, err := setup.Send(t.Context(), m)
					require.NoError(t, err)
					shown := readers()[len(readers())-1]
					require.Empty(t, shown.Flags)
					if i == 0 {
						require.Equal(t, tt.mentioned, shown.Mentioned)
					} else {
						require.Empty(t, shown.Mentioned)
					}
				}
			}
			for _, name := range receiverstest.Payloads() {
				d := receiverstest.Delivery(t, name)
				send(d)
				d.Plain = true
				send(d)
				require.Equal(t, "text", readers()[len(readers())-1].Type)
			}
			send(receiverstest.Many(500))
			require.False(t, readers()[0].MentionAll)
		})
	}
}

// Whatever the message type, the vendor takes all of it, and ignores or cuts nothing.
func TestSandboxTakesEachType(t *testing.T) {
	t.Parallel()
	for _, c := range types(t) {
		t.Run(nameOf(c), func(t *testing.T) {
			t.Parallel()
			c.Mention = mentionOf(c)
			vendor, setup := inSandbox(t, c)
			for _, story := range receiverstest.Stories() {
				messages, err := setup.Render(receiverstest.Story(t, story))
				require.NoError(t, err)
				for _, m := range messages {
					_, err := setup.Send(t.Context(), m)
					require.NoError(t, err, story)
				}
			}
			kinds := map[string]int{}
			for _, m := range vendor.Inbox(sandbox.InboxWeCom) {
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

// A file has all alerts, however many; WeCom keeps it for one robot and for three days, and each try hands it over anew.
func TestSandboxFile(t *testing.T) {
	t.Parallel()
	vendor, setup := inSandbox(t, wecom.Config{MessageType: "file"})
	d := receiverstest.Many(200)
	messages, err := setup.Render(d)
	require.NoError(t, err)
	require.Len(t, messages, 2)
	vendor.WeCom.Inject("", sandbox.FaultNone(),
		sandbox.FaultAnswer(200, "application/json", `{"errcode":40007,"errmsg":"invalid media_id"}`))
	_, err = setup.Send(t.Context(), messages[1])
	require.NoError(t, err, "uploaded once more")
	file := vendor.Inbox(sandbox.InboxWeCom)[0]
	require.Equal(t, "file", file.Type)
	require.Regexp(t, `^.* DiskFull.*\.txt$`, file.Title)
	for _, a := range d.Notification().Alerts {
		require.Contains(t, file.Text, a.Labels["instance"])
	}
	vendor.WeCom.Inject("", sandbox.FaultNone(),
		sandbox.FaultAnswer(200, "application/json", `{"errcode":40007,"errmsg":"invalid media_id"}`), sandbox.FaultNone(),
		sandbox.FaultAnswer(200, "application/json", `{"errcode":40007,"errmsg":"invalid media_id"}`))
	_, err = setup.Send(t.Context(), messages[1])
	require.Equal(t, relay.Refused, relay.KindOf(err))
}

func TestSandboxRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		robot sandbox.WeComRobot
		sends int
		want  relay.Kind
	}{
		{"disabled", sandbox.WeComRobot{Disabled: true}, 1, relay.Misconfigured},
		{"removed", sandbox.WeComRobot{Removed: true}, 1, relay.Misconfigured},
		{"one message too many", sandbox.WeComRobot{WarnOnSuccess: true}, 21, relay.RateLimited},
		{"shorter texts", sandbox.WeComRobot{TextLimit: 10}, 1, relay.Refused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			vendor, setup := inSandbox(t, wecom.Config{MessageType: "text"})
			tt.robot.Key = key
			vendor.WeCom.Add(tt.robot)
			messages, err := setup.Render(receiverstest.Delivery(t, "single-firing"))
			require.NoError(t, err)
			for range tt.sends - 1 {
				_, err = setup.Send(t.Context(), messages[0])
				require.NoError(t, err)
			}
			_, err = setup.Send(t.Context(), messages[0])
			require.Error(t, err)
			require.Equal(t, tt.want, relay.KindOf(err), "%s", err)
		})
	}
}

// inSandbox makes the integration of c with a robot of its own.
func inSandbox(t *testing.T, c wecom.Config) (*sandbox.Sandbox, relay.Setup) {
	t.Helper()
	env := receiverstest.Env(t, words(t))
	vendor, err := sandbox.Start(sandbox.Options{Now: env.Now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, vendor.Close()) })
	link := vendor.WeCom.Add(sandbox.WeComRobot{Key: key, Limit: sandbox.Limit{Messages: 1000, Per: time.Minute}})
	c.URL = secret.New(link)
	return vendor, build(t, c, env)
}
