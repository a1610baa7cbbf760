package parts

import (
	"context"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// A Tab is a tab of a headless Chromium of its own.
type Tab struct {
	// Context is what chromedp's actions run in.
	Context context.Context

	mu       sync.Mutex
	messages []string
	reading  sync.WaitGroup
	stop     context.CancelFunc
}

// OpenTab starts a Chromium that stays by itself: no update, no background traffic, a new profile. It ends with the test.
func OpenTab(tb testing.TB) *Tab {
	tb.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:len(chromedp.DefaultExecAllocatorOptions):len(
		chromedp.DefaultExecAllocatorOptions)],
		chromedp.ExecPath(Binary(tb, "chromium")),
		chromedp.UserDataDir(tb.TempDir()),
		chromedp.NoSandbox, // the tests may run as root, in a container
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("lang", "en"),
	)
	bounded, cancelBounded := context.WithTimeout(context.Background(), 4*patience)
	allocator, cancelAllocator := chromedp.NewExecAllocator(bounded, options...)
	ctx, cancel := chromedp.NewContext(allocator)
	t := &Tab{Context: ctx}
	t.stop = func() {
		_ = chromedp.Cancel(ctx) // waits for the browser's end, so that its profile can be removed
		cancel()
		cancelAllocator()
		cancelBounded()
		t.reading.Wait()
	}
	tb.Cleanup(t.stop)
	console := chromedp.Console(ctx)
	t.reading.Go(func() {
		for m, err := range console {
			if err != nil {
				return
			}
			t.mu.Lock()
			t.messages = append(t.messages, m.String()+" "+m.URL)
			t.mu.Unlock()
		}
	})
	return t
}

// Console is what the page and the browser's log have said so far: a clean page says nothing.
func (t *Tab) Console() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.messages...)
}
