package deliver_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

// A memory is the part of an outbox.Store that deliver uses, in a few lines: lanes in order, bounded per limiter, with
// holds. It keeps every outcome it was given.
type memory struct {
	outbox.Store // what deliver does not use panics

	mu       sync.Mutex
	lanes    []*lane
	inFlight map[relay.LimiterID]int
	holds    map[relay.LimiterID]time.Time
	claims   int
	lifts    int
	settled  []outbox.Outcome

	// lease shortens the leases handed out, fail makes a call fail; both may be nil.
	lease func(asked time.Duration) time.Duration
	fail  func(call string) error
}

type lane struct {
	outbox.LaneBatch
	limiter relay.LimiterID
	due     time.Time
	nonce   string
}

// add queues entries as one more lane, or at the end of the lane it is in.
func (m *memory) add(integration relay.IntegrationID, limiter relay.LimiterID, group string, bodies ...string) *lane {
	m.mu.Lock()
	defer m.mu.Unlock()
	var l *lane
	for _, have := range m.lanes {
		if have.Lane.Integration == integration && have.Lane.GroupKey == group {
			l = have
		}
	}
	if l == nil {
		l = &lane{limiter: limiter}
		l.Lane = outbox.Lane{Integration: integration, GroupKey: group, Receiver: "ops"}
		m.lanes = append(m.lanes, l)
	}
	for _, body := range bodies {
		id := fmt.Sprintf("%s-%d", group, len(l.Items)+1)
		l.Items = append(l.Items, outbox.Item{ID: id, At: time.Now(), Notification: []byte(body)})
	}
	return l
}

func (m *memory) Claim(_ context.Context, c outbox.ClaimRequest) ([]outbox.Batch, time.Duration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.claims++
	if m.fail != nil {
		if err := m.fail("claim"); err != nil {
			return nil, 0, err
		}
	}
	var batches []outbox.Batch
	var next time.Duration
	for _, l := range m.lanes {
		terms, known := c.Integrations[l.Lane.Integration]
		if !known || len(l.Items) == 0 || l.nonce != "" {
			continue
		}
		due := l.due
		if hold := m.holds[l.limiter]; hold.After(due) {
			due = hold
		}
		if wait := time.Until(due); wait > 0 {
			if next == 0 || wait < next {
				next = wait
			}
			continue
		}
		if len(batches) == c.Max || terms.MaxInFlight > 0 && m.inFlight[l.limiter] >= terms.MaxInFlight {
			continue
		}
		if m.inFlight == nil {
			m.inFlight = make(map[relay.LimiterID]int)
		}
		m.inFlight[l.limiter]++
		l.Attempt++
		l.nonce = fmt.Sprintf("%s %s %d", l.Lane.Integration, l.Lane.GroupKey, m.claims)
		lease := c.Lease
		if m.lease != nil {
			lease = m.lease(lease)
		}
		copied := l.LaneBatch
		copied.Items = slices.Clone(l.Items)
		batches = append(batches, outbox.Batch{
			Lease:   outbox.Lease{Nonce: l.nonce, Until: time.Now().Add(lease)},
			Limiter: l.limiter,
			Lanes:   []outbox.LaneBatch{copied},
		})
	}
	return batches, next, nil
}

func (m *memory) Lift(context.Context, relay.Kind) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lifts++
	if m.fail != nil {
		return m.fail("lift")
	}
	return nil
}

func (m *memory) Settle(_ context.Context, lease outbox.Lease, o outbox.Outcome) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		if err := m.fail("settle"); err != nil {
			return err
		}
	}
	i := slices.IndexFunc(m.lanes, func(l *lane) bool { return l.nonce == lease.Nonce })
	if i < 0 {
		return outbox.ErrStale
	}
	m.settled = append(m.settled, o)
	l := m.lanes[i]
	l.nonce, l.due = "", time.Now().Add(o.After)
	if o.Result != outbox.Release {
		l.Rest = o.Rest
	}
	m.inFlight[l.limiter]--
	if o.Hold > 0 {
		if m.holds == nil {
			m.holds = make(map[relay.LimiterID]time.Time)
		}
		m.holds[l.limiter] = time.Now().Add(o.Hold)
	}
	if o.Ref != "" {
		l.Ref = o.Ref
	}
	if o.Result == outbox.Dead || o.Result == outbox.Sent && len(o.Rest) == 0 {
		l.Items = slices.DeleteFunc(l.Items, func(i outbox.Item) bool { return slices.Contains(o.Items, i.ID) })
		l.Attempt = 0
	}
	return nil
}

func (m *memory) Stats(context.Context) (outbox.Stats, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := outbox.Stats{Limiters: map[relay.LimiterID]int{}, Holds: maps.Clone(m.holds)}
	for _, l := range m.lanes {
		s.Pending += len(l.Items)
		s.Limiters[l.limiter] += len(l.Items)
	}
	return s, nil
}

func (m *memory) outcomes() []outbox.Outcome {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.settled)
}

// onlyOutcome is the one outcome the store was given.
func (m *memory) onlyOutcome(t *testing.T) outbox.Outcome {
	t.Helper()
	o := m.outcomes()
	require.Len(t, o, 1)
	return o[0]
}
