package outboxtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

//nolint:thelper // These are the tests themselves.
func foldTests() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"a lane in which too much waits is folded": testFold,
		"as much as the cap is not folded": func(t *testing.T, f *fixture) {
			f.held()
			f.acceptLane(outbox.LaneCap)
			require.Empty(t, f.claim(10))
		},
		"what can be sent is not folded": func(t *testing.T, f *fixture) {
			f.acceptLane(outbox.LaneCap + 5)
			b := f.claimOne()
			require.False(t, b.Fold)
			require.Empty(t, f.claim(10), "nor what is being sent")
			f.settle(b, sent(b))
			require.Zero(t, f.stats().InFlight)
		},
		"with backlog each nothing is folded": func(t *testing.T, f *fixture) {
			f.held()
			f.acceptLane(outbox.LaneCap + 5)
			f.terms = map[relay.IntegrationID]outbox.Terms{ops: {Backlog: relay.BacklogEach}}
			require.Empty(t, f.claim(10))
		},
		"a lane that waits for a retry is folded, and waits as before": func(t *testing.T, f *fixture) {
			w := f.acceptLane(2)
			b := f.claimOne()
			f.settle(b, outbox.Outcome{Result: outbox.Retry, Items: ids(b), After: 5 * time.Minute, Reason: relay.Transient})
			f.acceptLane(outbox.LaneCap)
			f.folds(t, w[0].ID+"-0")
			batches, wait := f.claimWait(10)
			require.Empty(t, batches)
			require.Equal(t, 5*time.Minute-outbox.LaneCap*time.Second, wait)
			f.Advance(wait)
			require.Equal(t, 2, f.claimOne().Lanes[0].Attempt, "it is the same head")
		},
		"a fold that was not settled has not happened": func(t *testing.T, f *fixture) {
			f.held()
			w := f.acceptLane(outbox.LaneCap + 1)
			b := f.claimOne()
			require.True(t, b.Fold)
			batches, wait := f.claimWait(10)
			require.Empty(t, batches, "once at a time")
			require.Equal(t, leaseTime, wait)
			f.Advance(leaseTime)
			require.ErrorIs(t, f.Settle(t.Context(), b.Lease, folded(b)), outbox.ErrStale)
			f.folds(t, w[0].ID+"-0")
			f.Advance(time.Hour)
			require.Zero(t, f.claimOne().Lanes[0].Crashes)
		},
		"a fold that was given up is tried again, or not until the head has ended": func(t *testing.T, f *fixture) {
			f.held()
			f.acceptLane(outbox.LaneCap + 1)
			f.settle(f.claimOne(), outbox.Outcome{Result: outbox.Release})
			b := f.claimOne()
			require.True(t, b.Fold)
			f.settle(b, outbox.Outcome{Result: outbox.Release, Items: ids(b), Apart: true})
			f.acceptLane(1)
			require.Empty(t, f.claim(10))
			f.Advance(time.Hour)
			head := f.claimOne()
			require.Len(t, ids(head), outbox.MergeMost)
			f.settle(head, outbox.Outcome{
				Result: outbox.Sent, Items: ids(head), Hold: time.Hour,
			})
			f.acceptLane(outbox.LaneCap)
			require.True(t, f.claimOne().Fold)
		},
		"a fold is settled as one, with what was claimed": func(t *testing.T, f *fixture) {
			f.held()
			f.acceptLane(outbox.LaneCap + 1)
			b := f.claimOne()
			for name, o := range map[string]outbox.Outcome{
				"sent":        {Result: outbox.Sent, Items: ids(b)},
				"dead":        {Result: outbox.Dead, Items: ids(b)},
				"no items":    {Result: outbox.Folded},
				"other items": {Result: outbox.Folded, Items: ids(b)[1:]},
			} {
				require.ErrorIs(t, f.Settle(t.Context(), b.Lease, o), outbox.ErrStale, name)
			}
			f.settle(b, folded(b))
			f.Advance(time.Hour)
			b = f.claimOne()
			require.ErrorIs(t, f.Settle(t.Context(), b.Lease, folded(b)), outbox.ErrStale, "what is to be sent is not folded")
			f.settle(b, sent(b))
		},
		"what is half told and what comes late stay as they are": testFoldAround,
		"what was folded can be folded again, die and come back": testFoldAgain,
		"what is folded stands where it stood": func(t *testing.T, f *fixture) {
			f.held()
			f.acceptLane(outbox.LaneCap + 1)
			other := f.webhook("h")
			f.accept(other)
			f.folds(t, "")
			f.Advance(time.Hour)
			require.Equal(t, "g", f.claimOne().Lanes[0].Lane.GroupKey, "before the group that came after it")
		},
	}
}

