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
func limiterTests() map[string]func(*testing.T, *fixture) {
	limit := func(messages int, per time.Duration) outbox.Terms {
		return outbox.Terms{Limit: relay.Limit{Messages: messages, Per: per}}
	}
	return map[string]func(*testing.T, *fixture){
		"a slot is in use until a window after its settle": func(t *testing.T, f *fixture) {
			f.terms = map[relay.IntegrationID]outbox.Terms{ops: limit(2, time.Minute)}
			f.acceptMany(5)
			b := f.claim(10)
			require.Len(t, b, 2, "leases in flight count")
			f.Advance(20 * time.Second)
			f.settle(b[0], sent(b[0]))
			f.Advance(10 * time.Second)
			f.settle(b[1], sent(b[1]))
			batches, wait := f.claimWait(10)
			require.Empty(t, batches)
			require.Equal(t, 50*time.Second, wait)
			f.Advance(50*time.Second - 1)
			require.Empty(t, f.claim(10))
			f.Advance(1)
			require.Len(t, f.claim(10), 1)
			f.Advance(10 * time.Second)
			require.Len(t, f.claim(10), 1)
		},
		"a slot whose lease ended is in use a window longer": func(t *testing.T, f *fixture) {
			f.terms = map[relay.IntegrationID]outbox.Terms{ops: limit(1, time.Minute)}
			f.acceptMany(2)
			f.claimOne()
			f.Advance(leaseTime + 30*time.Second)
			batches, wait := f.claimWait(1)
			require.Empty(t, batches)
			require.Equal(t, 30*time.Second, wait)
			f.Advance(30 * time.Second)
			require.Equal(t, 1, f.claimOne().Lanes[0].Crashes)
		},
		"a try that failed used its slot": func(t *testing.T, f *fixture) {
			f.terms = map[relay.IntegrationID]outbox.Terms{ops: limit(1, time.Minute)}
			f.acceptMany(1)
			b := f.claimOne()
			f.settle(b, outbox.Outcome{Result: outbox.Retry, Items: ids(b)})
			batches, wait := f.claimWait(1)
			require.Empty(t, batches)
			require.Equal(t, time.Minute, wait)
		},
		"a send that the limiter does not count gives its slot back": func(t *testing.T, f *fixture) {
			f.terms = map[relay.IntegrationID]outbox.Terms{ops: limit(1, time.Minute)}
			f.acceptMany(1)
			b := f.claimOne()
			require.Empty(t, f.claim(1), "while it is under way it counts")
			f.settle(b, outbox.Outcome{Result: outbox.Sent, NoSlot: true, Rest: []relay.Message{{ID: "2"}}, Items: ids(b)})
			b = f.claimOne()
			require.Equal(t, "2", b.Lanes[0].Rest[0].ID)
			f.settle(b, sent(b))
			f.acceptMany(1)
			require.Empty(t, f.claim(1))
		},
		"what was given back may have to wait, and keeps no slot": func(t *testing.T, f *fixture) {
			f.terms = map[relay.IntegrationID]outbox.Terms{ops: limit(1, time.Minute)}
			f.acceptMany(1)
			f.settle(f.claimOne(), outbox.Outcome{Result: outbox.Release, After: 10 * time.Second})
			batches, wait := f.claimWait(1)
			require.Empty(t, batches)
			require.Equal(t, 10*time.Second, wait)
			w := f.webhook("other")
			f.accept(w)
			require.Equal(t, "other", f.claimOne().Lanes[0].Lane.GroupKey, "others go on")
			f.Advance(leaseTime + time.Minute)
			require.Equal(t, 1, f.claimOne().Lanes[0].Attempt, "it is no attempt")
		},
		"the smallest of the limits holds": func(t *testing.T, f *fixture) {
			f.terms = map[relay.IntegrationID]outbox.Terms{ops: limit(3, time.Minute), pay: limit(1, time.Minute)}
			f.acceptMany(3)
			w := f.webhook("pay")
			w.Entries = []outbox.Entry{f.entry("pay", pay, robot)}
			f.accept(w)
			require.Len(t, f.claim(10), 1)
		},
		"a limit counts only while its integration has something pending": func(t *testing.T, f *fixture) {
			f.terms = map[relay.IntegrationID]outbox.Terms{ops: limit(3, time.Minute), pay: limit(1, time.Minute)}
			f.acceptMany(3)
			require.Len(t, f.claim(10), 3)
		},
		"no more are in flight than the terms say": func(t *testing.T, f *fixture) {
			f.terms = map[relay.IntegrationID]outbox.Terms{ops: {MaxInFlight: 2}}
			f.acceptMany(3)
			b := f.claim(10)
			require.Len(t, b, 2)
			f.settle(b[0], sent(b[0]))
			require.Len(t, f.claim(10), 1)
		},
		"without a limit nothing waits": func(t *testing.T, f *fixture) {
			f.terms = map[relay.IntegrationID]outbox.Terms{ops: {}}
			f.acceptMany(100)
			require.Len(t, f.claim(1000), 100)
		},
		"new terms hold at once": func(t *testing.T, f *fixture) {
			f.terms = map[relay.IntegrationID]outbox.Terms{ops: limit(1, time.Hour)}
			f.acceptMany(2)
			b := f.claimOne()
			f.settle(b, sent(b))
			require.Empty(t, f.claim(1))
			f.terms = map[relay.IntegrationID]outbox.Terms{ops: limit(2, time.Hour)}
			require.Len(t, f.claim(1), 1)
		},
		"a pool takes whichever has a free slot": func(t *testing.T, f *fixture) {
			f.terms = map[relay.IntegrationID]outbox.Terms{ops: limit(1, time.Minute)}
			for i := range 3 {
				w := f.webhook(fmt.Sprint("pool", i))
				w.Entries = []outbox.Entry{f.entry(w.GroupKey, ops, "r1", "r2")}
				f.accept(w)
			}
			b := f.claim(10)
			require.Len(t, b, 2)
			require.ElementsMatch(t, []relay.LimiterID{"r1", "r2"}, []relay.LimiterID{b[0].Limiter, b[1].Limiter})
			require.Equal(t, map[relay.LimiterID]int{"r1": 3, "r2": 3}, f.stats().Limiters)
		},
		"a robot that left the pool lends its slots to nobody": func(t *testing.T, f *fixture) {
			f.terms = map[relay.IntegrationID]outbox.Terms{ops: limit(2, time.Minute)}
			for i := range 6 {
				w := f.webhook(fmt.Sprint("pool", i))
				w.Entries = []outbox.Entry{f.entry(w.GroupKey, ops, "r1", "r2")}
				f.accept(w)
			}
			terms := limit(2, time.Minute)
			terms.Limiters = []relay.LimiterID{"r1"}
			f.terms = map[relay.IntegrationID]outbox.Terms{ops: terms}
			b := f.claim(10)
			require.Len(t, b, 2)
			for _, each := range b {
				require.Equal(t, relay.LimiterID("r1"), each.Limiter)
				f.settle(each, sent(each))
			}
			require.Equal(t, map[relay.LimiterID]int{"r1": 4}, f.stats().Limiters)
		},
		"what was accepted for a robot goes out with the one in its place": func(t *testing.T, f *fixture) {
			f.terms = map[relay.IntegrationID]outbox.Terms{ops: limit(2, time.Minute)}
			f.acceptMany(2)
			b := f.claimOne()
			f.settle(b, outbox.Outcome{Result: outbox.Retry, Items: ids(b), Hold: 5 * time.Minute})
			terms := limit(2, time.Minute)
			terms.Limiters = []relay.LimiterID{"new"}
			f.terms = map[relay.IntegrationID]outbox.Terms{ops: terms}
			w := f.webhook("later")
			w.Entries = []outbox.Entry{f.entry(w.GroupKey, ops, "new")}
			f.accept(w)
			batches := f.claim(10)
			require.Len(t, batches, 2, "the old robot's hold is not the new one's, its limit is")
			require.Equal(t, relay.LimiterID("new"), batches[0].Limiter)
			require.Equal(t, relay.LimiterID("new"), batches[1].Limiter)
		},
		"a hold stops its limiter alone": func(t *testing.T, f *fixture) {
			f.acceptMany(2)
			w := f.webhook("pay")
			w.Entries = []outbox.Entry{f.entry("pay", pay, "other")}
			b := f.claimOne()
			f.settle(b, outbox.Outcome{Result: outbox.Retry, Items: ids(b), Hold: 10 * time.Minute})
			batches, wait := f.claimWait(10)
			require.Empty(t, batches)
			require.Equal(t, 10*time.Minute, wait)
			require.Equal(t, map[relay.LimiterID]time.Time{robot: f.Now().Add(10 * time.Minute)}, f.stats().Holds)
			f.accept(w)
			require.Equal(t, relay.LimiterID("other"), f.claimOne().Limiter)
			f.Advance(10 * time.Minute)
			both := f.claim(10)
			require.Len(t, both, 2, "the lease of the other limiter has ended too")
			require.NotEqual(t, both[0].Limiter, both[1].Limiter)
			require.Empty(t, f.stats().Holds)
		},
		"after a hold one batch goes first": func(t *testing.T, f *fixture) {
			f.acceptMany(4)
			b := f.claim(2)
			for range 2 {
				f.settle(b[0], outbox.Outcome{Result: outbox.Retry, Items: ids(b[0]), Hold: time.Minute})
				f.Advance(time.Minute)
				b = f.claim(10)
				require.Len(t, b, 1)
			}
			f.settle(b[0], sent(b[0]))
			require.Len(t, f.claim(10), 3)
		},
		"what a person has mended is tried at once, one batch first": testLift,
		"a lift ends no hold of another reason": func(t *testing.T, f *fixture) {
			f.acceptMany(3)
			b := f.claim(2)
			f.settle(b[0], outbox.Outcome{
				Result: outbox.Retry, Items: ids(b[0]), Hold: time.Minute, Reason: relay.Misconfigured,
			})
			f.settle(b[1], outbox.Outcome{Result: outbox.Retry, Items: ids(b[1]), Hold: time.Hour, Reason: relay.RateLimited})
			require.NoError(t, f.Lift(t.Context(), relay.Misconfigured))
			batches, wait := f.claimWait(10)
			require.Empty(t, batches, "the hold that ends later gives the reason")
			require.Equal(t, time.Hour, wait)
		},
		"how much of a window is used is told": testWindows,
		"a limiter's backlog does not push others aside": func(t *testing.T, f *fixture) {
			f.terms = map[relay.IntegrationID]outbox.Terms{ops: {}, pay: {}}
			f.acceptMany(50)
			w := f.webhook("pay")
			w.Entries = []outbox.Entry{f.entry("pay", pay, "other")}
			f.accept(w)
			b := f.claim(2)
			require.ElementsMatch(t, []relay.LimiterID{robot, "other"}, []relay.LimiterID{b[0].Limiter, b[1].Limiter})
		},
	}
}

