package redis_test

import (
	"cmp"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/redisdb"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/outboxtest"
	"github.com/alertrelay/relay/outbox/redis"
)

func TestRelaysShareTheWork(t *testing.T) {
	t.Parallel()
	address := parts.StartRedis(t).Address
	one := redis.New(connect(t, redisdb.Options{Addresses: []string{address}}), redis.Options{})
	other := redis.New(connect(t, redisdb.Options{Addresses: []string{address}}), redis.Options{})
	t.Cleanup(func() {
		require.NoError(t, one.Close())
		require.NoError(t, other.Close())
	})
	lane := outbox.Lane{Integration: "ops/slack/main", Destination: "#ops", GroupKey: "g", Receiver: "ops"}
	w := outbox.Webhook{
		ID: "01ARZ3NDEKTSV4RRFFQ69G5FAV", ReceivedAt: time.Now(), Window: time.Minute,
		Entries: []outbox.Entry{{
			Lane: lane, Limiters: []relay.LimiterID{"webhook"}, Notification: []byte(`{"version":"4"}`),
		}},
	}
	_, err := one.Accept(t.Context(), w)
	require.NoError(t, err)

	again := w
	again.ID = "01ARZ3NDEKTSV4RRFFQ69G5FAW"
	a, err := other.Accept(t.Context(), again)
	require.NoError(t, err)
	require.Equal(t, outbox.Accepted{ID: w.ID, Duplicate: true}, a)

	c := outbox.ClaimRequest{
		Max: 10, Lease: time.Minute, Integrations: map[relay.IntegrationID]outbox.Terms{lane.Integration: {}},
	}
	batches, _, err := other.Claim(t.Context(), c)
	require.NoError(t, err)
	require.Len(t, batches, 1)
	require.Equal(t, relay.LimiterID("webhook"), batches[0].Limiter)
	require.Equal(t, lane, batches[0].Lanes[0].Lane)
	none, _, err := one.Claim(t.Context(), c)
	require.NoError(t, err)
	require.Empty(t, none)

	o := outbox.Outcome{Result: outbox.Sent, Items: []string{w.ID + "-0"}}
	require.NoError(t, one.Settle(t.Context(), batches[0].Lease, o))
	require.ErrorIs(t, other.Settle(t.Context(), batches[0].Lease, o), outbox.ErrStale)
	st, err := one.Stats(t.Context())
	require.NoError(t, err)
	require.Zero(t, st.Pending)
}

// TestParallelCopiesOverRelays: of 64 posts of one notification to three relays one is accepted.
func TestParallelCopiesOverRelays(t *testing.T) {
	t.Parallel()
	address := parts.StartRedis(t).Address
	var relays []*redis.Store
	for range 3 {
		relays = append(relays, open(t, address))
	}
	var accepted, duplicates atomic.Int64
	var all sync.WaitGroup
	for i := range 64 {
		w := benchWebhook(1)
		w.ID = fmt.Sprintf("01ARZ3NDEKTSV4RRFFQ69G%04d", i)
		all.Go(func() {
			a, err := relays[i%len(relays)].Accept(t.Context(), w)
			switch {
			case err != nil:
				t.Error(err)
			case a.Duplicate:
				duplicates.Add(1)
			default:
				accepted.Add(1)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 1, accepted.Load())
	require.EqualValues(t, 63, duplicates.Load())
	require.Equal(t, 1, stats(t, relays[0]).Pending)
}

// TestRelaysWithDifferentConfigurations: what one relay does not know waits for the other for as long as that one is there,
// and is told by it. Once nobody knows it, it is put aside in its time.
func TestRelaysWithDifferentConfigurations(t *testing.T) {
	t.Parallel()
	clock := outboxtest.NewClock()
	address := parts.StartRedis(t).Address
	relayWith := func(known relay.IntegrationID) func() []outbox.Batch {
		s := redis.New(connect(t, redisdb.Options{Addresses: []string{address}}), redis.Options{Now: clock.Now})
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		terms := map[relay.IntegrationID]outbox.Terms{known: {}}
		return func() []outbox.Batch {
			batches, _, err := s.Claim(t.Context(), outbox.ClaimRequest{Max: 10, Lease: time.Minute, Integrations: terms})
			require.NoError(t, err)
			return batches
		}
	}
	v := &victim{t: t, Store: redis.New(connect(t, redisdb.Options{
		Addresses: []string{address},
	}), redis.Options{Now: clock.Now})}
	t.Cleanup(func() { require.NoError(t, v.Close()) })
	older, newer := relayWith("ops/slack/main"), relayWith(mail)

	v.accept()
	told := newer()
	require.Len(t, told, 1)
	retry := outbox.Outcome{Result: outbox.Retry, After: 2 * outbox.RemovedGrace}
	require.NoError(t, v.Settle(t.Context(), told[0].Lease, retry))
	for range 2 * outbox.RemovedGrace / time.Minute {
		require.Empty(t, older())
		require.Zero(t, stats(t, v.Store).Dead, "the other relay knows it")
		clock.Advance(time.Minute)
		told = newer()
	}
	require.Len(t, told, 1)
	require.NoError(t, v.Settle(t.Context(), told[0].Lease, done(told[0])))

	v.accept()
	for range outbox.RemovedGrace / time.Minute {
		require.Empty(t, older())
		require.Zero(t, stats(t, v.Store).Dead)
		clock.Advance(time.Minute)
	}
	require.Empty(t, older())
	require.Equal(t, 1, stats(t, v.Store).Dead, "nobody knows it any more")
}

// TestFull: what is beyond the caps is refused, and so told.
func TestFull(t *testing.T) {
	t.Parallel()
	db := connect(t, redisdb.Options{Addresses: []string{parts.StartRedis(t).Address}})
	for name, o := range map[string]redis.Options{
		"entries": {Namespace: "entries", MaxPending: 2}, "bytes": {Namespace: "bytes", MaxBytes: 2 * 2000},
	} {
		s := redis.New(db, o)
		for n := range int64(2) {
			require.False(t, stats(t, s).Full, name)
			_, err := s.Accept(t.Context(), benchWebhook(n))
			require.NoError(t, err, name)
		}
		require.True(t, stats(t, s).Full, name)
		_, err := s.Accept(t.Context(), benchWebhook(3))
		require.ErrorIs(t, err, outbox.ErrFull, name)
		a, err := s.Accept(t.Context(), benchWebhook(1))
		require.NoError(t, err, name)
		require.True(t, a.Duplicate, name)
		require.NoError(t, s.Close())
	}
}

// connect returns a client, by default one that is patient with a server on a busy disk.
func connect(tb testing.TB, o redisdb.Options) *redisdb.DB {
	tb.Helper()
	o.Timeout = cmp.Or(o.Timeout, time.Minute)
	o.DialTimeout = cmp.Or(o.DialTimeout, time.Minute)
	db, err := redisdb.New(o)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = db.Close() })
	return db
}
