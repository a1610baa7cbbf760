package wecom_test

import (
	"cmp"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"math"
	"os"
	"path/filepath"
	"testing"

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
	pictured := map[string]wecom.Config{
		"wecom-template_card.zh-CN": {Common: relay.Common{Locale: relay.LocaleChinese}, MessageType: "template_card"},
	}
	for _, c := range types(t) {
		pictured["wecom-"+nameOf(c)] = c
	}
	for name, c := range pictured {
		c.URL, c.Locale, c.Mention = secret.New(link), cmp.Or(c.Locale, relay.LocaleEnglish), mentionOf(c)
		if c.MessageType == wecom.TypeImage {
			c.ImageFile = graph(t)
		}
		setup := build(t, c, env)
		d := receiverstest.Scene(t)
		if c.MessageType == wecom.TypeNews {
			d = receiverstest.Scenes(t)
		}
		messages, err := setup.Render(d)
		require.NoError(t, err)
		for _, m := range messages { // of an image and a file, the last is what it is about
			_, err = setup.Send(t.Context(), m)
			require.NoError(t, err)
		}
		inbox := vendor.Inbox(sandbox.InboxWeCom)
		names[inbox[len(inbox)-1].Seq] = name
	}
	maps.Copy(names, ofApplication(t, vendor, env))
	tab.Pictures(t, vendor.URL()+"/", sandbox.InboxWeCom, names, *update)
}

// graph draws what a job of somebody's might: the share of orders that fail, and the limit.
func graph(t *testing.T) secret.File {
	t.Helper()
	const width, height, limit = 320, 120, 80
	chart := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(chart, chart.Bounds(), image.White, image.Point{}, draw.Src)
	for x := range width {
		y := height - 20 - int(8*math.Sin(float64(x)/9)) - int(70/(1+math.Exp(float64(220-x)/12)))
		draw.Draw(chart, image.Rect(x, y, x+1, height), image.NewUniform(color.RGBA{214, 228, 247, 255}), image.Point{}, draw.Src)
		draw.Draw(chart, image.Rect(x, y-1, x+1, y+1), image.NewUniform(color.RGBA{43, 108, 217, 255}), image.Point{}, draw.Src)
		if x%8 < 5 {
			chart.Set(x, limit, color.RGBA{232, 89, 12, 255})
		}
	}
	name := filepath.Join(t.TempDir(), "graph.png")
	file, err := os.Create(name)
	require.NoError(t, err)
	require.NoError(t, png.Encode(file, chart))
	require.NoError(t, file.Close())
	return secret.File(name)
}

// ofApplication sends what robots cannot: a textcard, and two cards, of which one is over. It returns the numbers of the
// messages with their names.
func ofApplication(t *testing.T, vendor *sandbox.Sandbox, env relay.Env) map[int]string {
	t.Helper()
	api := vendor.WeCom.AddApp(sandbox.WeComApp{CorpID: "ww1", AgentID: 1000002, Secret: corpSecret, Name: "Alert relay"})
	names := map[int]string{}
	send := func(name, messageType string, d relay.Delivery) relay.Ref {
		c := app(messageType)
		c.Locale = relay.LocaleEnglish
		setup := buildApp(t, c, env, api)
		receipt, err := setup.Send(t.Context(), receiverstest.Render(t, setup, d)[0])
		require.NoError(t, err)
		inbox := vendor.Inbox(sandbox.InboxWeCom)
		names[inbox[len(inbox)-1].Seq] = name
		return receipt.Ref
	}
	send("wecom-textcard", wecom.TypeTextcard, receiverstest.Scene(t))
	another := receiverstest.Scene(t)
	another.ID += "-another"
	send("wecom-firing", wecom.TypeTemplateCard, another)
	ref := send("wecom-resolved", wecom.TypeTemplateCard, receiverstest.Scene(t))
	send("wecom-resolved", wecom.TypeTemplateCard, receiverstest.SceneOver(t, ref))
	return names
}
