package bolt_test

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/boltdb"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/bolt"
)

// records counts the records of each bucket of the file of a closed store.
func (s *relayStore) records() map[string]int {
	s.t.Helper()
	require.NoError(s.t, s.Close())
	db, err := boltdb.Open(s.path)
	require.NoError(s.t, err)
	counts := map[string]int{}
	require.NoError(s.t, db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			if n := b.Stats().KeyN; n > 0 {
				counts[string(name)] = n
			}
			return nil
		})
	}))
	require.NoError(s.t, db.Close())
	s.start()
	return counts
}

func TestNothingIsLeftAfterItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		require.NoError(t, s.Close())
		s.options = bolt.Options{Now: time.Now, SweepEvery: time.Hour}
		s.start()
		for n := range 30 {
			w := s.webhook(n, fmt.Sprint("g", n%20))
			w.Saved = map[relay.AlertKey]relay.Saved{{Fingerprint: strconv.Itoa(n), StartsAt: s.Now()}: {Room: "1"}}
			s.accept(w)
		}
		require.NoError(t, s.Cache().Put(t.Context(), "token", []byte("abc"), time.Hour))
		for range 10 {
			s.settle(s.claimOne(), outbox.Outcome{Result: outbox.Sent})
		}
		s.settle(s.claimOne(), outbox.Outcome{Result: outbox.Dead})
		require.Equal(t, 19, s.records()["webhooks"])

		time.Sleep(8 * 24 * time.Hour) // of the bubble
		counts := s.records()
		require.Equal(t, 19, counts["webhooks"], "what is pending stays")
		require.Equal(t, 1, counts["dead"])
		require.NotContains(t, counts, "history")
		require.NotContains(t, counts, "marks")
		require.NotContains(t, counts, "saved")
		require.NotContains(t, counts, "cache")

		s.terms = map[relay.IntegrationID]outbox.Terms{ops: {}}
		for range 19 {
			s.settle(s.claimOne(), outbox.Outcome{Result: outbox.Sent})
		}
		time.Sleep(31 * 24 * time.Hour)
		require.Equal(t, map[string]int{"meta": 1, "state": 1}, s.records())
	})
}

func TestWhatIsReplacedDoesNotPileUp(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.terms = map[relay.IntegrationID]outbox.Terms{ops: {}}
	const rounds, groups = 50, 40
	for round := range rounds {
		var all sync.WaitGroup
		for n := range groups {
			all.Go(func() { s.accept(s.webhook(round*groups+n, strconv.Itoa(n))) })
		}
		all.Wait()
		batches, _ := s.claim(groups)
		for _, b := range batches {
			all.Go(func() { s.settle(b, outbox.Outcome{Result: outbox.Sent}) })
		}
		all.Wait()
	}
	counts := s.records()
	require.Less(t, counts["marks"], rounds*groups/2)
	require.Less(t, counts["lanes"], rounds*groups/2)
	require.True(t, s.accept(s.webhook(rounds*groups-1, strconv.Itoa(groups-1))).Duplicate, "the newest mark is there")
}

func TestWhatGoesOnStaysSaved(t *testing.T) {
	t.Parallel()
	for _, retention := range []time.Duration{7 * 24 * time.Hour, 12 * time.Hour} {
		t.Run(retention.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStore(t)
				require.NoError(t, s.Close())
				s.options = bolt.Options{Now: time.Now, SweepEvery: time.Hour, Retention: retention}
				s.start()
				k := relay.AlertKey{Fingerprint: "a", StartsAt: time.Now().UTC()}
				w := s.webhook(1, "g")
				w.Saved = map[relay.AlertKey]relay.Saved{k: {Room: "1"}}
				s.accept(w)
				for range 10 {
					time.Sleep(retention * 5 / 7)
					known, err := s.Recall(t.Context(), outbox.Query{Alerts: []relay.AlertKey{k}})
					require.NoError(t, err)
					require.Equal(t, w.Saved, known.Saved)
				}
			})
		})
	}
}
