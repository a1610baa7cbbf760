package outboxtest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

//nolint:thelper // These are the tests themselves.
func historyTests() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"the history tells what became of a webhook": testHistory,
		"a duplicate is counted": func(t *testing.T, f *fixture) {
			w := f.webhook("g")
			f.accept(w)
			f.accept(f.copyOf(w))
			f.recall(w)
			events := f.history(outbox.HistoryQuery{Types: []outbox.EventType{outbox.EventDuplicate}})
			require.Len(t, events, 2)
			require.Equal(t, w.ID, events[0].Notification)
			require.Equal(t, w.ID, events[1].Notification)
		},
		"pages follow each other without gap or repeat": func(t *testing.T, f *fixture) {
			var want []string
			for range 25 {
				w := f.webhook("g")
				f.accept(w)
				want = append([]string{w.ID}, want...)
			}
			var got []string
			q := outbox.HistoryQuery{Limit: 4}
			for {
				events, cursor, err := f.History(t.Context(), q)
				require.NoError(t, err)
				require.LessOrEqual(t, len(events), 4)
				for _, e := range events {
					got = append(got, e.Notification)
				}
				if cursor == "" {
					break
				}
				q.Cursor = cursor
				f.accept(f.webhook("later"))
			}
			require.Equal(t, want, got, "what comes later is not on the pages after")
		},
		"what is no cursor is refused": func(t *testing.T, f *fixture) {
			_, _, err := f.History(t.Context(), outbox.HistoryQuery{Cursor: "no cursor"})
			require.EqualError(t, err, `history: "no cursor" is not a cursor`)
		},
		"a time range is from since to before until": func(t *testing.T, f *fixture) {
			var at []time.Time
			for range 4 {
				at = append(at, f.Now())
				f.accept(f.webhook("g"))
				f.Advance(time.Second)
			}
			events := f.history(outbox.HistoryQuery{Since: at[1], Until: at[3]})
			require.Len(t, events, 2)
			require.True(t, events[0].At.Equal(at[2]))
			require.True(t, events[1].At.Equal(at[1]))
		},
	}
}

func testHistory(t *testing.T, f *fixture) {
	t.Helper()
	w := f.webhook("g")
	w.Entries = append(w.Entries, f.entry("g", pay, "other"))
	f.accept(w)
	other := f.webhook("h")
	f.accept(other)
	accepted := f.Now()
	f.Advance(time.Second)
	for _, b := range f.claim(10) {
		lane := b.Lanes[0].Lane
		switch {
		case lane.GroupKey == "h":
			f.settle(b, outbox.Outcome{Result: outbox.Release})
		case lane.Integration == ops:
			f.settle(b, outbox.Outcome{
				Result: outbox.Sent, Items: ids(b), Part: 1, Parts: 1, Text: "told", Detail: "ok",
				Duration: 80 * time.Millisecond, Fallback: "a template failed",
			})
		default:
			f.settle(b, outbox.Outcome{Result: outbox.Retry, Items: ids(b), Reason: relay.Transient, Detail: "timeout"})
			b := f.claimOne()
			require.Equal(t, pay, b.Lanes[0].Lane.Integration)
			f.settle(b, outbox.Outcome{Result: outbox.Dead, Items: ids(b), Reason: relay.Refused, Detail: "no"})
		}
		if lane.GroupKey == "h" {
			f.terms = map[relay.IntegrationID]outbox.Terms{pay: {}}
		}
	}
	base := outbox.Event{
		At: f.Now(), Notification: w.ID, GroupKey: "g", Receiver: "ops", Room: "10086", Status: relay.StatusFiring,
		Alerts: 1, Destination: "main", Attempt: 1,
	}
	sent, retry, dead := base, base, base
	sent.Type, sent.Entry, sent.Integration, sent.Part, sent.Parts = outbox.EventSent, w.ID+"-0", ops, 1, 1
	sent.Text, sent.Detail, sent.Duration, sent.Fallback = "told", "ok", 80*time.Millisecond, "a template failed"
	retry.Type, retry.Entry, retry.Integration = outbox.EventRetrying, w.ID+"-1", pay
	retry.Reason, retry.Detail = relay.Transient, "timeout"
	dead.Type, dead.Entry, dead.Integration, dead.Attempt = outbox.EventFailed, w.ID+"-1", pay, 2
	dead.Reason, dead.Detail = relay.Refused, "no"

	require.Equal(t, []outbox.Event{sent}, f.history(outbox.HistoryQuery{Integration: ops}))
	require.Equal(t, []outbox.Event{dead, retry}, f.history(outbox.HistoryQuery{Notification: w.ID, Integration: pay}))
	all := f.history(outbox.HistoryQuery{Notification: w.ID})
	require.Len(t, all, 4)
	require.Equal(t, outbox.Event{
		At: accepted, Type: outbox.EventAccepted, Notification: w.ID, GroupKey: "g", Receiver: "ops",
		Status: relay.StatusFiring, Alerts: 1, Entries: 2,
	}, all[3], "newest first")
	require.Len(t, f.history(outbox.HistoryQuery{
		Types: []outbox.EventType{outbox.EventSent, outbox.EventFailed},
	}), 2)
}

func (f *fixture) history(q outbox.HistoryQuery) []outbox.Event {
	f.t.Helper()
	events, cursor, err := f.History(f.t.Context(), q)
	require.NoError(f.t, err)
	require.Empty(f.t, cursor)
	return events
}
