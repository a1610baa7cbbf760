package deliver_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/deliver"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/outboxtest"
)

// TestNothingIsLost: whatever fails, each firing of an alert that was accepted is shown to its destination, and its end if
// there was one, or is in the dead letters.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	var digests, folds atomic.Int64
	t.Cleanup(func() {
		require.Positive(t, digests.Load(), "groups shared messages")
		require.Positive(t, folds.Load(), "what waited was folded")
	})
	for seed := range uint64(40) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				vendor, store := nothingIsLost(t, rand.New(rand.NewPCG(seed, 0)), 1+int(seed)%6)
				digests.Add(vendor.digests)
				folds.Add(store.folds)
			})
		})
	}
}

// A foldingStore counts the folds.
type foldingStore struct {
	*outboxtest.Memory
	folds int64
}

func (s *foldingStore) Settle(ctx context.Context, l outbox.Lease, o outbox.Outcome) error {
	err := s.Memory.Settle(ctx, l, o)
	if err == nil && o.Result == outbox.Folded {
		atomic.AddInt64(&s.folds, 1)
	}
	return err
}

func nothingIsLost(t *testing.T, random *rand.Rand, groups int) (*faulty, *foldingStore) {
	t.Helper()
	store := &foldingStore{Memory: outboxtest.NewMemory(time.Now)}
	vendor := &faulty{random: rand.New(rand.NewPCG(random.Uint64(), 0)), told: map[string]bool{}}
	setups := []relay.Setup{faultySetup("merge", vendor, relay.BacklogMerge), faultySetup("each", vendor, relay.BacklogEach)}
	d, stop := run(t, deliver.Options{Store: store, Setups: setups})
	accepted := map[string]bool{}
	for n := range 60 {
		group := fmt.Sprint("g", random.IntN(groups))
		w := outbox.Webhook{ID: fmt.Sprintf("w%03d", n), ReceivedAt: time.Now(), GroupKey: group, Reminder: true}
		w.Slot, w.State = dedupe.Slot{byte(n)}, dedupe.State{byte(n)}
		alerts := randomAlerts(random, group)
		for _, s := range setups {
			w.Entries = append(w.Entries, outbox.Entry{
				Lane:        outbox.Lane{Integration: s.ID, Destination: "main", GroupKey: group},
				Destination: relay.Destination{Key: "main"}, Limiters: s.Limiters, Notification: []byte(body(t, alerts...)),
			})
			for _, fact := range facts(alerts) {
				accepted[string(s.ID)+" "+fact] = true
			}
		}
		_, err := store.Accept(t.Context(), w)
		require.NoError(t, err)
		d.Wake()
		time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
	}
	time.Sleep(26 * time.Hour) // what fails for ever has ended in the dead letters
	stop()
	st, err := store.Stats(t.Context())
	require.NoError(t, err)
	require.Zero(t, st.Pending)
	for _, dead := range store.Dead() {
		var n relay.Notification
		require.NoError(t, json.Unmarshal(dead.Item.Notification, &n))
		vendor.shown(dead.Lane.Integration, n.Alerts)
	}
	for fact := range accepted {
		require.True(t, vendor.told[fact], "%s was lost", fact)
	}
	return vendor, store
}

func faultySetup(name string, f *faulty, backlog relay.Backlog) relay.Setup {
	s := setup(name, nil)
	s.Integration = &faultyIntegration{f, s.ID}
	s.Backlog = backlog
	s.Limit = relay.Limit{Messages: 6, Per: 20 * time.Second}
	return s
}

func randomAlerts(random *rand.Rand, group string) []relay.Alert {
	var alerts []relay.Alert
	for _, name := range []string{"a", "b", "c"} {
		status := []string{"", relay.StatusFiring, relay.StatusResolved}[random.IntN(3)]
		if status != "" {
			start := time.Date(2000, 1, 1, 0, 0, random.IntN(2), 0, time.UTC)
			alerts = append(alerts, alert(group+name, status, start))
		}
	}
	return alerts
}

// facts are what a reader must learn: that an alert fired, or that it is over, which says both.
func facts(alerts []relay.Alert) []string {
	var facts []string
	for _, a := range alerts {
		fact := fmt.Sprint(a.Fingerprint, " ", a.StartsAt.Second())
		facts = append(facts, fact)
		if a.Status == relay.StatusResolved {
			facts = append(facts, fact+" resolved")
		}
	}
	return facts
}

// A faulty vendor fails in every way, at random. It remembers what it was told.
type faulty struct {
	mu      sync.Mutex
	random  *rand.Rand
	told    map[string]bool
	digests int64
}

func (f *faulty) count(tellings int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if tellings > 1 {
		f.digests++
	}
}

func (f *faulty) shown(to relay.IntegrationID, alerts []relay.Alert) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fact := range facts(alerts) {
		f.told[string(to)+" "+fact] = true
	}
}

func (f *faulty) roll(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.random.IntN(n)
}

type faultyIntegration struct {
	*faulty
	id relay.IntegrationID
}

func (*faultyIntegration) Destination(*relay.Notification) (relay.Destination, error) {
	return relay.Destination{Key: "main"}, nil
}

// Render makes one part of each alert, or one of all: a part's body is the alerts that it shows.
func (f *faultyIntegration) Render(d relay.Delivery) ([]relay.Message, error) {
	var all []relay.Alert
	f.count(len(d.Tellings))
	for _, telling := range d.Tellings {
		all = append(all, telling.Notification.Alerts...)
	}
	parts := [][]relay.Alert{all}
	if len(all) > 1 && f.roll(2) == 0 {
		parts = [][]relay.Alert{all[:1], all[1:]}
	}
	var messages []relay.Message
	for i, part := range parts {
		shown, err := json.Marshal(part)
		if err != nil {
			return nil, err
		}
		messages = append(messages, relay.Message{
			ID: fmt.Sprint(d.ID, i), Part: i + 1, Parts: len(parts), Body: shown,
		})
	}
	return messages, nil
}

func (f *faultyIntegration) Send(ctx context.Context, m relay.Message) (relay.Receipt, error) {
	err := errors.New("the vendor said no")
	switch f.roll(12) {
	case 0, 1:
		return relay.Receipt{}, err
	case 2:
		return relay.Receipt{}, relay.AsRefused(err)
	case 3:
		return relay.Receipt{}, relay.AsRateLimited(err, time.Duration(f.roll(20))*time.Second)
	case 4:
		if f.roll(10) == 0 {
			return relay.Receipt{}, relay.AsMisconfigured(err)
		}
	case 5:
		<-ctx.Done()
		return relay.Receipt{}, ctx.Err()
	}
	var shown []relay.Alert
	if err := json.Unmarshal(m.Body, &shown); err != nil {
		return relay.Receipt{}, err
	}
	f.shown(f.id, shown)
	return relay.Receipt{}, nil
}
