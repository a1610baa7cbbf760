package dingtalk_test

import (
	"strconv"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/sandbox"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/receivers/dingtalk"
	"github.com/alertrelay/relay/receivers/receiverstest"
)

// TestPictures takes those of the reference page, as the sandbox draws the messages.
func TestPictures(t *testing.T) {
	tab := parts.OpenTab(t)
	env := receiverstest.Env(t, words(t))
	vendor, err := sandbox.Start(sandbox.Options{Now: env.Now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, vendor.Close()) })
	link := vendor.DingTalk.Add(sandbox.DingTalkRobot{Token: token, Group: "Order service", Robot: "Alert relay"})

	for _, c := range types() {
		if c.MessageType == dingtalk.TypeText {
			continue // nothing to see
		}
		c.URL, c.Locale, c.Mention = secret.New(link), relay.LocaleEnglish, mentionOf(c.MessageType)
		setup := build(t, c, env)
		d := receiverstest.Scene(t)
		if c.MessageType == "feedCard" {
			d = receiverstest.Delivery(t, "mixed-2")
		}
		d.ID += c.MessageType
		messages, err := setup.Render(d)
		require.NoError(t, err)
		_, err = setup.Send(t.Context(), messages[0])
		require.NoError(t, err)
	}
	require.NoError(t, chromedp.Do(tab.Context,
		chromedp.EmulateViewport(1600, 2400),
		chromedp.Navigate(vendor.URL()+"/"),
		chromedp.WaitVisible(chromedp.CSS("#dingtalk .msg")),
	))
	for _, m := range vendor.Inbox(sandbox.InboxDingTalk) {
		tab.Picture(t, `#dingtalk .msg[data-seq="`+strconv.Itoa(m.Seq)+`"]`, "dingtalk-"+m.Type, *update)
	}
	require.Empty(t, tab.Console())
}
