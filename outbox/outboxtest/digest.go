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
func digestTests() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"more groups than slots share messages": func(t *testing.T, f *fixture) {
			f.digest(20)
			f.acceptMany(50)
			b := f.claim(100)
			require.Equal(t, []int{20, 20, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, lanesOf(b), "until there is room for the others")
			require.Equal(t, 12, f.stats().InFlight, "each is one slot")
			var groups []string
			for _, b := range b {
				for _, l := range b.Lanes {
					groups = append(groups, l.Lane.GroupKey)
				}
				f.settle(b, sent(b))
			}
			for i, g := range groups {
				require.Equal(t, fmt.Sprint("many", i), g, "in the order in which they became ready")
			}
			require.Zero(t, f.stats().Pending)
			events := f.history(outbox.HistoryQuery{Types: []outbox.EventType{outbox.EventSent}})
			require.Len(t, events, 50, "each group is told")
		},
		"a reserve is kept for what comes next": func(t *testing.T, f *fixture) {
			f.digest(20)
			f.acceptMany(17)
			require.Len(t, f.claim(100), 17, "as many as there is room for are told one by one")
			f.acceptNamed("next", 2)
			require.Equal(t, []int{2}, lanesOf(f.claim(100)), "the last slots are shared")
			f.acceptNamed("last", 1)
			require.Equal(t, []int{1}, lanesOf(f.claim(100)))
		},
		"a small limit has no reserve": func(t *testing.T, f *fixture) {
			f.digest(20)
			terms := f.terms[ops]
			terms.Limit.Messages = 4
			f.terms[ops] = terms
			f.acceptMany(4)
			require.Equal(t, []int{1, 1, 1, 1}, lanesOf(f.claim(100)))
		},
		"without a digest in the terms each group is a message": func(t *testing.T, f *fixture) {
			f.digest(0)
			f.acceptMany(30)
			require.Len(t, f.claim(100), 20)
		},
		"what waits in the lanes of a digest is told together": func(t *testing.T, f *fixture) {
			f.digest(20)
			f.acceptMany(30)
			f.acceptMany(30)
			b := f.claim(1)
			require.Equal(t, []int{20}, lanesOf(b))
			require.Len(t, ids(b[0]), 40)
			f.settle(b[0], sent(b[0]))
			require.Equal(t, 20, f.stats().Pending)
		},
		"who goes alone is in no digest":    testNoDigest,
		"a digest that fails is told again": testDigestFails,
		"a digest that is refused is told apart": func(t *testing.T, f *fixture) {
			f.digest(20)
			f.acceptMany(21)
			b := f.claim(1)
			f.settle(b[0], outbox.Outcome{Result: outbox.Retry, Items: ids(b[0]), Reason: relay.Refused, Apart: true})
			b = f.claim(100)
			require.Len(t, b, 19, "as many as there are slots")
			for _, n := range lanesOf(b) {
				require.Equal(t, 1, n)
			}
		},
		"what waits in a lane stays together when a digest is told apart": func(t *testing.T, f *fixture) {
			f.digest(20)
			f.acceptMany(21)
			f.acceptMany(21)
			b := f.claim(1)
			f.settle(b[0], outbox.Outcome{Result: outbox.Retry, Items: ids(b[0]), Reason: relay.Refused, Apart: true})
			for _, b := range f.claim(100) {
				require.Len(t, b.Lanes, 1)
				require.Len(t, ids(b), 2, "the newest may have been seen, so nothing older may come after it")
			}
		},
		"a digest has no rest": func(t *testing.T, f *fixture) {
			f.digest(20)
			f.acceptMany(21)
			b := f.claim(1)[0]
			o := sent(b)
			o.Rest = []relay.Message{{ID: "m2"}}
			require.ErrorIs(t, f.Settle(t.Context(), b.Lease, o), outbox.ErrUnavailable)
			f.settle(b, sent(b))
		},
	}
}

func testNoDigest(t *testing.T, f *fixture) {
	t.Helper()
	f.digest(20)
	followed := f.webhook("followed")
	f.accept(followed)
	b := f.claimOne()
	o := sent(b)
	o.Ref = "thread"
	f.settle(b, o)
	f.acceptMany(30)
	next := f.webhook("followed")
	f.accept(next)
	elsewhere := f.webhook("elsewhere")
	elsewhere.Entries[0].Lane.Destination = "other"
	f.accept(elsewhere)
	room := f.webhook("room")
	room.Entries[0].Lane.Room = "7"
	f.accept(room)
	told := map[string]int{}
	for _, b := range f.claim(100) {
		for _, l := range b.Lanes {
			told[l.Lane.GroupKey] = len(b.Lanes)
		}
	}
	require.Len(t, told, 33)
	require.Equal(t, 1, told["followed"], "it follows a message of its own")
	require.Equal(t, 1, told["elsewhere"])
	require.Equal(t, 1, told["room"])
	require.Equal(t, 20, told["many0"])
	require.Equal(t, 1, told["many29"])
}

func testDigestFails(t *testing.T, f *fixture) {
	t.Helper()
	f.digest(20)
	f.acceptMany(25)
	b := f.claim(1)[0]
	f.settle(b, outbox.Outcome{Result: outbox.Retry, Items: ids(b), Reason: relay.Transient, After: time.Second})
	require.Equal(t, []int{1, 1, 1, 1, 1}, lanesOf(f.claim(100)), "the others do not wait for it")
	f.Advance(time.Second)
	again := f.claim(1)[0]
	require.Equal(t, ids(b), ids(again), "in the same order")
	require.Equal(t, 2, again.Lanes[0].Attempt)
	for range outbox.AloneAfter - 1 {
		f.Advance(leaseTime)
		f.Advance(time.Minute)
		require.Equal(t, ids(b), ids(f.claim(1)[0]), "also after a crash")
	}
	f.Advance(leaseTime)
	f.Advance(time.Minute)
	b = f.claimOne()
	require.Len(t, b.Lanes, 1, "after some more each is told alone")
	require.Equal(t, outbox.AloneAfter, b.Lanes[0].Crashes)
}

// digest makes the terms those of a robot whose backlog may share messages.
func (f *fixture) digest(lanes int) {
	f.terms = map[relay.IntegrationID]outbox.Terms{ops: {
		Limit: relay.Limit{Messages: 20, Per: time.Minute}, Backlog: relay.BacklogMerge, Digest: lanes,
	}}
}

func (f *fixture) acceptNamed(name string, n int) {
	f.t.Helper()
	for i := range n {
		f.accept(f.webhook(fmt.Sprint(name, i)))
	}
}

// lanesOf counts the lanes of each batch.
func lanesOf(batches []outbox.Batch) []int {
	var n []int
	for _, b := range batches {
		n = append(n, len(b.Lanes))
	}
	return n
}
