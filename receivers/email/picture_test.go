package email_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/receivers/email"
)

// TestMailInABrowser looks at the mail on a phone and on a desk, light and dark, and with -update takes the pictures of the
// documentation.
func TestMailInABrowser(t *testing.T) {
	tab := parts.OpenTab(t)
	written := func(locale string) string {
		s := buildReal(t, email.Config{Common: relay.Common{Locale: locale}})
		return parse(t, envelope(t, render(t, s, recorded(t, s, "mixed-2"))).Mail).parts[1].body
	}
	letter, chinese := written(relay.LocaleEnglish), written(relay.LocaleChinese)
	// QQ Mail and others drop style elements: what is written into the elements must do.
	bare := regexp.MustCompile(`(?s)<style>.*?</style>`).ReplaceAllString(letter, "")
	require.NotEqual(t, letter, bare)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		switch r.URL.Path {
		case "/":
			fmt.Fprint(w, letter)
		case "/bare":
			fmt.Fprint(w, bare)
		case "/zh-CN":
			fmt.Fprint(w, chinese)
		}
	}))
	t.Cleanup(page.Close)
	for _, width := range []int64{390, 900} {
		for _, scheme := range []string{"light", "dark"} {
			for _, path := range []string{"/", "/bare", "/zh-CN"} {
				require.NoError(t, chromedp.Do(tab.Context, prefer(scheme), chromedp.EmulateViewport(width, 700),
					chromedp.Navigate(page.URL+path)))
				name := fmt.Sprintf("%d %s %s", width, scheme, path)
				require.LessOrEqual(t, evaluate[int64](t, tab, `document.documentElement.scrollWidth`), width, name)
				contrast := evaluate[float64](t, tab, worstContrast)
				if path != "/bare" || scheme == "light" {
					require.GreaterOrEqual(t, contrast, 4.5, "%s: what WCAG 2.2 asks of text", name)
				}
				if !*update || path == "/bare" || path == "/zh-CN" && (width != 390 || scheme != "light") {
					continue
				}
				shot, err := chromedp.Run(tab.Context, chromedp.FullScreenshot(100))
				require.NoError(t, err)
				image := filepath.Join(parts.Root(), "docs/images", fmt.Sprintf("mail-%s-%s%s.png",
					map[int64]string{390: "phone", 900: "desktop"}[width], scheme, map[string]string{"/zh-CN": ".zh-CN"}[path]))
				require.NoError(t, os.WriteFile(image, shot, 0o644))
			}
		}
	}
	for _, said := range tab.Console() {
		require.Contains(t, said, "favicon.ico")
	}
}

// worstContrast is the lowest contrast of a text with what is behind it: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio
const worstContrast = `(() => {
	const parse = c => c.match(/[\d.]+/g).map(Number);
	const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
		.map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const behind = e => {
		for (; e; e = e.parentElement) {
			const c = parse(getComputedStyle(e).backgroundColor);
			if (c.length < 4 || c[3] > 0) return c;
		}
		return [255, 255, 255];
	};
	let worst = 21;
	const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (texts.nextNode()) {
		const e = texts.currentNode.parentElement;
		if (!texts.currentNode.data.trim() || !e.offsetParent || e.tagName === 'STYLE') continue;
		if (parseFloat(getComputedStyle(e).fontSize) === 0) continue;
		const [a, b] = [luminance(parse(getComputedStyle(e).color)), luminance(behind(e))];
		worst = Math.min(worst, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
	}
	return worst;
})()`

func evaluate[T any](t *testing.T, tab *parts.Tab, script string) T {
	t.Helper()
	v, err := chromedp.Run(tab.Context, chromedp.Evaluate[T](script))
	require.NoError(t, err)
	return v
}

// prefer sets whether the reader's system is light or dark.
func prefer(scheme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	})
}

func TestRulesAreWrittenIntoTheElements(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ document, want string }{
		"no marked style": {`<style>p { color: red }</style><P class='a'>x</P><br/>`, `<style>p { color: red }</style><P class='a'>x</P><br/>`},
		"a tag":           {`<style data-inline>p { color: red; }</style><p>x</p><b>y</b>`, "<style>\n</style>" + `<p style="color: red">x</p><b>y</b>`},
		"classes win over tags, whatever the order": {
			`<style data-inline>.a { x: 1 } p { x: 2 } p.a { x: 3 }</style><p class="b a">x</p>`,
			"<style>\n</style>" + `<p class="b a" style="x: 2; x: 1; x: 3">x</p>`,
		},
		"the element's own wins": {`<style data-inline>td, th { x: 1 }</style><td style="x: 2">`, "<style>\n</style>" + `<td style="x: 1; x: 2">`},
		"others stay": {
			`<style data-inline>p > b { x: 1 } @media (a) { p { x: 2 } } .a .b { x: 3 } p { x: 4 }</style><p>`,
			"<style>\np > b { x: 1 }\n@media (a) { p { x: 2 } }\n.a .b { x: 3 }\n</style>" + `<p style="x: 4">`,
		},
		"attributes stay what they are": {
			`<style data-inline>a { x: 1 }</style><a href="?a=b&amp;c=%22">&lt;x&gt;</a>`,
			"<style>\n</style>" + `<a href="?a=b&amp;c=%22" style="x: 1">&lt;x&gt;</a>`,
		},
		"half a rule":       {`<style data-inline>p { x: 1</style><p>`, "<style>\n</style><p>"},
		"an empty selector": {`<style data-inline>{ x: 1 } . { x: 2 }</style><p>`, "<style>\n { x: 1 }\n. { x: 2 }\n</style><p>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, email.Inlined(tt.document))
		})
	}
}
