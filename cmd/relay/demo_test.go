package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/internal/parts"
)

var update = flag.Bool("update", false, "take the screenshot of the demo anew")

// terminal is where a demo prints, for a test that reads along.
type terminal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.Write(p)
}

func (t *terminal) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

// startDemo runs relay demo. stop is Ctrl-C; it returns the exit code.
func startDemo(t *testing.T, args ...string) (out *terminal, page string, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out = &terminal{}
	done := make(chan int, 1)
	go func() { done <- run(ctx, append([]string{"demo"}, args...), out, out) }()
	stop = sync.OnceValue(func() int {
		cancel()
		return <-done
	})
	t.Cleanup(func() { stop() })
	parts.WaitFor(t, "the demo to say where it is", func() error {
		if m := regexp.MustCompile(`Look at it +(http://\S+)`).FindStringSubmatch(out.String()); m != nil {
			page = m[1]
			return nil
		}
		return errors.New(out.String())
	})
	return out, page, stop
}

func waitForLines(t *testing.T, out *terminal, text string, n int) {
	t.Helper()
	parts.WaitFor(t, "the demo to tell its story", func() error {
		if got := strings.Count(out.String(), text); got < n {
			return fmt.Errorf("%d of %d lines with %q:\n%s", got, n, text, out)
		}
		return nil
	})
}

// One line for each thing that happens; nothing stays behind; the end says how to use it for real.
func TestDemoTellsItsStoryOnTheTerminal(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	out, _, stop := startDemo(t, "--demo.speed=40")
	waitForLines(t, out, "  sent  ", 14)
	require.Zero(t, stop())
	printed := out.String()
	for text, n := range map[string]int{
		"  accepted  ": 3, "  duplicate  ": 1, "sent       dingtalk": 3, "sent       wecom": 3, "sent       slack": 5,
		"sent       email": 3, "retrying": 0, "failed": 0,
	} {
		require.Equal(t, n, strings.Count(printed, text), "%q in:\n%s", text, printed)
	}
	require.Contains(t, printed, demoAlertmanager)
	require.NotContains(t, printed, demoSecret)
	require.NotContains(t, printed, "<font")
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Empty(t, left)
}

// What the demo advises for real use is a valid configuration.
func TestDemoAdviceIsValid(t *testing.T) {
	t.Parallel()
	_, err := config.Parse("config.yaml", []byte(strings.ReplaceAll("\n"+demoRealConfig, "\n   ", "\n")))
	require.NoError(t, err)
}

func TestDemoRefusesASpeedOfNothing(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.Equal(t, exitUsage, run(t.Context(), []string{"demo", "--demo.speed=0"}, &out, &out))
	require.Contains(t, out.String(), "--demo.speed")
}

// What a newcomer sees, in a real browser: four inboxes with the firing and the resolved alert, with trace, room and
// client, and why one notification was suppressed.
func TestDemoInABrowser(t *testing.T) {
	tab := parts.OpenTab(t)
	speed := "--demo.speed=5"
	if *update {
		speed = "--demo.speed=1" // as a newcomer sees it
	}
	out, page, _ := startDemo(t, speed)
	require.NoError(t, chromedp.Do(tab.Context,
		chromedp.EmulateViewport(1600, 1060),
		prefer("reduced-motion", "reduce"), // a picture of a page at rest
		chromedp.Navigate(page+"/?lang=en"),
		chromedp.WaitVisible(chromedp.CSS("#email")),
	))
	waitForLines(t, out, "  sent  ", 14)

	inboxes := map[string]string{}
	parts.WaitFor(t, "the page to show all of it", func() error {
		text, err := chromedp.Run(tab.Context, chromedp.Evaluate[string](
			`JSON.stringify(Object.fromEntries([...document.querySelectorAll(".inbox")].map(i => [i.id, i.innerText])))`))
		if err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(text), &inboxes); err != nil {
			return err
		}
		for inbox, resolved := range map[string]string{
			"dingtalk": "已恢复", "wecom": "已恢复", "slack": "[resolved]", "email": "[resolved]",
		} {
			if !strings.Contains(inboxes[inbox], resolved) {
				return fmt.Errorf("no %s in %s: %s", resolved, inbox, inboxes[inbox])
			}
		}
		return nil
	})
	inboxes["email"] += mails(t, page)
	for inbox, firing := range map[string]string{
		"dingtalk": "严重", "wecom": "严重", "slack": "[critical]", "email": "[critical]",
	} {
		for _, want := range []string{
			firing, "APIErrorRateHigh", "APILatencyHigh", "10086", "4bf92f3577b34da6a3ce929d0e0e4736", "LiveApp/8.2.1", "下单接口错误率",
		} {
			require.Contains(t, inboxes[inbox], want, inbox)
		}
	}
	const red, green = "#c62828", "#1a7f37"
	bars, err := chromedp.Run(tab.Context, chromedp.Evaluate[[][]string](
		`[...document.querySelectorAll("#slack .msg")].map(m => [...m.querySelectorAll(".attachment rect")].map(r => r.getAttribute("fill")))`))
	require.NoError(t, err)
	require.Equal(t, [][]string{{green, red, green}}, bars, "one message that turned green, and its thread tells how")
	timeline, err := chromedp.Run(tab.Context, chromedp.Text(chromedp.CSS("#timeline")))
	require.NoError(t, err)
	require.Contains(t, timeline, "duplicate, suppressed")
	require.Contains(t, timeline, "earlier: nobody is told twice")

	shot, err := chromedp.Run(tab.Context, chromedp.CaptureScreenshot())
	require.NoError(t, err)
	require.NotEmpty(t, shot)
	if *update {
		image := filepath.Join(parts.Root(), "docs/images/demo.png")
		require.NoError(t, os.MkdirAll(filepath.Dir(image), 0o755))
		require.NoError(t, os.WriteFile(image, shot, 0o644))
	}

	light := background(t, tab)
	require.NoError(t, chromedp.Do(tab.Context, prefer("color-scheme", "dark"), chromedp.EmulateViewport(390, 844)))
	require.NotEqual(t, light, background(t, tab), "the page has a dark form")
	width, err := chromedp.Run(tab.Context, chromedp.Evaluate[int](`document.documentElement.scrollWidth`))
	require.NoError(t, err)
	require.LessOrEqual(t, width, 390, "a phone need not scroll sideways")

	require.Empty(t, tab.Console(), "no script fails and no policy is broken")
}

// prefer sets what the reader's system prefers.
func prefer(feature, value string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-" + feature, Value: value}},
		})
		return err
	})
}

// mails reads the letters, which the page shows in a frame of their own.
func mails(t *testing.T, page string) string {
	t.Helper()
	list, err := read(page + "/updates?after=0")
	require.NoError(t, err)
	var all strings.Builder
	for _, m := range regexp.MustCompile(`/mail/\d+`).FindAllString(list, -1) {
		letter, err := read(page + m)
		require.NoError(t, err)
		all.WriteString(letter)
	}
	return all.String()
}

func read(url string) (string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func background(t *testing.T, tab *parts.Tab) string {
	t.Helper()
	c, err := chromedp.Run(tab.Context, chromedp.Evaluate[string](
		`getComputedStyle(document.querySelector("#dingtalk")).backgroundColor`))
	require.NoError(t, err)
	return c
}
