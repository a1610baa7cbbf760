package outboxtest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

//nolint:thelper // These are the tests themselves.
func laneTests() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"a webhook is accepted, claimed, settled, and gone": testRoundTrip,
		"a lane is told in order, one at a time": func(t *testing.T, f *fixture) {
			first, second := f.webhook("g"), f.webhook("g")
			f.accept(first)
			f.accept(second)
			b := f.claimOne()
			require.Equal(t, []string{first.ID + "-0"}, ids(b))
			batches, wait := f.claimWait(1)
			require.Empty(t, batches, "a leased lane is not claimed again")
			require.Equal(t, leaseTime, wait)
			f.settle(b, sent(b))
			b = f.claimOne()
			require.Equal(t, []string{second.ID + "-0"}, ids(b))
		},
		"lanes do not wait for each other": func(t *testing.T, f *fixture) {
			f.accept(f.webhook("g"))
			f.accept(f.webhook("h"))
			require.Len(t, f.claim(10), 2)
		},
		"no more than asked for is claimed": func(t *testing.T, f *fixture) {
			for _, g := range []string{"a", "b", "c"} {
				f.accept(f.webhook(g))
			}
			batches, wait := f.claimWait(2)
			require.Len(t, batches, 2)
			require.Positive(t, wait)
		},
		"lanes of integrations not named are left alone": func(t *testing.T, f *fixture) {
			f.accept(f.webhook("g"))
			f.terms = map[relay.IntegrationID]outbox.Terms{pay: {}}
			batches, wait := f.claimWait(1)
			require.Empty(t, batches)
			require.Equal(t, outbox.RemovedGrace, wait)
			f.terms = map[relay.IntegrationID]outbox.Terms{ops: {}}
			f.claimOne()
		},
		"what waits for a removed integration is dead after a while": testRemoved,
		"an integration that was back is waited for anew":            testRemovedAgain,
		"a lease that ends puts the lane back at the front": func(t *testing.T, f *fixture) {
			first := f.webhook("g")
			f.accept(first)
			f.claimOne()
			f.accept(f.webhook("h"))
			f.Advance(leaseTime)
			b := f.claimOne()
			require.Equal(t, []string{first.ID + "-0"}, ids(b))
			require.Equal(t, 1, b.Lanes[0].Crashes)
			require.Equal(t, 1, b.Lanes[0].Attempt)
			f.Advance(leaseTime)
			require.Equal(t, 2, f.claimOne().Lanes[0].Crashes)
		},
		"crashes are counted in a row": func(t *testing.T, f *fixture) {
			f.accept(f.webhook("g"))
			f.claimOne()
			f.Advance(leaseTime)
			b := f.claimOne()
			f.settle(b, outbox.Outcome{Result: outbox.Retry, Items: ids(b)})
			require.Zero(t, f.claimOne().Lanes[0].Crashes)
		},
		"a lease is settled once": func(t *testing.T, f *fixture) {
			f.accept(f.webhook("g"))
			b := f.claimOne()
			f.settle(b, sent(b))
			require.ErrorIs(t, f.Settle(t.Context(), b.Lease, sent(b)), outbox.ErrStale)
		},
		"a lease that ended is stale": func(t *testing.T, f *fixture) {
			f.accept(f.webhook("g"))
			b := f.claimOne()
			f.Advance(leaseTime)
			require.ErrorIs(t, f.Settle(t.Context(), b.Lease, sent(b)), outbox.ErrStale)
			second := f.claimOne()
			require.ErrorIs(t, f.Settle(t.Context(), b.Lease, sent(b)), outbox.ErrStale)
			f.settle(second, sent(second))
		},
		"a lease that was never given is stale": func(t *testing.T, f *fixture) {
			require.ErrorIs(t, f.Settle(t.Context(), outbox.Lease{Nonce: "x"}, outbox.Outcome{}), outbox.ErrStale)
		},
		"items that were not claimed change nothing": func(t *testing.T, f *fixture) {
			w := f.webhook("g")
			f.accept(w)
			b := f.claimOne()
			o := outbox.Outcome{Result: outbox.Sent, Items: []string{"other"}}
			require.ErrorIs(t, f.Settle(t.Context(), b.Lease, o), outbox.ErrStale)
			f.settle(b, sent(b))
		},
		"a retry waits, keeps its place, and counts": func(t *testing.T, f *fixture) {
			first := f.webhook("g")
			f.accept(first)
			f.accept(f.webhook("g"))
			b := f.claimOne()
			f.settle(b, outbox.Outcome{Result: outbox.Retry, Items: ids(b), After: 5 * time.Second})
			batches, wait := f.claimWait(1)
			require.Empty(t, batches)
			require.Equal(t, 5*time.Second, wait)
			f.accept(f.webhook("h"))
			require.NotEqual(t, first.ID+"-0", ids(f.claimOne())[0], "other lanes go on")
			f.Advance(5 * time.Second)
			b = f.claimOne()
			require.Equal(t, []string{first.ID + "-0"}, ids(b))
			require.Equal(t, 2, b.Lanes[0].Attempt)
			f.settle(b, sent(b))
			require.Equal(t, 1, f.claimOne().Lanes[0].Attempt, "it starts anew with each item")
		},
		"a pause that the vendor asked for counts no attempt": func(t *testing.T, f *fixture) {
			f.accept(f.webhook("g"))
			b := f.claimOne()
			f.settle(b, outbox.Outcome{Result: outbox.Retry, Items: ids(b), Reason: relay.RateLimited})
			require.Equal(t, 1, f.claimOne().Lanes[0].Attempt)
		},
		"a release gives the lane and the slot back": func(t *testing.T, f *fixture) {
			f.terms = map[relay.IntegrationID]outbox.Terms{ops: {Limit: relay.Limit{Messages: 1, Per: time.Minute}}}
			f.accept(f.webhook("g"))
			b := f.claimOne()
			f.settle(b, outbox.Outcome{Result: outbox.Release})
			again := f.claimOne()
			require.Equal(t, b.Lanes, again.Lanes)
			require.NotEqual(t, b.Lease.Nonce, again.Lease.Nonce)
		},
		"what can never be sent goes to the dead letters": func(t *testing.T, f *fixture) {
			f.accept(f.webhook("g"))
			next := f.webhook("g")
			f.accept(next)
			b := f.claimOne()
			f.settle(b, outbox.Outcome{Result: outbox.Dead, Items: ids(b), Reason: relay.Refused, Detail: "too long"})
			st := f.stats()
			require.Equal(t, 1, st.Dead)
			require.Equal(t, 1, st.Pending)
			b = f.claimOne()
			require.Equal(t, []string{next.ID + "-0"}, ids(b), "the lane goes on")
			require.Nil(t, b.Lanes[0].Told, "what is dead was not told")
			require.Zero(t, b.Lanes[0].ToldAt)
		},
		"parts still to send are kept, and the item with them": testParts,
		"what was told and the ref stay with the lane": func(t *testing.T, f *fixture) {
			w := f.webhook("g")
			f.accept(w)
			b := f.claimOne()
			o := sent(b)
			o.Ref = "1716.22"
			f.settle(b, o)
			first := f.Now()
			f.Advance(time.Second)
			require.Zero(t, f.stats().Pending)
			next := f.webhook("g")
			f.accept(next)
			b = f.claimOne()
			require.Equal(t, relay.Ref("1716.22"), b.Lanes[0].Ref)
			require.Equal(t, w.Entries[0].Told, b.Lanes[0].Told)
			require.Equal(t, first, b.Lanes[0].ToldAt)
			f.settle(b, sent(b))
			second := f.Now()
			f.Advance(time.Second)
			last := f.webhook("g")
			last.Entries[0].Told = nil
			f.accept(last)
			b = f.claimOne()
			require.Equal(t, relay.Ref("1716.22"), b.Lanes[0].Ref, "an empty ref keeps the one before")
			require.Equal(t, next.Entries[0].Told, b.Lanes[0].Told)
			f.settle(b, outbox.Outcome{Result: outbox.Retry, Items: ids(b), Ref: "99"})
			b = f.claimOne()
			require.Equal(t, relay.Ref("99"), b.Lanes[0].Ref)
			require.Equal(t, next.Entries[0].Told, b.Lanes[0].Told, "a retry tells nothing")
			require.Equal(t, second, b.Lanes[0].ToldAt)
			f.settle(b, sent(b))
			f.accept(f.webhook("g"))
			b = f.claimOne()
			require.Nil(t, b.Lanes[0].Told, "nothing fires any more")
			require.Equal(t, f.Now(), b.Lanes[0].ToldAt)
		},
		"what waits in a lane is told together":            testMerge,
		"no more than twenty are told together":            testMergeMost,
		"nothing merges into a delivery half told":         testMergeHalfTold,
		"what is refused together is told apart":           testApart,
		"after a crash nothing older is told than before":  testCrash,
		"after three crashes the head of a lane is alone":  testCrashAlone,
		"after a crash what waits may be folded before":    testCrashFold,
		"what can never be sent together is dead together": testDeadTogether,
		"entries of one webhook are told apart": func(t *testing.T, f *fixture) {
			w := f.webhook("g")
			same := f.entry("g", pay, "other")
			same.Notification = w.Entries[0].Notification
			last := f.entry("h", pay, "other")
			w.Entries = append(w.Entries, same, last)
			f.accept(w)
			bodies := map[string]string{}
			for _, b := range f.claim(10) {
				bodies[b.Lanes[0].Items[0].ID] = string(b.Lanes[0].Items[0].Notification)
				f.settle(b, sent(b))
			}
			require.Equal(t, map[string]string{
				w.ID + "-0": string(same.Notification), w.ID + "-1": string(same.Notification),
				w.ID + "-2": string(last.Notification),
			}, bodies)
			require.Zero(t, f.stats().Pending)
		},
	}
}

