package redis_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/redis"
)

// Traffic is what goes on while its server is hurt: several groups post one state after the other, each again until it is
// taken, and a worker tells what there is.
type traffic struct {
	store *redis.Store

	stop, drained         chan struct{}
	posts, tells          sync.WaitGroup
	endPosts, endTellings func()

	mu       sync.Mutex
	accepted map[string]time.Time // by id of the entry
	told     map[string][]string  // by group: ids of entries, as often as they were told
}

const (
	trafficGroups = 8
	// trafficLease is how long what a lost answer has leased stays away.
	trafficLease = 3 * time.Second
)

// startTraffic begins; settle ends it.
func startTraffic(t *testing.T, store *redis.Store) *traffic {
	t.Helper()
	f := &traffic{
		store: store, stop: make(chan struct{}), drained: make(chan struct{}),
		accepted: map[string]time.Time{}, told: map[string][]string{},
	}
	f.endPosts = sync.OnceFunc(func() { close(f.stop); f.posts.Wait() })
	f.endTellings = sync.OnceFunc(func() { close(f.drained); f.tells.Wait() })
	for group := range trafficGroups {
		f.posts.Go(func() { f.post(t, group) })
	}
	f.tells.Go(func() { f.tell(t) })
	t.Cleanup(func() {
		f.endPosts()
		f.endTellings()
	})
	return f
}

// post is the life of one group.
func (f *traffic) post(t *testing.T, group int) {
	t.Helper()
	name := fmt.Sprint("group", group)
	for state := 1; ; state++ {
		w := outbox.Webhook{
			ID: fmt.Sprintf("%s-%06d", name, state), ReceivedAt: time.Now(), GroupKey: name,
			Slot: dedupe.Slot{byte(group), 1}, State: dedupe.State{byte(state), byte(state >> 8), 1}, Window: time.Minute,
			Entries: []outbox.Entry{{
				Lane:  outbox.Lane{Integration: mail, Destination: "ops", GroupKey: name},
				State: dedupe.State{byte(state), byte(state >> 8), 1}, Limiters: []relay.LimiterID{mailbox},
				Notification: []byte(`{"version":"4"}`),
			}},
		}
		for {
			_, err := f.store.Accept(t.Context(), w)
			if err != nil && !errors.Is(err, outbox.ErrUnavailable) {
				t.Error(err)
				return
			}
			if err == nil {
				f.mu.Lock()
				f.accepted[w.ID+"-0"] = time.Now()
				f.mu.Unlock()
			}
			select {
			case <-f.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			if err == nil {
				break
			}
		}
	}
}

// tell tells what there is until the traffic has ended.
func (f *traffic) tell(t *testing.T) {
	t.Helper()
	each := map[relay.IntegrationID]outbox.Terms{mail: {Backlog: relay.BacklogEach, Limiters: []relay.LimiterID{mailbox}}}
	for {
		batches, _, err := f.store.Claim(t.Context(), outbox.ClaimRequest{Max: 64, Lease: trafficLease, Integrations: each})
		if err != nil && !errors.Is(err, outbox.ErrUnavailable) {
			t.Error(err)
			return
		}
		for _, b := range batches {
			it := b.Lanes[0].Items[0]
			f.mu.Lock()
			f.told[b.Lanes[0].Lane.GroupKey] = append(f.told[b.Lanes[0].Lane.GroupKey], it.ID)
			f.mu.Unlock()
			// As deliver does it, while the lease lasts.
			for until := time.Now().Add(trafficLease); time.Now().Before(until); {
				err := f.store.Settle(t.Context(), b.Lease, done(b))
				if err == nil || !errors.Is(err, outbox.ErrUnavailable) {
					break
				}
			}
		}
		select {
		case <-f.drained:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// count is how many were accepted so far.
func (f *traffic) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.accepted)
}

// flow waits until n more are accepted.
func (f *traffic) flow(t *testing.T, n int) {
	t.Helper()
	want := f.count() + n
	parts.WaitFor(t, "the traffic", func() error {
		if got := f.count(); got < want {
			return fmt.Errorf("%d of %d accepted", got, want)
		}
		return nil
	})
}

// settle ends the posts, waits until all is told, and checks the order. It returns what was accepted and not told, with
// the time at which that was answered.
func (f *traffic) settle(t *testing.T) (lost map[string]time.Time) {
	t.Helper()
	f.endPosts()
	parts.WaitFor(t, "all to be told", func() error {
		st, err := f.store.Stats(t.Context())
		if err == nil && st.Pending > 0 {
			err = fmt.Errorf("%d pending", st.Pending)
		}
		return err
	})
	f.endTellings()
	lost = maps.Clone(f.accepted)
	repeated := 0
	for group, ids := range f.told {
		var first []string
		seen := map[string]bool{}
		for _, id := range ids {
			delete(lost, id)
			if seen[id] {
				repeated++
				continue
			}
			seen[id] = true
			first = append(first, id)
		}
		require.True(t, slices.IsSorted(first), "%s was told %s", group, first)
	}
	t.Logf("%d accepted, %d told again, %d lost", len(f.accepted), repeated, len(lost))
	return lost
}
