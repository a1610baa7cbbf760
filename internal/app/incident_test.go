package app_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/sandbox"
)

// apps are the three vendors whose messages live, and a configuration that sends to all of them.
func apps(t *testing.T) (*sandbox.Sandbox, string) {
	t.Helper()
	box, text := applications(t)
	bot := box.SlackAPI.Add(sandbox.SlackBot{
		Token: "xoxb-secret", App: "relay", Channels: []string{"latency", "errors"},
		Posts: sandbox.NoLimit(), Updates: sandbox.NoLimit(),
	})
	return box, text + fmt.Sprintf(`
    slack_configs:
      - {app_token: xoxb-secret, app_url: %q, channel: "#{{ .GroupLabels.alertname | toLower }}", rate_limit: {messages: 0}, timeout: 1m}
`, bot)
}

// An incident is what the readers of the three vendors see of one alert group.
type incident struct {
	t   *testing.T
	box *sandbox.Sandbox
}

// thread is the one message of the group in Slack, with its replies.
func (i *incident) thread() (head sandbox.Message, replies []sandbox.Message) {
	for _, m := range i.box.Inbox(sandbox.InboxSlack) {
		require.Empty(i.t, m.Flags)
		switch {
		case m.Group != "latency":
		case m.Slack.Thread == "":
			require.Nil(i.t, head.Slack, "one message")
			head = m
		default:
			replies = append(replies, m)
		}
	}
	for _, r := range replies {
		require.Equal(i.t, head.Slack.TS, r.Slack.Thread, "no reply without its message")
	}
	return head, replies
}

func (i *incident) cards(inbox string) []sandbox.Message { return i.box.Inbox(inbox) }

// await waits until Slack's message was updated so often, DingTalk's last card of so many too, and WeCom has so many cards.
func (i *incident) await(slackUpdates, dingtalkCards, dingtalkUpdates, wecomCards int) {
	i.t.Helper()
	require.Eventually(i.t, func() bool {
		cards := i.cards(sandbox.InboxDingTalk)
		return i.box.Counts(sandbox.InboxSlack).Delivered == 1+2*slackUpdates && len(cards) == dingtalkCards &&
			cards[len(cards)-1].Updates == dingtalkUpdates && len(i.cards(sandbox.InboxWeCom)) == wecomCards
	}, wait, tick)
	head, replies := i.thread()
	require.Len(i.t, head.Slack.Earlier, slackUpdates)
	require.Len(i.t, replies, slackUpdates, "each change is told in the thread")
}

// hang makes all vendors take their time until release.
func (i *incident) hang() (release func()) {
	c := make(chan struct{})
	i.box.SlackAPI.Break("/api/chat.update", sandbox.FaultHang(c))
	i.box.DingTalk.Break(sandbox.AccountApp, sandbox.FaultHang(c))
	i.box.WeCom.Break(sandbox.AccountApp, sandbox.FaultHang(c))
	return func() {
		i.box.SlackAPI.Repair("/api/chat.update")
		i.box.DingTalk.Repair(sandbox.AccountApp)
		i.box.WeCom.Repair(sandbox.AccountApp)
		close(c)
	}
}

// One incident fires, grows, changes while the vendors take their time, is resolved and fires again, each time told by another
// process: after a restart on the same storage, or by the other of two relays on one Redis. In Slack it is one message
// whatever happens; in DingTalk one card until it is resolved; of WeCom's cards, each of which can be updated once, all turn
// green in the end.
func TestAnIncidentLives(t *testing.T) {
	t.Parallel()
	for name, processes := range map[string]func(*testing.T, string) (next, meanwhile func() *process){
		"through restarts":                 restarted,
		"with two relays that share Redis": shared,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			box, text := apps(t)
			next, meanwhile := processes(t, text)
			testIncident(t, &incident{t, box}, next, meanwhile)
		})
	}
}

