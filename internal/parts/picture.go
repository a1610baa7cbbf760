package parts

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// Pictures takes pictures of messages in an inbox of the sandbox, which shows its page at url: those that names has by their
// numbers. The page must be clean.
func (t *Tab) Pictures(tb testing.TB, url, inbox string, names map[int]string, update bool) {
	tb.Helper()
	require.NoError(tb, chromedp.Do(t.Context, chromedp.EmulateViewport(1600, 2400), chromedp.Navigate(url),
		chromedp.WaitVisible(chromedp.CSS("#"+inbox+" .msg"))))
	for seq, name := range names {
		t.Picture(tb, "#"+inbox+` .msg[data-seq="`+strconv.Itoa(seq)+`"]`, name, update)
	}
	require.Empty(tb, t.Console())
}

// Picture takes a picture of the first element at a CSS selector and, when update is set, keeps it for the documentation:
// docs/images/<name>.png. The element's siblings are hidden for it: a chat that scrolls would show them instead.
func (t *Tab) Picture(tb testing.TB, selector, name string, update bool) {
	tb.Helper()
	alone := `(element => {
		for (const e of element.parentElement.children) e.style.display = e === element ? "" : "none";
		element.style.padding = "8px";
		element.scrollIntoView();
		return element.getBoundingClientRect().height;
	})(document.querySelector(` + strconv.Quote(selector) + `))`
	height, err := chromedp.Run(t.Context, chromedp.Evaluate[float64](alone))
	require.NoError(tb, err)
	require.Greater(tb, height, 40.0, "%s shows nothing", selector)
	shot, err := chromedp.Run(t.Context, chromedp.Screenshot(chromedp.CSS(selector)))
	require.NoError(tb, err)
	require.NotEmpty(tb, shot)
	if update {
		file := filepath.Join(Root(), "docs", "images", name+".png")
		require.NoError(tb, os.WriteFile(file, shot, 0o644))
	}
}
