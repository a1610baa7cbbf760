package outboxtest

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/outbox"
)

// A Clock is a clock that stands still until it is moved. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that shows a fixed time.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)} }

// Now is the time it shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves it on.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Open opens an empty store with the clock now. It is closed by the suite.
type Open func(t *testing.T, now func() time.Time) outbox.Store

// Run checks that the stores that open returns keep the contracts of outbox.Store and outbox.Operations.
func Run(t *testing.T, open Open) {
	t.Helper()
	for _, group := range []map[string]func(*testing.T, *fixture){
		acceptTests(), laneTests(), limiterTests(), digestTests(), foldTests(), historyTests(), deadLetterTests(), deliveryTests(),
	} {
		for name, test := range group {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, newFixture(t, open))
			})
		}
	}
	t.Run("random calls agree with the naive store", func(t *testing.T) {
		t.Parallel()
		runModel(t, open)
	})
}

// A fixture is a store with its clock and the words of the tests.
type fixture struct {
	outbox.Store
	*Clock
	t     *testing.T
	terms map[relay.IntegrationID]outbox.Terms
	count int
	// removed counts the entries that claims gave up.
	removed map[relay.IntegrationID]int
}

const (
	ops       = relay.IntegrationID("ops/dingtalk/main")
	pay       = relay.IntegrationID("pay/slack/main")
	robot     = relay.LimiterID("robot")
	window    = 10 * time.Minute
	leaseTime = time.Minute
)

func newFixture(t *testing.T, open Open) *fixture {
	t.Helper()
	clock := NewClock()
	f := &fixture{Store: open(t, clock.Now), Clock: clock, t: t, terms: map[relay.IntegrationID]outbox.Terms{
		ops: {Limit: relay.Limit{Messages: 20, Per: time.Minute}}, pay: {},
	}, removed: map[relay.IntegrationID]int{}}
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f
}

// webhook returns a new webhook of a group with one entry.
func (f *fixture) webhook(group string) outbox.Webhook {
	f.count++
	var w outbox.Webhook
	w.ID = fmt.Sprintf("01ARZ3NDEKTSV4RRFFQ69G%04d", f.count)
	w.ReceivedAt = f.Now()
	w.Path, w.Receiver, w.GroupKey = "/webhook", "ops", group
	w.Alerts, w.Status = 1, relay.StatusFiring
	w.Slot = slot(group)
	w.State = state(f.count)
	w.Window = window
	w.Entries = []outbox.Entry{f.entry(group, ops, robot)}
	return w
}

// entry returns an entry of a group that says something new.
func (f *fixture) entry(group string, integration relay.IntegrationID, limiters ...relay.LimiterID) outbox.Entry {
	f.count++
	return outbox.Entry{
		Lane: outbox.Lane{
			Integration: integration, Destination: "main", GroupKey: group, Receiver: "ops", Room: "10086",
		},
		Destination:  relay.Destination{Key: "main", Address: "#ops", Limiters: limiters},
		Limiters:     limiters,
		State:        state(f.count),
		Notification: fmt.Appendf(nil, `{"version":"4","groupKey":%q,"n":%d}`, group, f.count),
		Told:         map[string]time.Time{"a1b2c3d4e5f60718": f.Now()},
	}
}

func slot(group string) dedupe.Slot {
	var s dedupe.Slot
	copy(s[:], group)
	return s
}

func state(n int) dedupe.State {
	var s dedupe.State
	copy(s[:], strconv.Itoa(n))
	return s
}

func (f *fixture) accept(w outbox.Webhook) outbox.Accepted {
	f.t.Helper()
	a, err := f.Accept(f.t.Context(), w)
	require.NoError(f.t, err)
	return a
}

func (f *fixture) claim(most int) []outbox.Batch {
	f.t.Helper()
	batches, _ := f.claimWait(most)
	return batches
}

func (f *fixture) claimWait(most int) ([]outbox.Batch, time.Duration) {
	f.t.Helper()
	batches, wait, err := f.Claim(f.t.Context(), outbox.ClaimRequest{
		Max: most, Lease: leaseTime, Integrations: f.terms,
		Removed: func(id relay.IntegrationID, entries int) { f.removed[id] += entries },
	})
	require.NoError(f.t, err)
	return batches, wait
}

func (f *fixture) claimOne() outbox.Batch {
	f.t.Helper()
	batches := f.claim(1)
	require.Len(f.t, batches, 1)
	return batches[0]
}

func (f *fixture) settle(b outbox.Batch, o outbox.Outcome) {
	f.t.Helper()
	require.NoError(f.t, f.Settle(f.t.Context(), b.Lease, o))
}

// sent is the outcome of a batch that was told.
func sent(b outbox.Batch) outbox.Outcome {
	return outbox.Outcome{Result: outbox.Sent, Items: ids(b)}
}

func ids(b outbox.Batch) []string {
	var ids []string
	for _, l := range b.Lanes {
		for _, it := range l.Items {
			ids = append(ids, it.ID)
		}
	}
	return ids
}

func (f *fixture) stats() outbox.Stats {
	f.t.Helper()
	st, err := f.Stats(f.t.Context())
	require.NoError(f.t, err)
	return st
}