// restarted are processes on one storage, one after the other.
func restarted(t *testing.T, text string) (next, meanwhile func() *process) {
	t.Helper()
	storage := t.TempDir()
	var p *process
	return func() *process {
		if p != nil {
			p.stop()
		}
		p = start(t, storage, text, nil)
		return p
	}, func() *process { return p }
}

// shared are two processes that take turns; one of them is exchanged each time round.
func shared(t *testing.T, text string) (next, meanwhile func() *process) {
	t.Helper()
	text = inRedis(text, parts.StartRedis(t))
	begin := func() *process { return start(t, t.TempDir(), text, nil) }
	relays, turn := []*process{begin(), begin()}, 0
	meanwhile = func() *process {
		turn++
		return relays[turn%2]
	}
	return func() *process {
		if turn%2 == 1 {
			relays[0].stop()
			relays[0] = begin()
		}
		return meanwhile()
	}, meanwhile
}

func testIncident(t *testing.T, i *incident, next, meanwhile func() *process) {
	t.Helper()
	const red, green = "#c62828", "#1a7f37"
	var all []*process
	tell := func(p *process, alerts ...relay.Alert) *process {
		all = append(all, p)
		p.accept(t, "accepted", notification("Latency", alerts...))
		return p
	}
	tell(next(), firing("checkout"))
	i.await(0, 1, 0, 1)
	head, _ := i.thread()
	require.Equal(t, red, head.Slack.Attachments[0].Color)

	tell(next(), firing("checkout"), firing("search"))
	i.await(1, 1, 1, 2)
	head, replies := i.thread()
	for _, text := range []string{head.Text, i.cards(sandbox.InboxDingTalk)[0].Text, said(i.cards(sandbox.InboxWeCom)[1])} {
		require.Contains(t, text, "checkout is too slow")
		require.Contains(t, text, "search is too slow")
	}
	require.NotContains(t, replies[0].Text, "checkout is too slow", "the thread tells what is new")

	// While the vendors take their time with one state, two more come: they are told together.
	release := i.hang()
	p := tell(next(), firing("checkout"), firing("search"), firing("login"))
	require.Eventually(t, func() bool { return p.metric(t, "relay_sends_in_flight") == "3" }, wait, tick)
	tell(meanwhile(), firing("checkout"), firing("search"), firing("login"), firing("cart"))
	tell(meanwhile(), firing("checkout"), resolved("search"), firing("login"), firing("cart"))
	release()
	i.await(3, 1, 3, 4)
	head, replies = i.thread()
	require.Contains(t, head.Text, "Stands for 1 earlier")
	require.Contains(t, replies[2].Text, "cart is too slow")
	require.Contains(t, replies[2].Text, "search")
	for _, text := range []string{i.cards(sandbox.InboxDingTalk)[0].Text, said(i.cards(sandbox.InboxWeCom)[3])} {
		require.Contains(t, text, "Stands for 1 earlier")
		require.Contains(t, text, "cart is too slow")
	}

	tell(next(), resolved("checkout"), resolved("search"), resolved("login"), resolved("cart"))
	i.await(4, 1, 4, 4)
	head, _ = i.thread()
	require.Equal(t, green, head.Slack.Attachments[0].Color)
	require.Contains(t, head.Text, "[resolved]")
	require.Equal(t, "resolved", i.cards(sandbox.InboxDingTalk)[0].Params["status"])
	require.Eventually(t, func() bool {
		for _, card := range i.cards(sandbox.InboxWeCom) {
			if card.Updates != 1 {
				return false
			}
		}
		return true
	}, wait, tick)
	for _, card := range i.cards(sandbox.InboxWeCom) {
		require.Contains(t, card.Title, "resolved")
	}

	again := firing("checkout")
	again.StartsAt = time.Now()
	tell(next(), again)
	i.await(5, 2, 0, 5)
	head, _ = i.thread()
	require.Equal(t, red, head.Slack.Attachments[0].Color)
	require.Equal(t, "resolved", i.cards(sandbox.InboxDingTalk)[0].Params["status"], "that was another incident")
	require.Equal(t, "firing", i.cards(sandbox.InboxDingTalk)[1].Params["status"])

	// Another group is another message, in a channel of its own.
	meanwhile().accept(t, "accepted", notification("Errors", firing("api")))
	require.Eventually(t, func() bool {
		return i.box.Counts(sandbox.InboxSlack).Delivered == 12 && len(i.cards(sandbox.InboxDingTalk)) == 3 &&
			len(i.cards(sandbox.InboxWeCom)) == 6
	}, wait, tick)
	require.Equal(t, 1, i.box.DingTalk.Issued(), "the token outlives the process")
	require.Equal(t, 1, i.box.WeCom.Issued())
	for _, p := range all {
		for _, secret := range []string{"ding-app-secret", "wecom-app-secret", "token-", "xoxb-secret", "level=ERROR"} {
			require.NotContains(t, p.logs.String(), secret)
		}
	}
}

