package outboxtest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/outbox"
)

//nolint:thelper // These are the tests themselves.
func acceptTests() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"a copy within the window is a duplicate": func(t *testing.T, f *fixture) {
			w := f.webhook("g")
			f.accept(w)
			f.Advance(window - 1)
			require.Equal(t, outbox.Accepted{ID: w.ID, Duplicate: true}, f.accept(f.copyOf(w)))
			require.Equal(t, outbox.Known{Duplicate: true, ID: w.ID}, f.recall(w))
			require.Equal(t, 1, f.stats().Pending)
		},
		"a duplicate does not extend the window": func(t *testing.T, f *fixture) {
			w := f.webhook("g")
			f.accept(w)
			f.Advance(window - time.Second)
			f.recall(w)
			f.accept(f.copyOf(w))
			f.Advance(time.Second)
			require.False(t, f.recall(w).Duplicate)
			require.False(t, f.accept(f.copyOf(w)).Duplicate)
		},
		"only the state last accepted counts": func(t *testing.T, f *fixture) {
			firing, resolved := f.webhook("g"), f.webhook("g")
			f.accept(firing)
			f.accept(resolved)
			again := f.copyOf(firing)
			require.False(t, f.recall(again).Duplicate)
			require.Equal(t, outbox.Accepted{ID: again.ID, Entries: 1}, f.accept(again))
		},
		"slots do not know each other": func(t *testing.T, f *fixture) {
			w, other := f.webhook("g"), f.webhook("h")
			other.State = w.State
			f.accept(w)
			require.False(t, f.recall(other).Duplicate)
			require.False(t, f.accept(other).Duplicate)
		},
		"the window is that of the call": func(t *testing.T, f *fixture) {
			w := f.webhook("g")
			f.accept(w)
			f.Advance(3 * time.Minute)
			short := f.copyOf(w)
			short.Window = 2 * time.Minute
			require.False(t, f.recall(short).Duplicate)
			require.False(t, f.accept(short).Duplicate)
		},
		"a mark from the future is worth nothing beyond the window": func(t *testing.T, f *fixture) {
			w := f.webhook("g")
			f.accept(w)
			f.Advance(-time.Second)
			require.True(t, f.recall(w).Duplicate, "clocks are set back a little all the time")
			require.True(t, f.accept(f.copyOf(w)).Duplicate)
			f.Advance(-time.Hour)
			require.False(t, f.recall(w).Duplicate)
			require.False(t, f.accept(f.copyOf(w)).Duplicate)
		},
		"what is silent only changes the state of its lane": testSilent,
		"of parallel copies one is accepted":                testParallelCopies,
		"accepting the same ID twice accepts it once": func(t *testing.T, f *fixture) {
			w := f.webhook("g")
			f.accept(w)
			other := f.webhook("g")
			f.accept(other)
			f.Advance(window)
			require.Equal(t, outbox.Accepted{ID: w.ID, Duplicate: true}, f.accept(w))
			require.Equal(t, outbox.Accepted{ID: other.ID, Duplicate: true}, f.accept(other))
			require.Equal(t, 2, f.stats().Pending)
		},
		"an unchanged part is left out": func(t *testing.T, f *fixture) {
			w := f.webhook("g")
			w.Entries = append(w.Entries, f.entry("g", pay, robot))
			require.Equal(t, 2, f.accept(w).Entries)
			next := f.webhook("g")
			next.Entries = append(next.Entries, w.Entries[1])
			require.Equal(t, outbox.Accepted{ID: next.ID, Entries: 1}, f.accept(next))
			require.Equal(t, 3, f.stats().Pending)
		},
		"an unchanged part is left out after it was told": func(t *testing.T, f *fixture) {
			w := f.webhook("g")
			f.accept(w)
			b := f.claimOne()
			f.settle(b, sent(b))
			next := f.webhook("g")
			next.Entries = w.Entries
			require.Equal(t, outbox.Accepted{ID: next.ID}, f.accept(next))
			require.Zero(t, f.stats().Pending)
			require.True(t, f.recall(next).Duplicate, "a webhook without entries is accepted like any other")
		},
		"a part is compared with the last one of its lane": func(t *testing.T, f *fixture) {
			w, changed, back := f.webhook("g"), f.webhook("g"), f.webhook("g")
			back.Entries = w.Entries
			for _, w := range []outbox.Webhook{w, changed, back} {
				require.Equal(t, 1, f.accept(w).Entries)
			}
		},
		"a reminder is told although nothing changed": func(t *testing.T, f *fixture) {
			w := f.webhook("g")
			f.accept(w)
			reminder := f.webhook("g")
			reminder.Entries, reminder.Reminder = w.Entries, true
			require.Equal(t, 1, f.accept(reminder).Entries)
		},
		"the last state again outside the window is a reminder": func(t *testing.T, f *fixture) {
			w := f.webhook("g")
			f.accept(w)
			f.Advance(4 * time.Hour)
			require.Equal(t, 1, f.accept(f.copyOf(w)).Entries)
		},
		"what was saved first stays": func(t *testing.T, f *fixture) {
			k := relay.AlertKey{Fingerprint: "a1b2c3d4e5f60718", StartsAt: f.Now()}
			again := relay.AlertKey{Fingerprint: k.Fingerprint, StartsAt: k.StartsAt.Add(time.Millisecond)}
			empty := relay.AlertKey{Fingerprint: "0000000000000000", StartsAt: f.Now()}
			first := relay.Saved{Room: "10086", Snapshot: relay.Snapshot{
				TraceID: "4bf92f3577b34da6", UserAgent: "iOS/17 \u00e9\x00", Extra: map[string]string{"build": "7"},
			}}
			w := f.webhook("g")
			w.Saved = map[relay.AlertKey]relay.Saved{k: first, empty: {}}
			f.accept(w)
			next := f.webhook("g")
			next.Saved = map[relay.AlertKey]relay.Saved{k: {Room: "other"}, empty: {Room: "late"}, again: {Room: "second"}}
			f.accept(next)
			known, err := f.Recall(t.Context(), outbox.Query{
				Slot: slot("new"), Window: window,
				Alerts: []relay.AlertKey{k, empty, again, {Fingerprint: "ffffffffffffffff", StartsAt: f.Now()}},
			})
			require.NoError(t, err)
			require.Equal(t, outbox.Known{
				Saved: map[relay.AlertKey]relay.Saved{k: first, empty: {}, again: {Room: "second"}},
			}, known)
		},
		"a duplicate saves nothing": func(t *testing.T, f *fixture) {
			w := f.webhook("g")
			f.accept(w)
			k := relay.AlertKey{Fingerprint: "a1b2c3d4e5f60718", StartsAt: f.Now()}
			again := f.copyOf(w)
			again.Saved = map[relay.AlertKey]relay.Saved{k: {Room: "1"}}
			f.accept(again)
			known, err := f.Recall(t.Context(), outbox.Query{Slot: slot("new"), Alerts: []relay.AlertKey{k}})
			require.NoError(t, err)
			require.Empty(t, known.Saved)
		},
		"a call ends when its context does": func(t *testing.T, f *fixture) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := f.Accept(ctx, f.webhook("g"))
			require.ErrorIs(t, err, outbox.ErrUnavailable)
			require.ErrorIs(t, err, context.Canceled)
			_, _, err = f.Claim(ctx, outbox.ClaimRequest{Max: 1, Lease: leaseTime, Integrations: f.terms})
			require.ErrorIs(t, err, outbox.ErrUnavailable)
			require.ErrorIs(t, f.Settle(ctx, outbox.Lease{}, outbox.Outcome{}), outbox.ErrUnavailable)
		},
	}
}

