package dingtalk_test

import (
	"cmp"
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/robots"
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

	pictured := map[string]dingtalk.Config{
		"dingtalk-actionCard-one": {
			MessageType: "actionCard", Buttons: []robots.Button{{Title: `{{ word "runbook" }}`, URL: "{{ .Runbook }}"}},
		},
		"dingtalk-actionCard.zh-CN": {
			Common: relay.Common{Locale: relay.LocaleChinese}, MessageType: "actionCard", ButtonLayout: "horizontal",
		},
	}
	for _, c := range types() {
		pictured["dingtalk-"+c.MessageType] = c
	}
	names := map[int]string{}
	for name, c := range pictured {
		c.URL, c.Locale, c.Mention = secret.New(link), cmp.Or(c.Locale, relay.LocaleEnglish), mentionOf(c.MessageType)
		setup := build(t, c, env)
		d := receiverstest.Scene(t)
		if c.MessageType == "feedCard" {
			d = receiverstest.Scenes(t)
		}
		d.ID += name
		messages, err := setup.Render(d)
		require.NoError(t, err)
		_, err = setup.Send(t.Context(), messages[0])
		require.NoError(t, err)
		inbox := vendor.Inbox(sandbox.InboxDingTalk)
		names[inbox[len(inbox)-1].Seq] = name
	}
	maps.Copy(names, ofApplication(t, vendor, env))
	tab.Pictures(t, vendor.URL()+"/", sandbox.InboxDingTalk, names, *update)
}

// ofApplication sends two cards, of which one is over, and returns the numbers of their messages with their names.
func ofApplication(t *testing.T, vendor *sandbox.Sandbox, env relay.Env) map[int]string {
	t.Helper()
	c := application(dingtalk.TypeCard)
	c.Locale = relay.LocaleEnglish
	setup := buildApp(t, c, env, vendor.DingTalk.AddApp(sandbox.DingTalkApp{
		Key: "dingkey1", Secret: appSecret, RobotCode: "dingkey1", Robot: "Alert relay",
		Groups: map[string]string{groupID: "Order service"}, Templates: []string{"alert.schema"},
	}))
	names := map[int]string{}
	send := func(name string, d relay.Delivery) relay.Ref {
		receipt, err := setup.Send(t.Context(), receiverstest.Render(t, setup, d)[0])
		require.NoError(t, err)
		inbox := vendor.Inbox(sandbox.InboxDingTalk)
		names[inbox[len(inbox)-1].Seq] = name
		return receipt.Ref
	}
	another := receiverstest.Scene(t)
	another.ID += "-another"
	send("dingtalk-card", another)
	ref := send("dingtalk-card-resolved", receiverstest.Scene(t))
	send("dingtalk-card-resolved", receiverstest.SceneOver(t, ref))
	return names
}