func testLift(t *testing.T, f *fixture) {
	t.Helper()
	f.acceptMany(3)
	b := f.claimOne()
	f.settle(b, outbox.Outcome{
		Result: outbox.Dead, Items: ids(b), Reason: "max_age", Hold: 5 * time.Minute, HoldReason: relay.Misconfigured,
	})
	require.Empty(t, f.claim(10))
	require.NoError(t, f.Lift(t.Context(), relay.Transient))
	require.Empty(t, f.claim(10))
	require.NoError(t, f.Lift(t.Context(), relay.Misconfigured))
	require.Empty(t, f.stats().Holds)
	b = f.claim(10)[0]
	require.Empty(t, f.claim(10), "one goes first")
	f.settle(b, sent(b))
	require.Len(t, f.claim(10), 1)
}

func testWindows(t *testing.T, f *fixture) {
	t.Helper()
	named := func(messages int, limiters ...relay.LimiterID) outbox.Terms {
		return outbox.Terms{Limit: relay.Limit{Messages: messages, Per: time.Minute}, Limiters: limiters}
	}
	require.Empty(t, f.stats().Windows, "before the first claim nobody knows the limits")
	f.terms = map[relay.IntegrationID]outbox.Terms{ops: named(5, robot, "free"), pay: named(3, robot), "x": named(0, "none")}
	windows := func(used int) {
		t.Helper()
		require.Equal(t, map[relay.LimiterID]outbox.Window{
			robot:  {Used: used, Limit: relay.Limit{Messages: 3, Per: time.Minute}},
			"free": {Limit: relay.Limit{Messages: 5, Per: time.Minute}},
		}, f.stats().Windows)
	}
	f.acceptMany(2)
	b := f.claim(2)
	windows(2)
	f.settle(b[0], sent(b[0]))
	f.settle(b[1], outbox.Outcome{Result: outbox.Release})
	windows(1)
	f.Advance(time.Minute - 1)
	windows(1)
	f.Advance(1)
	windows(0)
}

// acceptMany accepts so many webhooks, each of a group of its own.
func (f *fixture) acceptMany(n int) {
	f.t.Helper()
	f.acceptNamed("many", n)
}
