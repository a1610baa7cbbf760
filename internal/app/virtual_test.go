package app_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/deliver"
	"github.com/alertrelay/relay/internal/sandbox"
	"github.com/alertrelay/relay/internal/wire"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/bolt"
	"github.com/alertrelay/relay/templates"
)

// A virtual relay is what delivers: integrations, the embedded store, the workers, and the vendors with their true limits.
// It has no network between, so that synctest's clock runs for all of it, and an hour takes a moment.
type virtual struct {
	box    *sandbox.Sandbox
	setups []relay.Setup
	store  *bolt.Store
	wake   func()
	count  int
	// trouble answers instead of a vendor; nil, or a nil answer and error, when there is none.
	trouble atomic.Pointer[func(*http.Request) (*http.Response, error)]
}

const robots = `
global: {locale: en}
route: {receiver: ops}
receivers:
  - name: ops
    dingtalk_configs: [{name: robot, url: %q, secret: %q}]
    wecom_configs: [{name: robot, url: %q}]
`

// startVirtual starts it in a bubble; box was started outside.
func startVirtual(t *testing.T, box *sandbox.Sandbox, text string) *virtual {
	t.Helper()
	v := &virtual{box: box}
	c, err := config.Parse("config.yaml", []byte(text))
	require.NoError(t, err)
	set, err := templates.New(templates.Config{Locale: "en"})
	require.NoError(t, err)
	v.store, err = bolt.Open(filepath.Join(t.TempDir(), "relay.db"), bolt.Options{})
	require.NoError(t, err)
	v.setups, err = c.Setups(relay.Env{
		Templates: set, HTTPClient: &http.Client{Transport: v}, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Cache: v.store.Cache(),
	})
	require.NoError(t, err)
	d := deliver.New(deliver.Options{Store: v.store, Setups: v.setups})
	v.wake = d.Wake
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		require.NoError(t, v.store.Close())
	})
	return v
}

// RoundTrip implements http.RoundTripper: the vendor is called, not reached.
func (v *virtual) RoundTrip(r *http.Request) (*http.Response, error) {
	if trouble := v.trouble.Load(); trouble != nil {
		if answer, err := (*trouble)(r); answer != nil || err != nil {
			return answer, err
		}
	}
	if r.Body == nil { // a server always has one
		r = r.Clone(r.Context())
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	v.box.Handler().ServeHTTP(w, r)
	return w.Result(), nil
}

// accept stores a notification for all integrations.
func (v *virtual) accept(t *testing.T, n *relay.Notification) {
	t.Helper()
	v.count++
	n.ID, n.ReceivedAt = fmt.Sprintf("01ARZ3NDEKTSV4RRFFQ69G%04d", v.count), time.Now()
	w := outbox.Webhook{
		ID: n.ID, ReceivedAt: n.ReceivedAt, GroupKey: n.GroupKey, Slot: dedupe.SlotOf("/webhook", "relay", n.GroupKey),
		State: dedupe.State{byte(v.count), byte(v.count >> 8)}, Status: n.Status, Alerts: len(n.Alerts),
	}
	for i := range v.setups {
		s := &v.setups[i]
		to, err := s.Destination(n)
		require.NoError(t, err)
		w.Entries = append(w.Entries, outbox.Entry{
			Lane:        outbox.Lane{Integration: s.ID, Destination: to.Key, GroupKey: n.GroupKey, Receiver: "relay"},
			Destination: to, Limiters: slices.Concat(to.Limiters, s.Limiters), State: w.State, Notification: wire.Append(nil, n),
		})
	}
	_, err := v.store.Accept(t.Context(), w)
	require.NoError(t, err)
	v.wake()
}

// TestAHundredGroupsInAMinute at the vendors' true limits, 20 messages a minute and a ban of ten minutes for the first one
// too many: all are shown, none is refused, each within a minute after it came.
func TestAHundredGroupsInAMinute(t *testing.T) {
	t.Parallel()
	strict := sandbox.Limit{Messages: 20, Per: time.Minute, Ban: 10 * time.Minute}
	for name, pause := range map[string]time.Duration{"at once": 0, "one after the other": 600 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			box := startBox(t)
			text := fmt.Sprintf(robots, box.DingTalk.Add(sandbox.DingTalkRobot{
				Token: "ding-token", Group: "Ops", Robot: "relay", Secret: dingtalkSecret, Limit: strict,
			}), dingtalkSecret, box.WeCom.Add(sandbox.WeComRobot{
				Key: "wecom-key", Group: "Ops", Robot: "relay", Limit: strict,
			}))
			synctest.Test(t, func(t *testing.T) { hundredGroups(t, startVirtual(t, box, text), pause) })
		})
	}
}

