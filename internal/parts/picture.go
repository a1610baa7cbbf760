package parts

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

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
