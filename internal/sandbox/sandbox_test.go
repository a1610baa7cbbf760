package sandbox_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/alertrelay/relay/internal/sandbox"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/alertrelay/relay/internal/parts.onMainThread.func1.1"))
}

// clock is a clock that only the test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// start runs a sandbox on a clock of its own until the test ends.
func start(t *testing.T, change ...func(*sandbox.Options)) (*sandbox.Sandbox, *clock) {
	t.Helper()
	c := newClock()
	opts := sandbox.Options{Now: c.Now}
	for _, f := range change {
		f(&opts)
	}
	sb, err := sandbox.Start(opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	return sb, c
}

// reply is an answer over HTTP, read.
type reply struct {
	status      int
	contentType string
	header      http.Header
	body        string
}

// post posts JSON; change may alter the request.
func post(t *testing.T, url, body string, change ...func(*http.Request)) reply {
	t.Helper()
	r, err := try(t, url, body, change...)
	require.NoError(t, err)
	return r
}

func try(t *testing.T, url, body string, change ...func(*http.Request)) (reply, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	for _, f := range change {
		f(req)
	}
	// A connection of its own: a request that goes wrong must not be sent twice by the transport.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header.Get("Content-Type"), resp.Header, string(b)}, err
}

func TestKeepsTheNewest(t *testing.T) {
	t.Parallel()
	sb, _ := start(t, func(o *sandbox.Options) { o.Keep = 3 })
	url := sb.WeCom.Add(sandbox.WeComRobot{Key: "k", Limit: sandbox.NoLimit()})
	for _, text := range []string{"1", "2", "3", "4", "5", "6", "7", "8"} {
		post(t, url, `{"msgtype":"text","text":{"content":"`+text+`"}}`)
	}
	var kept []string
	for _, m := range sb.Inbox("wecom") {
		kept = append(kept, m.Text)
	}
	require.Equal(t, []string{"6", "7", "8"}, kept)
	require.Len(t, sb.Requests(""), 3)
	require.Equal(t, sandbox.Counts{Requests: 8, Delivered: 8}, sb.Counts("wecom"))
}

func TestCountOnlyKeepsNothing(t *testing.T) {
	t.Parallel()
	sb, _ := start(t, func(o *sandbox.Options) { o.CountOnly = true })
	url := sb.WeCom.Add(sandbox.WeComRobot{Key: "k"})
	post(t, url, `{"msgtype":"text","text":{"content":"x"}}`)
	post(t, url, `{"msgtype":"text","text":{"content":""}}`)
	_, err := sb.Await(t.Context(), "wecom", 1)
	require.NoError(t, err)
	require.Empty(t, sb.Inbox(""))
	require.Empty(t, sb.Requests(""))
	require.Equal(t, sandbox.Counts{Requests: 2, Delivered: 1, Refused: 1}, sb.Counts(""))
}

func TestAwaitWakesWhenAMessageComes(t *testing.T) {
	t.Parallel()
	sb, _ := start(t)
	url := sb.WeCom.Add(sandbox.WeComRobot{Key: "k"})
	got := make(chan []sandbox.Message)
	go func() {
		messages, _ := sb.Await(t.Context(), "wecom", 1)
		got <- messages
	}()
	post(t, url, `{"msgtype":"text","text":{"content":"hello"}}`)
	require.Equal(t, "hello", (<-got)[0].Text)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := sb.Await(ctx, "wecom", 2)
	require.ErrorIs(t, err, context.Canceled)
}

// serve runs a handler until the test ends.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}
