package bolt_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/boltdb"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/bolt"
)

// FuzzDamagedRecord puts any bytes in the place of a stored webhook: the store opens or says why not, and whatever it hands
// out can be settled.
func FuzzDamagedRecord(f *testing.F) {
	path := filepath.Join(f.TempDir(), "relay.db")
	db, err := boltdb.Open(path)
	require.NoError(f, err)
	f.Cleanup(func() { _ = db.Close() })
	s, err := bolt.New(db, bolt.Options{})
	require.NoError(f, err)
	_, err = s.Accept(f.Context(), benchWebhook(1))
	require.NoError(f, err)
	require.NoError(f, s.Close())
	var key []byte
	require.NoError(f, db.View(func(tx *bbolt.Tx) error {
		k, v := tx.Bucket([]byte("webhooks")).Cursor().First()
		key = append(key, k...)
		f.Add(append([]byte{}, v...))
		f.Add(append([]byte{}, v[:len(v)/2]...))
		f.Add(append(append([]byte{}, v...), 2, 4, 1)) // folded of two
		return nil
	}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, value []byte) {
		require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte("webhooks"))
			if len(value) == 0 {
				return b.Delete(key)
			}
			return b.Put(key, value)
		}))
		s, err := bolt.New(db, bolt.Options{})
		if err != nil {
			return
		}
		defer func() { require.NoError(t, s.Close()) }()
		_, _, err = s.Deliveries(t.Context(), outbox.DeliveryQuery{})
		require.NoError(t, err)
		terms := map[relay.IntegrationID]outbox.Terms{"ops/dingtalk/main": {Backlog: relay.BacklogMerge}}
		batches, _, err := s.Claim(t.Context(), outbox.ClaimRequest{Max: 10, Lease: time.Minute, Integrations: terms})
		require.NoError(t, err)
		for _, b := range batches {
			o := outbox.Outcome{Result: outbox.Release}
			require.NoError(t, s.Settle(t.Context(), b.Lease, o))
		}
	})
}
