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
	"github.com/alertrelay/relay/internal/sandbox"
)

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