func hundredGroups(t *testing.T, v *virtual, pause time.Duration) {
	t.Helper()
	const groups = 100
	came := map[string]time.Time{}
	for i := range groups {
		alert := fmt.Sprintf("Alert%03d", i)
		came[alert] = time.Now()
		v.accept(t, notification(alert, firing(alert)))
		time.Sleep(pause)
	}
	time.Sleep(2 * time.Minute)
	synctest.Wait()
	for _, inbox := range []string{sandbox.InboxDingTalk, sandbox.InboxWeCom} {
		messages := v.box.Inbox(inbox)
		require.Len(t, v.box.Requests(inbox), len(messages), "%s refused none", inbox)
		for alert, at := range came {
			shown := slices.IndexFunc(messages, func(m sandbox.Message) bool {
				return strings.Contains(said(m), alert+" is too slow")
			})
			require.GreaterOrEqual(t, shown, 0, "%s was not shown in %s", alert, inbox)
			require.LessOrEqual(t, messages[shown].At.Sub(at), time.Minute, "%s in %s", alert, inbox)
		}
	}
}

// TestAVendorInTrouble for an hour: the other is told as always, what waits stays bounded, and all of it is told once the
// trouble is over.
func TestAVendorInTrouble(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func(*http.Request) (*http.Response, error){
		"hanging": func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
		"refusing inside a 200": func(*http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.WriteString(`{"errcode":-1,"errmsg":"系统繁忙"}`)
			return w.Result(), nil
		},
		"resetting": func(*http.Request) (*http.Response, error) { return nil, errors.New("connection reset by peer") },
		"refusing the credential": func(*http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.WriteString(`{"errcode":310000,"errmsg":"sign not match"}`)
			return w.Result(), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			box := startBox(t)
			text := fmt.Sprintf(robots, box.DingTalk.Add(sandbox.DingTalkRobot{
				Token: "ding-token", Group: "Ops", Robot: "relay", Secret: dingtalkSecret,
			}), dingtalkSecret, box.WeCom.Add(sandbox.WeComRobot{
				Key: "wecom-key", Group: "Ops", Robot: "relay", Limit: sandbox.NoLimit(),
			}))
			text = strings.Replace(text, "wecom_configs: [{", "wecom_configs: [{rate_limit: {messages: 0}, ", 1)
			synctest.Test(t, func(t *testing.T) { vendorInTrouble(t, startVirtual(t, box, text), trouble) })
		})
	}
}

func vendorInTrouble(t *testing.T, v *virtual, trouble func(*http.Request) (*http.Response, error)) {
	t.Helper()
	const groups, webhooks = 6, 180 // one in twenty seconds, for an hour
	ofDingTalk := func(r *http.Request) (*http.Response, error) {
		if strings.HasPrefix(r.URL.Path, "/robot/send") {
			return trouble(r)
		}
		return nil, nil //nolint:nilnil // no trouble
	}
	v.trouble.Store(&ofDingTalk)
	worst := 0
	for i := range webhooks {
		group := fmt.Sprint("Group", i%groups)
		alert := firing(fmt.Sprint(group, "Host", i/groups%10))
		if i/groups%2 == 1 {
			alert = resolved(fmt.Sprint(group, "Host", (i/groups-1)%10))
		}
		v.accept(t, notification(group, alert))
		time.Sleep(time.Second)
		require.Equal(t, i+1, v.box.Counts(sandbox.InboxWeCom).Delivered, "the other vendor is told at once")
		time.Sleep(19 * time.Second)
		stats, err := v.store.Stats(t.Context())
		require.NoError(t, err)
		worst = max(worst, stats.Pending)
	}
	require.Greater(t, worst, groups*outbox.LaneCap/2)
	require.LessOrEqual(t, worst, groups*(outbox.LaneCap+1), "what waits is bounded")
	require.Zero(t, v.box.Counts(sandbox.InboxDingTalk).Delivered)

	v.trouble.Store(nil)
	time.Sleep(10 * time.Minute) // the longest hold is five
	synctest.Wait()
	stats, err := v.store.Stats(t.Context())
	require.NoError(t, err)
	require.Zero(t, stats.Pending)
	require.Zero(t, stats.Dead)
	var told strings.Builder
	for _, m := range v.box.Inbox(sandbox.InboxDingTalk) {
		told.WriteString(said(m))
	}
	for i := range groups * 10 / 2 {
		host := fmt.Sprint("Group", i%groups, "Host", 2*(i/groups))
		require.Contains(t, told.String(), host)
	}
	require.LessOrEqual(t, len(v.box.Inbox(sandbox.InboxDingTalk)), 2*groups, "a backlog is no storm")
	ended := map[outbox.EventType]int{}
	q := outbox.HistoryQuery{
		Integration: v.setups[0].ID, Types: []outbox.EventType{outbox.EventSent, outbox.EventMerged}, Limit: 1000,
	}
	for {
		events, cursor, err := v.store.History(t.Context(), q)
		require.NoError(t, err)
		for _, e := range events {
			if e.Type == outbox.EventMerged || e.Part == e.Parts {
				ended[e.Type]++
			}
		}
		if q.Cursor = cursor; cursor == "" {
			break
		}
	}
	require.Equal(t, webhooks, ended[outbox.EventSent]+ended[outbox.EventMerged], "each has one end")
}

func startBox(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	box, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, box.Close()) })
	return box
}