// testSilent: what is told without resolved alerts fires, ends in silence and fires again, with its old start.
func testSilent(t *testing.T, f *fixture) {
	t.Helper()
	state := dedupe.State{1}
	say := func(silent bool) outbox.Accepted {
		w := f.webhook("g")
		w.Entries[0].State, w.Entries[0].Silent = state, silent
		w.Entries[0].Told = map[string]time.Time{"a": f.Now()}
		if silent {
			w.Entries[0].State, w.Entries[0].Notification, w.Entries[0].Told = dedupe.State{2}, []byte{}, map[string]time.Time{}
		}
		return f.accept(w)
	}
	require.Zero(t, say(true).Entries, "of a lane that nobody knows there is nothing to keep")
	require.Zero(t, f.stats().Pending)
	require.Equal(t, 1, say(false).Entries)
	require.Zero(t, say(false).Entries, "unchanged")

	require.Zero(t, say(true).Entries)
	require.Equal(t, 1, say(false).Entries, "also while it waits")
	require.Equal(t, 2, f.stats().Pending)
	for range 2 {
		b := f.claimOne()
		f.settle(b, sent(b))
	}

	require.Zero(t, say(false).Entries, "told, and unchanged")
	require.Zero(t, say(true).Entries)
	require.Zero(t, f.stats().Pending)
	require.Equal(t, 1, say(false).Entries)
	require.Empty(t, f.claimOne().Lanes[0].Told, "so it is new")
}

func testParallelCopies(t *testing.T, f *fixture) {
	t.Helper()
	w := f.webhook("g")
	var copies []outbox.Webhook
	for range 64 {
		copies = append(copies, f.copyOf(w))
	}
	answers := make([]outbox.Accepted, len(copies))
	var all sync.WaitGroup
	for i := range copies {
		all.Go(func() { answers[i], _ = f.Accept(t.Context(), copies[i]) })
	}
	all.Wait()
	accepted := map[string]int{}
	first := ""
	for i, a := range answers {
		if !a.Duplicate {
			require.Equal(t, copies[i].ID, a.ID)
			first = a.ID
		}
		accepted[a.ID]++
	}
	require.Equal(t, map[string]int{first: 64}, accepted)
	require.Equal(t, 1, f.stats().Pending)
}

// copyOf returns the webhook as another request brings it: with an ID of its own.
func (f *fixture) copyOf(w outbox.Webhook) outbox.Webhook {
	w.ID = f.webhook(w.GroupKey).ID
	return w
}

func (f *fixture) recall(w outbox.Webhook) outbox.Known {
	f.t.Helper()
	known, err := f.Recall(f.t.Context(), outbox.Query{Slot: w.Slot, State: w.State, Window: w.Window})
	require.NoError(f.t, err)
	return known
}