func testRoundTrip(t *testing.T, f *fixture) {
	t.Helper()
	w := f.webhook("g")
	require.Equal(t, outbox.Accepted{ID: w.ID, Entries: 1}, f.accept(w))
	require.Equal(t, outbox.Stats{
		Pending: 1, Lanes: 1, Oldest: w.ReceivedAt,
		Limiters: map[relay.LimiterID]int{robot: 1}, Holds: map[relay.LimiterID]time.Time{},
		Windows: map[relay.LimiterID]outbox.Window{},
	}, f.stats())

	b := f.claimOne()
	require.Equal(t, outbox.Batch{
		Lease: outbox.Lease{Nonce: b.Lease.Nonce, Until: f.Now().Add(leaseTime)}, Limiter: robot,
		Lanes: []outbox.LaneBatch{{
			Lane: w.Entries[0].Lane, Destination: w.Entries[0].Destination, Attempt: 1,
			Items: []outbox.Item{{ID: w.ID + "-0", At: w.ReceivedAt, Notification: w.Entries[0].Notification}},
		}},
	}, b)
	require.Equal(t, 1, f.stats().InFlight)

	f.settle(b, sent(b))
	st := f.stats()
	require.Zero(t, st.Pending+st.Lanes+st.InFlight+st.Dead)
	require.Empty(t, st.Limiters)
	batches, wait := f.claimWait(1)
	require.Empty(t, batches)
	require.Zero(t, wait, "nothing is pending")
}