// TestANewMessageWhenTheOldOneIsTooOld: for a week, or as long as the configuration says, the news of a group goes to its
// message; and after a day without any it does not, because nobody scrolls back that far.
func TestANewMessageWhenTheOldOneIsTooOld(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		maxAge string
		pauses []time.Duration // between the states of a group
		old    bool            // what the last of them meets
	}{
		"news every day":              {"3d", []time.Duration{23 * time.Hour, 23 * time.Hour, 23 * time.Hour}, false},
		"a day of silence":            {"3d", []time.Duration{23 * time.Hour, 25 * time.Hour}, true},
		"less than max_age":           {"2h", []time.Duration{time.Hour, 50 * time.Minute}, false},
		"max_age, with news meantime": {"2h", []time.Duration{time.Hour, 70 * time.Minute}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			box, text := apps(t)
			text = strings.ReplaceAll(text, "timeout: 1m", "max_age: "+tt.maxAge)
			before, after, _ := strings.Cut(text, "slack_configs:")
			text = before + "slack_configs:" + strings.Replace(after, "max_age", "message_max_age", 1)
			synctest.Test(t, func(t *testing.T) {
				v := startVirtual(t, box, text)
				alerts := []relay.Alert{firing("checkout")}
				v.accept(t, notification("Latency", alerts...))
				time.Sleep(time.Minute)
				for n, pause := range tt.pauses {
					time.Sleep(pause - time.Minute)
					alerts = append(alerts, firing(fmt.Sprint("more", n)))
					if n == len(tt.pauses)-1 {
						for i := range alerts {
							alerts[i] = resolved(alerts[i].Labels["alertname"])
						}
					}
					v.accept(t, notification("Latency", alerts...))
					time.Sleep(time.Minute)
				}
				updates, messages := len(tt.pauses), 1
				if tt.old {
					updates, messages = updates-1, 2
				}
				cards := box.Inbox(sandbox.InboxDingTalk)
				require.Len(t, cards, messages)
				require.Equal(t, updates, cards[0].Updates)
				require.Equal(t, "resolved", cards[messages-1].Params["status"])

				var heads []sandbox.Message
				for _, m := range box.Inbox(sandbox.InboxSlack) {
					if m.Slack.Thread == "" {
						heads = append(heads, m)
					}
				}
				require.Len(t, heads, messages)
				require.Len(t, heads[0].Slack.Earlier, updates)
				require.Equal(t, "#1a7f37", heads[messages-1].Slack.Attachments[0].Color)

				// Of WeCom each state that fires is a card of its own, and only the end updates them.
				cards = box.Inbox(sandbox.InboxWeCom)
				require.Len(t, cards, len(tt.pauses)+messages-1)
				require.Contains(t, cards[len(cards)-1].Title, "resolved")
				for _, card := range cards[:len(cards)-1] {
					require.Equal(t, tt.old, card.Updates == 0)
				}
			})
		})
	}
}
