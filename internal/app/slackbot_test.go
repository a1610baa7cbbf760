package app_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/sandbox"
)

// A group has one message in Slack, whatever happens in between: it grows, states are merged, the relay is restarted, all
// is resolved, and it fires again.
func TestABotKeepsOneMessagePerGroup(t *testing.T) {
	t.Parallel()
	box, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, box.Close())
		http.DefaultClient.CloseIdleConnections()
	})
	text := fmt.Sprintf(`
global: {locale: en, slack_app_token: xoxb-secret, slack_app_url: %q}
route: {receiver: ops}
receivers:
  - name: ops
    slack_configs: [{channel: "#{{ .GroupLabels.alertname | toLower }}", rate_limit: {messages: 0}}]
`, box.SlackAPI.Add(sandbox.SlackBot{
		Token: "xoxb-secret", App: "relay", Channels: []string{"latency", "errors"},
		Posts: sandbox.NoLimit(), Updates: sandbox.NoLimit(),
	}))
	storage := t.TempDir()
	p := start(t, storage, text, nil)
	delivered := 0
	await := func(calls int) (head sandbox.Message, replies []sandbox.Message) {
		t.Helper()
		delivered += calls
		require.Eventually(t, func() bool { return box.Counts(sandbox.InboxSlack).Delivered >= delivered }, wait, tick)
		for _, m := range box.Inbox(sandbox.InboxSlack) {
			require.Empty(t, m.Flags)
			switch {
			case m.Group != "latency":
			case m.Slack.Thread == "":
				require.Nil(t, head.Slack, "one message")
				head = m
			default:
				replies = append(replies, m)
			}
		}
		for _, r := range replies {
			require.Equal(t, head.Slack.TS, r.Slack.Thread, "no reply without its message")
		}
		return head, replies
	}
	const red, green = "#c62828", "#1a7f37"

	p.accept(t, "accepted", notification("Latency", firing("checkout")))
	head, _ := await(1)
	require.Equal(t, red, head.Slack.Attachments[0].Color)

	p.accept(t, "accepted", notification("Latency", firing("checkout"), firing("search")))
	head, replies := await(2)
	require.Contains(t, head.Text, "checkout is too slow")
	require.Contains(t, head.Text, "search is too slow")
	require.NotContains(t, replies[0].Text, "checkout is too slow", "the thread tells what is new")

	// While Slack does not answer, two more states come: they are told in one update and one reply.
	release := make(chan struct{})
	box.SlackAPI.Break("/api/chat.update", sandbox.FaultHang(release))
	p.accept(t, "accepted", notification("Latency", firing("checkout"), firing("search"), firing("login")))
	require.Eventually(t, func() bool { return p.metric(t, "relay_sends_in_flight") == "1" }, wait, tick)
	p.accept(t, "accepted", notification("Latency", firing("checkout"), firing("search"), firing("login"), firing("cart")))
	p.accept(t, "accepted", notification("Latency", firing("checkout"), resolved("search"), firing("login"), firing("cart")))
	close(release)
	box.SlackAPI.Repair("/api/chat.update")
	head, replies = await(4)
	require.Contains(t, head.Text, "Stands for 1 earlier")
	require.Len(t, replies, 3)
	require.Contains(t, replies[2].Text, "cart is too slow")
	require.Contains(t, replies[2].Text, "search")

	p.stop()
	p = start(t, storage, text, nil)
	p.accept(t, "accepted", notification("Latency",
		resolved("checkout"), resolved("search"), resolved("login"), resolved("cart")))
	head, _ = await(2)
	require.Equal(t, green, head.Slack.Attachments[0].Color)
	require.Contains(t, head.Text, "[resolved]")

	again := firing("checkout")
	again.StartsAt = time.Now()
	p.accept(t, "accepted", notification("Latency", again))
	head, replies = await(2)
	require.Equal(t, red, head.Slack.Attachments[0].Color)
	require.Len(t, replies, 5)
	require.Len(t, head.Slack.Earlier, 5)

	// Another group is another message, in a channel of its own.
	p.accept(t, "accepted", notification("Errors", firing("api")))
	await(1)
	require.Equal(t, 12, box.Counts(sandbox.InboxSlack).Delivered)
	require.NotContains(t, p.logs.String(), "xoxb-secret")
	require.NotContains(t, p.logs.String(), "level=ERROR")
}