func testParts(t *testing.T, f *fixture) {
	t.Helper()
	w := f.webhook("g")
	f.accept(w)
	f.accept(f.webhook("g"))
	parts := []relay.Message{
		{ID: "m2", Part: 2, Parts: 3, Body: []byte("two"), Text: "two"}, {ID: "m3", Part: 3, Parts: 3, Body: []byte("3")},
	}
	b := f.claimOne()
	o := sent(b)
	o.Rest, o.Ref = parts, "thread"
	f.settle(b, o)

	b = f.claimOne()
	require.Equal(t, []string{w.ID + "-0"}, ids(b))
	require.Equal(t, parts, b.Lanes[0].Rest)
	require.Equal(t, relay.Ref("thread"), b.Lanes[0].Ref)
	require.Nil(t, b.Lanes[0].Told, "half told is not told")
	f.settle(b, outbox.Outcome{Result: outbox.Retry, Items: ids(b), Rest: parts, After: time.Second})
	f.Advance(time.Second)

	b = f.claimOne()
	require.Equal(t, parts, b.Lanes[0].Rest, "a retry keeps the rest")
	require.Equal(t, 2, b.Lanes[0].Attempt)
	f.settle(b, outbox.Outcome{Result: outbox.Retry, Items: ids(b)})
	b = f.claimOne()
	require.Equal(t, parts, b.Lanes[0].Rest, "also one that does not repeat it")
	o = sent(b)
	o.Rest = parts[1:]
	f.settle(b, o)

	b = f.claimOne()
	require.Equal(t, parts[1:], b.Lanes[0].Rest)
	f.settle(b, sent(b))
	b = f.claimOne()
	require.Empty(t, b.Lanes[0].Rest, "the next item has none")
	require.Equal(t, w.Entries[0].Told, b.Lanes[0].Told)
}

func testRemoved(t *testing.T, f *fixture) {
	t.Helper()
	for _, group := range []string{"g", "g", "h"} {
		f.accept(f.webhook(group))
	}
	f.terms = map[relay.IntegrationID]outbox.Terms{pay: {}}
	f.claimWait(1)
	f.Advance(outbox.RemovedGrace - 1)
	batches, wait := f.claimWait(1)
	require.Empty(t, batches)
	require.Equal(t, time.Duration(1), wait)
	require.Equal(t, 3, f.stats().Pending)
	f.Advance(1)
	batches, wait = f.claimWait(1)
	require.Empty(t, batches)
	require.Zero(t, wait)
	st := f.stats()
	require.Equal(t, 3, st.Dead)
	require.Equal(t, map[relay.IntegrationID]int{ops: 3}, f.removed)
	require.Zero(t, st.Pending)
	events := f.history(outbox.HistoryQuery{Types: []outbox.EventType{outbox.EventFailed}})
	require.Len(t, events, 3)
	require.Equal(t, outbox.ReasonRemoved, events[0].Reason)

	f.terms = map[relay.IntegrationID]outbox.Terms{ops: {}}
	f.requeue(true, events[0].Entry)
	require.Equal(t, []string{events[0].Entry}, ids(f.claimOne()), "once it is back it can be told")
}

func testRemovedAgain(t *testing.T, f *fixture) {
	t.Helper()
	with, without := f.terms, map[relay.IntegrationID]outbox.Terms{pay: {}}
	f.accept(f.webhook("g"))
	f.terms = without
	f.claimWait(1)
	f.Advance(outbox.RemovedGrace)
	f.claimWait(1)
	require.Equal(t, 1, f.removed[ops])

	f.terms = with
	f.claimWait(1) // with nothing pending
	f.Advance(time.Hour)
	f.accept(f.webhook("h"))
	f.terms = without
	batches, wait := f.claimWait(1)
	require.Empty(t, batches)
	require.Equal(t, outbox.RemovedGrace, wait)
	require.Equal(t, 1, f.stats().Pending)
}
