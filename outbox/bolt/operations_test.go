package bolt_test

import (
	"strconv"
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

// dies lets a webhook end in the dead letters.
func (s *relayStore) dies(w outbox.Webhook) {
	s.t.Helper()
	s.accept(w)
	s.settle(s.claimOne(), outbox.Outcome{Result: outbox.Dead, Reason: relay.Refused})
}

func TestRequeuedEntriesOutliveARestart(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.dies(s.webhook(1, "g"))
	s.dies(s.webhook(2, "h"))
	s.restart()
	s.Advance(time.Minute)
	decisions, err := s.Requeue(t.Context(), outbox.RequeueRequest{IDs: []string{"w0001-0"}})
	require.NoError(t, err)
	require.Equal(t, []outbox.Decision{{ID: "w0001-0"}}, decisions)
	requeued := s.Now()
	s.restart()

	st, err := s.Stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, st.Dead)
	b := s.claimOne()
	require.Equal(t, "w0001-0", b.Lanes[0].Items[0].ID)
	require.True(t, b.Lanes[0].Items[0].Requeued.Equal(requeued))
	s.settle(b, outbox.Outcome{Result: outbox.Sent})
	s.restart()

	newer, err := s.Requeue(t.Context(), outbox.RequeueRequest{IDs: []string{"w0001-0", "w0002-0"}})
	require.NoError(t, err)
	require.Equal(t, []outbox.Decision{{ID: "w0001-0", Refusal: outbox.RefusedNotFound}, {ID: "w0002-0"}}, newer)
}

func TestWhatWasToldSinceIsKnownAfterARestart(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.dies(s.webhook(1, "g"))
	s.Advance(time.Minute)
	s.accept(s.webhook(2, "g"))
	s.settle(s.claimOne(), outbox.Outcome{Result: outbox.Sent})
	s.restart()
	decisions, err := s.Requeue(t.Context(), outbox.RequeueRequest{IDs: []string{"w0001-0"}})
	require.NoError(t, err)
	require.Equal(t, []outbox.Decision{{ID: "w0001-0", Refusal: outbox.RefusedNewerSent}}, decisions)
}

func TestRequeueStaysWithinTheCap(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.dies(s.webhook(1, "g"))
	s.dies(s.webhook(2, "h"))
	s.options.MaxPending = 1
	s.restart()
	_, err := s.Requeue(t.Context(), outbox.RequeueRequest{IDs: []string{"w0001-0", "w0002-0"}})
	require.ErrorIs(t, err, outbox.ErrFull)
	st, err := s.Stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, st.Dead, "all or nothing")
	require.Zero(t, st.Pending)
	_, err = s.Requeue(t.Context(), outbox.RequeueRequest{IDs: []string{"w0001-0"}})
	require.NoError(t, err)
}

func TestTooManyIDs(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	ids := make([]string, outbox.MaxIDs+1)
	for i := range ids {
		ids[i] = strconv.Itoa(i)
	}
	_, err := s.Requeue(t.Context(), outbox.RequeueRequest{IDs: ids})
	require.Error(t, err)
	_, err = s.Drop(t.Context(), ids)
	require.Error(t, err)
}

func TestDeadLettersEndWithTheirTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		require.NoError(t, s.Close())
		s.options = bolt.Options{Now: time.Now, SweepEvery: 24 * time.Hour}
		s.start()
		s.dies(s.webhook(1, "g"))
		time.Sleep(30*24*time.Hour - time.Minute) // of the bubble
		s.dies(s.webhook(2, "h"))
		letters, _, err := s.DeadLetters(t.Context(), outbox.DeadLetterQuery{})
		require.NoError(t, err)
		require.Len(t, letters, 2)

		time.Sleep(2 * time.Minute)
		letters, _, err = s.DeadLetters(t.Context(), outbox.DeadLetterQuery{})
		require.NoError(t, err)
		require.Len(t, letters, 1)
		decisions, err := s.Requeue(t.Context(), outbox.RequeueRequest{IDs: []string{"w0001-0"}, Force: true})
		require.NoError(t, err)
		require.Equal(t, outbox.RefusedNotFound, decisions[0].Refusal)
	})
}

func TestADamagedDeadLetterHidesNoOther(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.dies(s.webhook(1, "g"))
	s.dies(s.webhook(2, "h"))
	require.NoError(t, s.Close())
	db, err := boltdb.Open(s.path)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		dead := tx.Bucket([]byte("dead"))
		value := dead.Get([]byte("w0002-0"))
		return dead.Put([]byte("w0002-0"), append([]byte{}, value[:len(value)/2]...))
	}))
	require.NoError(t, db.Close())
	s.start()
	letters, _, err := s.DeadLetters(t.Context(), outbox.DeadLetterQuery{})
	require.NoError(t, err)
	require.Len(t, letters, 1)
	rows, _, err := s.Deliveries(t.Context(), outbox.DeliveryQuery{})
	require.NoError(t, err)
	require.Len(t, rows, 1)
	decisions, err := s.Requeue(t.Context(), outbox.RequeueRequest{IDs: []string{"w0002-0"}, Force: true})
	require.NoError(t, err)
	require.Equal(t, outbox.RefusedDamaged, decisions[0].Refusal)
}

func FuzzDeliveryCursor(f *testing.F) {
	s, err := bolt.Open(f.TempDir()+"/relay.db", bolt.Options{})
	require.NoError(f, err)
	f.Cleanup(func() { _ = s.Close() })
	for n := range int64(3) {
		_, err := s.Accept(f.Context(), benchWebhook(n))
		require.NoError(f, err)
	}
	for _, seed := range []string{"", "w.", "w.1.0", "d.", "d.x", "e.", "e.3.1", "x.1", "w", "w.0.0", "e.-1.2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		rows, _, err := s.Deliveries(t.Context(), outbox.DeliveryQuery{Page: outbox.Page{Cursor: cursor, Limit: 2}})
		if err != nil {
			require.ErrorIs(t, err, outbox.ErrCursor)
			require.Empty(t, rows)
		}
		require.LessOrEqual(t, len(rows), 2)
	})
}
