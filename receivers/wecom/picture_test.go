package wecom_test

import (
	"strconv"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/sandbox"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/receivers/receiverstest"
	"github.com/alertrelay/relay/receivers/wecom"
)

// TestPictures takes those of the reference page, as the sandbox draws the messages.
func TestPictures(t *testing.T) {
	tab := parts.OpenTab(t)
	env := receiverstest.Env(t, words(t))
	vendor, err := sandbox.Start(sandbox.Options{Now: env.Now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, vendor.Close()) })
	link := vendor.WeCom.Add(sandbox.WeComRobot{Key: key, Group: "Order service", Robot: "Alert relay"})

	names := map[int]string{}
	for _, c := range types(t) {
		switch c.MessageType {
		case wecom.TypeText, wecom.TypeImage, wecom.TypeFile:
			continue // nothing to see
		}
		c.URL, c.Locale, c.Mention = secret.New(link), relay.LocaleEnglish, mentionOf(c)
		setup := build(t, c, env)
		d := receiverstest.Scene(t)
		if c.MessageType == wecom.TypeNews {
			d = receiverstest.Delivery(t, "mixed-2")
		}
		messages, err := setup.Render(d)
		require.NoError(t, err)
		_, err = setup.Send(t.Context(), messages[0])
		require.NoError(t, err)
		inbox := vendor.Inbox(sandbox.InboxWeCom)
		names[inbox[len(inbox)-1].Seq] = "wecom-" + nameOf(c)
	}
	names[resolvedCard(t, vendor, env)] = "wecom-resolved"
	require.NoError(t, chromedp.Do(tab.Context,
		chromedp.EmulateViewport(1600, 2400),
		chromedp.Navigate(vendor.URL()+"/"),
		chromedp.WaitVisible(chromedp.CSS("#wecom .msg")),
	))
	for seq, name := range names {
		tab.Picture(t, `#wecom .msg[data-seq="`+strconv.Itoa(seq)+`"]`, name, *update)
	}
	require.Empty(t, tab.Console())
}

// resolvedCard sends the card of an application, which is then updated, and returns the number of its message.
func resolvedCard(t *testing.T, vendor *sandbox.Sandbox, env relay.Env) int {
	t.Helper()
	c := app("template_card")
	c.Locale = relay.LocaleEnglish
	setup := buildApp(t, c, env, vendor.WeCom.AddApp(sandbox.WeComApp{
		CorpID: c.CorpID, AgentID: 1000002, Secret: corpSecret, Name: "Alert relay",
	}))
	d := receiverstest.Scene(t)
	receipt, err := setup.Send(t.Context(), renderTo(t, setup, d)[0])
	require.NoError(t, err)
	n := d.Notification()
	n.Status, n.Alerts[0].Status, n.Alerts[0].EndsAt = relay.StatusResolved, relay.StatusResolved, receiverstest.Now
	d.ID, d.Previous = d.ID+"b", receipt.Ref
	_, err = setup.Send(t.Context(), renderTo(t, setup, d)[0])
	require.NoError(t, err)
	inbox := vendor.Inbox(sandbox.InboxWeCom)
	return inbox[len(inbox)-1].Seq
}
