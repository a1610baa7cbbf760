package wechat_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/sandbox"
	"github.com/alertrelay/relay/receivers/receiverstest"
	"github.com/alertrelay/relay/receivers/wechat"
)

// TestPictures takes those of the reference page, as the sandbox draws the messages.
func TestPictures(t *testing.T) {
	tab := parts.OpenTab(t)
	vendor, err := sandbox.Start(sandbox.Options{Now: receiverstest.Env(t, set(t)).Now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, vendor.Close()) })
	api := vendor.WeCom.AddApp(sandbox.WeComApp{CorpID: "ww1", AgentID: 1000002, Secret: corpSecret, Name: "Alert relay"})
	names := map[int]string{}
	for _, messageType := range []string{"text", "markdown"} {
		c := item(t, `{corp_id: ww1, agent_id: "1000002", to_user: alice, locale: en, api_secret: `+corpSecret+`}`)
		c.MessageType = messageType
		setup := build(t, c, wechat.Globals{APIURL: api})
		_, err := setup.Send(t.Context(), receiverstest.Render(t, setup, receiverstest.Scene(t))[0])
		require.NoError(t, err)
		inbox := vendor.Inbox(sandbox.InboxWeCom)
		names[inbox[len(inbox)-1].Seq] = "wechat-" + messageType
	}
	tab.Pictures(t, vendor.URL()+"/", sandbox.InboxWeCom, names, *update)
}
