package sandbox_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/parts"
)

// A label that tries to be a script is a text, in a real browser too: in the page as it is loaded, and in what comes
// later.
func TestHostileTextDoesNothingInABrowser(t *testing.T) {
	tab := parts.OpenTab(t)
	sb, _ := start(t)
	fill(t, sb, hostile)
	require.NoError(t, chromedp.Do(tab.Context,
		chromedp.EmulateViewport(1600, 1000),
		chromedp.Navigate(sb.URL()+"/"),
		chromedp.WaitVisible(chromedp.CSS(".mail.open")),
	))
	fill(t, sb, hostile)
	require.NoError(t, chromedp.Do(tab.Context, chromedp.WaitReady(chromedp.CSS(`.mail[data-seq="16"]`))))
	title, err := chromedp.Run(tab.Context, chromedp.Title())
	require.NoError(t, err)
	require.Equal(t, "relay demo", title)
	for _, said := range tab.Console() { // the mail's own script is stopped by its frame, and that is said
		require.True(t, strings.Contains(said, "/mail/") && strings.Contains(said, "sandboxed"), said)
	}
}
