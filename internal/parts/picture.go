package parts

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// Picture takes a picture of the first element at a CSS selector and, when update is set, keeps it for the documentation:
// docs/images/<name>.png.
func (t *Tab) Picture(tb testing.TB, selector, name string, update bool) {
	tb.Helper()
	shot, err := chromedp.Run(t.Context, chromedp.Screenshot(chromedp.CSS(selector)))
	require.NoError(tb, err)
	require.NotEmpty(tb, shot)
	if update {
		file := filepath.Join(Root(), "docs", "images", name+".png")
		require.NoError(tb, os.WriteFile(file, shot, 0o644))
	}
}
