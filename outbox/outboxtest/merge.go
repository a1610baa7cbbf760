package outboxtest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

func testMerge(t *testing.T, f *fixture) {
	t.Helper()
	w := f.acceptLane(3)
	b := f.claimOne()
	require.Len(t, b.Lanes, 1)
	var want []outbox.Item
	for _, w := range w {
		want = append(want, outbox.Item{ID: w.ID + "-0", At: w.ReceivedAt, Notification: w.Entries[0].Notification})
	}
	require.Equal(t, want, b.Lanes[0].Items, "oldest first")
	late := f.webhook("g")
	f.accept(late)
	require.ErrorIs(t, f.Settle(t.Context(), b.Lease, outbox.Outcome{
		Result: outbox.Sent, Items: ids(b)[:2],
	}), outbox.ErrStale, "not what was claimed")
	f.settle(b, sent(b))
	require.Equal(t, 1, f.stats().Pending)

	events := f.history(outbox.HistoryQuery{Types: []outbox.EventType{outbox.EventSent, outbox.EventMerged}})
	require.Len(t, events, 3)
	require.Equal(t, outbox.EventSent, events[0].Type, "the newest is the one sent")
	require.Equal(t, w[2].ID, events[0].Notification)
	for i, e := range events[1:] {
		require.Equal(t, outbox.EventMerged, e.Type)
		require.Equal(t, w[1-i].ID+"-0", e.Entry)
		require.Equal(t, w[2].ID+"-0", e.Detail)
		require.Equal(t, events[0].Attempt, e.Attempt, "that of the message that told it")
	}
	b = f.claimOne()
	require.Equal(t, []string{late.ID + "-0"}, ids(b))
	require.Equal(t, w[2].Entries[0].Told, b.Lanes[0].Told, "the reader knows what the newest said")
}

func testMergeMost(t *testing.T, f *fixture) {
	t.Helper()
	w := f.acceptLane(outbox.MergeMost + 2)
	b := f.claimOne()
	require.Len(t, ids(b), outbox.MergeMost)
	f.settle(b, sent(b))
	b = f.claimOne()
	require.Equal(t, []string{w[20].ID + "-0", w[21].ID + "-0"}, ids(b))
}

func testMergeHalfTold(t *testing.T, f *fixture) {
	t.Helper()
	f.acceptLane(2)
	first := f.claimOne()
	o := sent(first)
	o.Rest = []relay.Message{{ID: "m2"}}
	f.settle(first, o)
	late := f.webhook("g")
	f.accept(late)
	b := f.claimOne()
	require.Equal(t, ids(first), ids(b))
	require.Equal(t, o.Rest, b.Lanes[0].Rest)
	f.settle(b, outbox.Outcome{Result: outbox.Retry, Items: ids(b), After: time.Second})
	f.Advance(time.Second)
	b = f.claimOne()
	require.Equal(t, ids(first), ids(b), "also after a retry")
	f.Advance(leaseTime)
	b = f.claimOne()
	require.Equal(t, ids(first), ids(b), "also after a crash")
	f.settle(b, sent(b))
	b = f.claimOne()
	require.Equal(t, []string{late.ID + "-0"}, ids(b))
	require.Empty(t, b.Lanes[0].Rest)
}

func testApart(t *testing.T, f *fixture) {
	t.Helper()
	w := f.acceptLane(3)
	b := f.claimOne()
	f.settle(b, outbox.Outcome{Result: outbox.Retry, Items: ids(b), Reason: relay.Refused, Apart: true})
	b = f.claimOne()
	require.Equal(t, []string{w[0].ID + "-0"}, ids(b))
	f.settle(b, outbox.Outcome{Result: outbox.Dead, Items: ids(b), Reason: relay.Refused})
	require.Equal(t, []string{w[1].ID + "-0", w[2].ID + "-0"}, ids(f.claimOne()), "the others are together again")
}

func testCrash(t *testing.T, f *fixture) {
	t.Helper()
	f.acceptLane(3)
	first := f.claimOne()
	late := f.webhook("g")
	f.accept(late)
	f.Advance(leaseTime)
	b := f.claimOne()
	require.Equal(t, append(ids(first), late.ID+"-0"), ids(b), "the newest of before may have been seen")
	require.Equal(t, 1, b.Lanes[0].Crashes)
	f.acceptLane(outbox.MergeMost)
	f.Advance(leaseTime)
	second := f.claimOne()
	require.Len(t, ids(second), outbox.MergeMost)
	require.Equal(t, ids(b), ids(second)[:4])
	f.settle(second, outbox.Outcome{Result: outbox.Retry, Items: ids(second), Reason: relay.Transient})
	require.Zero(t, f.claimOne().Lanes[0].Crashes)
}

func testCrashAlone(t *testing.T, f *fixture) {
	t.Helper()
	w := f.acceptLane(3)
	for range outbox.AloneAfter {
		require.Len(t, ids(f.claimOne()), 3)
		f.Advance(leaseTime)
	}
	b := f.claimOne()
	require.Equal(t, []string{w[0].ID + "-0"}, ids(b))
	require.Equal(t, outbox.AloneAfter, b.Lanes[0].Crashes)
	f.settle(b, sent(b))
	b = f.claimOne()
	require.Len(t, ids(b), 2, "the others are together again")
	require.Zero(t, b.Lanes[0].Crashes)
}

func testCrashFold(t *testing.T, f *fixture) {
	t.Helper()
	f.acceptLane(outbox.MergeMost)
	first := f.claimOne()
	f.acceptLane(5)
	f.held()
	f.Advance(leaseTime)
	f.folds(t, ids(first)[0])
	f.Advance(time.Hour)
	b := f.claimOne()
	require.Equal(t, ids(first)[outbox.MergeMost-1], ids(b)[0], "it says what all of them said")
}

func testDeadTogether(t *testing.T, f *fixture) {
	t.Helper()
	w := f.acceptLane(2)
	b := f.claimOne()
	f.settle(b, outbox.Outcome{Result: outbox.Dead, Items: ids(b), Reason: relay.Refused})
	st := f.stats()
	require.Equal(t, 2, st.Dead)
	require.Zero(t, st.Pending)
	events := f.history(outbox.HistoryQuery{Types: []outbox.EventType{outbox.EventFailed}})
	require.Len(t, events, 2)
	require.Equal(t, w[1].ID, events[0].Notification)
	require.Equal(t, w[0].ID, events[1].Notification)
}

// acceptLane accepts so many webhooks of one group, whose integration merges what waits.
func (f *fixture) acceptLane(n int) []outbox.Webhook {
	f.t.Helper()
	f.terms = map[relay.IntegrationID]outbox.Terms{ops: {Backlog: relay.BacklogMerge}}
	var accepted []outbox.Webhook
	for range n {
		w := f.webhook("g")
		f.accept(w)
		accepted = append(accepted, w)
		f.Advance(time.Second)
	}
	return accepted
}
