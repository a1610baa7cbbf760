package slack_test

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/sandbox"
	"github.com/alertrelay/relay/receivers/receiverstest"
	"github.com/alertrelay/relay/receivers/slack"
)

// TestTheMessageTurnsGreen sees it in a browser, and with -update takes the picture of the documentation.
func TestTheMessageTurnsGreen(t *testing.T) {
	tab := parts.OpenTab(t)
	c := newChannel(t, slack.Config{}, sandbox.SlackBot{})
	still := chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error { // a picture of a page at rest
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return err
	})
	require.NoError(t, chromedp.Do(tab.Context, chromedp.EmulateViewport(1600, 1400), still,
		chromedp.Navigate(c.vendor.URL()+"/?lang=en")))
	const stripe = `#slack .attachment rect[fill="`
	c.tell(group(1, map[int]relay.Change{0: relay.ChangeNew}))
	require.NoError(t, chromedp.Do(tab.Context, chromedp.WaitReady(chromedp.CSS(stripe+red+`"]`))))
	c.now = c.now.Add(2 * time.Minute)
	c.tell(group(2, map[int]relay.Change{1: relay.ChangeNew}))
	require.NoError(t, chromedp.Do(tab.Context, chromedp.WaitReady(chromedp.CSS("#slack .reply"))))
	c.now = c.now.Add(5 * time.Minute)
	c.tell(group(2, map[int]relay.Change{0: relay.ChangeResolved, 1: relay.ChangeResolved}))
	require.NoError(t, chromedp.Do(tab.Context, chromedp.WaitReady(chromedp.CSS(stripe+green+`"]`)),
		chromedp.WaitReady(chromedp.CSS("#slack .reply + .reply"))))
	heads, err := chromedp.Run(tab.Context, chromedp.Evaluate[int](`document.querySelectorAll("#slack .msg").length`))
	require.NoError(t, err)
	require.Equal(t, 1, heads, "the page shows one message with its thread")
	if *update {
		shot, err := chromedp.Run(tab.Context, chromedp.ScreenshotScale(chromedp.CSS("#slack .msg"), 2))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(parts.Root(), "docs/images/slack.png"), shot, 0o644))
	}
}

// TestPictures takes those of a webhook's messages: the default blocks, and an attachment with Alertmanager's keys.
func TestPictures(t *testing.T) {
	tab := parts.OpenTab(t)
	for name, c := range map[string]slack.Config{
		"slack-blocks":       {},
		"slack-blocks.zh-CN": {Common: relay.Common{Locale: relay.LocaleChinese}},
		"slack-attachment": {
			Text: new(`{{ template "relay.slack.text" . }}`), ShortFields: true,
			Fields: []slack.Field{{Title: "Cluster", Value: "{{ .CommonLabels.cluster }}"}, {Title: "Firing", Value: "{{ .FiringCount }}"}},
			Actions: []slack.Action{
				{Type: "button", Text: "Runbook", URL: "{{ .Runbook }}", Style: "primary"},
				{Type: "button", Text: "Silence", URL: "{{ .Silence }}"},
			},
		},
	} {
		c.Locale = cmp.Or(c.Locale, relay.LocaleEnglish)
		vendor, setup := inSandbox(t, c, sandbox.SlackHook{App: "Alert relay", Channel: "order-service"})
		for _, m := range receiverstest.Render(t, setup, receiverstest.Scene(t)) {
			_, err := setup.Send(t.Context(), m)
			require.NoError(t, err)
		}
		require.NoError(t, chromedp.Do(tab.Context, chromedp.EmulateViewport(1800, 1400),
			chromedp.Navigate(vendor.URL()+"/?lang=en"), chromedp.WaitVisible(chromedp.CSS("#slack .msg"))))
		tab.Picture(t, "#slack .msg", name, *update)
	}
	require.Empty(t, tab.Console())
}
