package app_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/sandbox"
)

// slackBot is a bot in the sandbox, and a configuration that posts as it, to a channel named as the group.
func slackBot(t *testing.T) (box *sandbox.Sandbox, text string) {
	t.Helper()
	box, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, box.Close())
		http.DefaultClient.CloseIdleConnections()
	})
	return box, fmt.Sprintf(`
global: {locale: en, slack_app_token: xoxb-secret, slack_app_url: %q}
route: {receiver: ops}
receivers:
  - name: ops
    slack_configs: [{channel: "#{{ .GroupLabels.alertname | toLower }}", rate_limit: {messages: 0}}]
`, box.SlackAPI.Add(sandbox.SlackBot{
		Token: "xoxb-secret", App: "relay", Channels: []string{"latency", "errors"},
		Posts: sandbox.NoLimit(), Updates: sandbox.NoLimit(),
	}))
}

// awaitThread waits until so many calls were taken in all, and returns the one message of the channel with its replies.
func awaitThread(t *testing.T, box *sandbox.Sandbox, calls int) (head sandbox.Message, replies []sandbox.Message) {
	t.Helper()
	require.Eventually(t, func() bool { return box.Counts(sandbox.InboxSlack).Delivered >= calls }, wait, tick)
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

// A group has one message in Slack, whatever happens in between: it grows, states are merged, the relay is restarted, all
// is resolved, and it fires again.
func TestABotKeepsOneMessagePerGroup(t *testing.T) {
	t.Parallel()
	box, text := slackBot(t)
	storage := t.TempDir()
	p := start(t, storage, text, nil)
	delivered := 0
	await := func(calls int) (sandbox.Message, []sandbox.Message) {
		t.Helper()
		delivered += calls
		return awaitThread(t, box, delivered)
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

// Two relays on one Redis take turns with the webhooks of a group, and with the calls: it still has one message.
func TestReplicasShareTheMessageOfAGroup(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t)
	box, text := slackBot(t)
	text = inRedis(text, server)
	relays := []*process{start(t, t.TempDir(), text, nil), start(t, t.TempDir(), text, nil)}
	names := []string{"checkout", "search", "login", "cart", "pay"}
	calls := 0
	for n := range names {
		var alerts []relay.Alert
		for _, name := range names[:n+1] {
			alerts = append(alerts, firing(name))
		}
		relays[n%2].accept(t, "accepted", notification("Latency", alerts...))
		calls += min(n+1, 2)
		awaitThread(t, box, calls)
	}
	relays[0].stop() // the other one goes on alone
	var over []relay.Alert
	for _, name := range names {
		over = append(over, resolved(name))
	}
	relays[1].accept(t, "accepted", notification("Latency", over...))
	head, replies := awaitThread(t, box, calls+2)
	require.Contains(t, head.Text, "[resolved]")
	require.Len(t, replies, len(names))
	require.Len(t, head.Slack.Earlier, len(names))
}

// manyChannels is a bot at Slack's true rates with a channel for each group, and a configuration that posts to them.
func manyChannels(t *testing.T, groups []string) (box *sandbox.Sandbox, text string) {
	t.Helper()
	box = startBox(t)
	return box, fmt.Sprintf(`
global: {locale: en, slack_app_token: xoxb-secret, slack_app_url: %q}
route: {receiver: ops}
receivers:
  - name: ops
    slack_configs: [{channel: "{{ .GroupLabels.alertname | toLower }}"}]
`, box.SlackAPI.Add(sandbox.SlackBot{Token: "xoxb-secret", App: "relay", Channels: groups}))
}

// TestUpdatesHaveARateOfTheirOwn: Slack takes fifty updates a minute of an app, in all its channels together, and a post a
// second in each. When more groups change than that, none of the calls is refused: what is new is in the threads at once,
// and the messages above follow.
func TestUpdatesHaveARateOfTheirOwn(t *testing.T) {
	t.Parallel()
	var groups []string
	for n := range 120 {
		groups = append(groups, fmt.Sprintf("group%03d", n))
	}
	box, text := manyChannels(t, groups)
	synctest.Test(t, func(t *testing.T) {
		v := startVirtual(t, box, text)
		change := func(alerts ...relay.Alert) {
			for _, group := range groups {
				v.accept(t, notification(group, alerts...))
			}
		}
		change(firing("checkout"))
		time.Sleep(2 * time.Second)
		require.Len(t, box.Inbox(sandbox.InboxSlack), len(groups))

		change(firing("checkout"), firing("search"))
		time.Sleep(2 * time.Second)
		require.Len(t, box.Inbox(sandbox.InboxSlack), 2*len(groups), "what is new")
		time.Sleep(3 * time.Minute)
		change(resolved("checkout"), resolved("search"))
		time.Sleep(3 * time.Minute)
		green := 0
		for _, m := range box.Inbox(sandbox.InboxSlack) {
			require.Empty(t, m.Flags)
			if m.Slack.Thread == "" && m.Slack.Attachments[0].Color == "#1a7f37" {
				require.Len(t, m.Slack.Earlier, 2)
				green++
			}
		}
		require.Equal(t, len(groups), green)
		calls := 5 * len(groups) // a post, then twice an update and a reply
		require.Len(t, box.Requests(sandbox.InboxSlack), calls, "none is refused")
		require.Equal(t, calls, box.Counts(sandbox.InboxSlack).Delivered)
	})
}

// TestAPauseOfUpdatesHoldsUpNothingElse: Slack wants no update for a minute. New messages and what is new in a thread are
// told all the same, in every channel, and the message shows the newest state after the pause.
func TestAPauseOfUpdatesHoldsUpNothingElse(t *testing.T) {
	t.Parallel()
	groups := []string{"latency", "errors", "disk"}
	box, text := manyChannels(t, groups)
	synctest.Test(t, func(t *testing.T) {
		v := startVirtual(t, box, text)
		refused := 0
		limited := func(r *http.Request) (*http.Response, error) {
			if refused > 0 || r.URL.Path != "/api/chat.update" {
				return nil, nil //nolint:nilnil // no trouble
			}
			refused++
			w := httptest.NewRecorder()
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = w.WriteString(`{"ok":false,"error":"ratelimited"}`)
			return w.Result(), nil
		}
		v.trouble.Store(&limited)
		shown := func(channel string) (head sandbox.Message, replies int) {
			for _, m := range box.Inbox(sandbox.InboxSlack) {
				switch {
				case m.Group != channel:
				case m.Slack.Thread == "":
					head = m
				default:
					replies++
				}
			}
			return head, replies
		}
		for _, group := range groups[:2] {
			v.accept(t, notification(group, firing("checkout")))
		}
		time.Sleep(2 * time.Second)
		for _, group := range groups[:2] {
			v.accept(t, notification(group, firing("checkout"), firing("search")))
		}
		v.accept(t, notification(groups[2], firing("checkout")))
		time.Sleep(4 * time.Second)
		for _, group := range groups[:2] {
			head, replies := shown(group)
			require.Equal(t, 1, replies, "what is new in %s", group)
			require.Empty(t, head.Slack.Earlier)
		}
		head, _ := shown(groups[2])
		require.NotNil(t, head.Slack, "a new message")
		time.Sleep(time.Minute)
		for _, group := range groups[:2] {
			head, replies := shown(group)
			require.Equal(t, 1, replies)
			require.Len(t, head.Slack.Earlier, 1)
			require.Contains(t, head.Text, "search")
		}
		require.Equal(t, 1, refused)
	})
}