func testFold(t *testing.T, f *fixture) {
	t.Helper()
	f.held()
	w := f.acceptLane(outbox.LaneCap + 1)
	b := f.claimOne()
	var items []outbox.Item
	for _, w := range w[:outbox.MergeMost] {
		items = append(items, outbox.Item{ID: w.ID + "-0", At: w.ReceivedAt, Notification: w.Entries[0].Notification})
	}
	require.Equal(t, outbox.Batch{
		Lease: outbox.Lease{Nonce: b.Lease.Nonce, Until: f.Now().Add(leaseTime)},
		Lanes: []outbox.LaneBatch{{Lane: w[0].Entries[0].Lane, Items: items}}, Fold: true,
	}, b)
	require.Zero(t, f.stats().InFlight, "nothing is sent")
	late := f.webhook("g")
	f.accept(late)
	f.settle(b, folded(b))
	require.Equal(t, w[0].ReceivedAt, f.stats().Oldest.UTC(), "the news is as old as it was")
	require.Equal(t, 3, f.stats().Pending)
	require.Equal(t, map[relay.LimiterID]int{robot: 3}, f.stats().Limiters)

	newest := w[outbox.MergeMost-1]
	rows, _, err := f.operations().Deliveries(t.Context(), outbox.DeliveryQuery{
		States: []outbox.DeliveryState{outbox.StatePending}, Filter: outbox.Filter{Notification: newest.ID}, Bodies: true,
	})
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.Equal(t, w[0].ReceivedAt, rows[0].Since)
	require.Equal(t, "folded", string(rows[0].Body))

	events := f.history(outbox.HistoryQuery{Types: []outbox.EventType{outbox.EventMerged}})
	require.Len(t, events, outbox.MergeMost-1)
	for i, e := range events {
		require.Equal(t, w[outbox.MergeMost-2-i].ID+"-0", e.Entry)
		require.Equal(t, newest.ID+"-0", e.Detail)
	}

	f.Advance(time.Hour)
	b = f.claimOne()
	require.Equal(t, []outbox.Item{
		{
			ID: newest.ID + "-0", At: newest.ReceivedAt, Notification: []byte("folded"),
			Folded: outbox.MergeMost - 1, Since: w[0].ReceivedAt,
		},
		{ID: w[20].ID + "-0", At: w[20].ReceivedAt, Notification: w[20].Entries[0].Notification},
		{ID: late.ID + "-0", At: late.ReceivedAt, Notification: late.Entries[0].Notification},
	}, b.Lanes[0].Items)
	require.Equal(t, w[0].Entries[0].Destination, b.Lanes[0].Destination)
	f.settle(b, sent(b))
	require.Zero(t, f.stats().Pending)
	f.accept(f.webhook("g"))
	require.Equal(t, late.Entries[0].Told, f.claimOne().Lanes[0].Told)
}

func testFoldAround(t *testing.T, f *fixture) {
	t.Helper()
	dead := f.webhook("g")
	f.accept(dead)
	b := f.claimOne()
	f.settle(b, outbox.Outcome{Result: outbox.Dead, Items: ids(b), Reason: relay.Refused})
	f.acceptLane(2)
	b = f.claimOne()
	o := sent(b)
	o.Rest, o.Hold = []relay.Message{{ID: "m2"}}, time.Hour
	f.settle(b, o)
	requeued, err := f.Store.(outbox.Operations).Requeue(t.Context(), outbox.RequeueRequest{
		IDs: []string{dead.ID + "-0"}, Force: true,
	})
	require.NoError(t, err)
	require.Empty(t, requeued[0].Refusal)
	w := f.acceptLane(outbox.LaneCap)
	require.Empty(t, f.claim(10))
	w = append(w, f.acceptLane(1)...)
	f.folds(t, w[0].ID+"-0")
	f.Advance(time.Hour)
	b = f.claimOne()
	require.Equal(t, o.Rest, b.Lanes[0].Rest)
	require.Len(t, ids(b), 2)
	f.settle(b, sent(b))
	b = f.claimOne()
	require.Equal(t, []string{dead.ID + "-0"}, ids(b))
	f.settle(b, sent(b))
	require.Equal(t, []string{w[outbox.MergeMost-1].ID + "-0", w[outbox.LaneCap].ID + "-0"}, ids(f.claimOne()))
}

func testFoldAgain(t *testing.T, f *fixture) {
	t.Helper()
	f.held()
	w := f.acceptLane(outbox.LaneCap + 1)
	f.folds(t, w[0].ID+"-0")
	w = append(w, f.acceptLane(outbox.LaneCap-1)...)
	f.folds(t, w[outbox.MergeMost-1].ID+"-0")
	f.Advance(time.Hour)
	b := f.claimOne()
	newest := w[2*outbox.MergeMost-2]
	require.Equal(t, outbox.Item{
		ID: newest.ID + "-0", At: newest.ReceivedAt, Notification: []byte("folded"),
		Folded: 2 * (outbox.MergeMost - 1), Since: w[0].ReceivedAt,
	}, b.Lanes[0].Items[0])
	f.settle(b, outbox.Outcome{Result: outbox.Dead, Items: ids(b), Reason: relay.Refused})
	decisions, err := f.Store.(outbox.Operations).Requeue(t.Context(), outbox.RequeueRequest{IDs: []string{newest.ID + "-0"}})
	require.NoError(t, err)
	require.Empty(t, decisions[0].Refusal)
	require.Equal(t, []outbox.Item{{
		ID: newest.ID + "-0", At: newest.ReceivedAt, Notification: []byte("folded"), Requeued: f.Now(),
	}}, f.claimOne().Lanes[0].Items)
}

// held makes the only limiter rest for an hour.
func (f *fixture) held() {
	f.t.Helper()
	f.accept(f.webhook("held"))
	b := f.claimOne()
	o := sent(b)
	o.Hold = time.Hour
	f.settle(b, o)
}

// folds claims and makes a fold that begins with an entry.
func (f *fixture) folds(t *testing.T, first string) {
	t.Helper()
	b := f.claimOne()
	require.True(t, b.Fold)
	if first != "" {
		require.Equal(t, first, ids(b)[0])
	}
	f.settle(b, folded(b))
	require.Empty(t, f.claim(10), fmt.Sprint("once is enough for ", first))
}

// folded is the outcome of a batch that was folded.
func folded(b outbox.Batch) outbox.Outcome {
	return outbox.Outcome{Result: outbox.Folded, Items: ids(b), Notification: []byte("folded")}
}
