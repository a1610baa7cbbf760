package redis_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/redisdb"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/redis"
)

// TestMinAcks: what too few replicas have is not accepted, neither at first nor as a copy; once they are back the copy is,
// and it is told once.
func TestMinAcks(t *testing.T) {
	t.Parallel()
	primary := parts.StartRedis(t)
	replica := parts.StartRedisReplica(t, primary)
	v := &victim{t: t, server: primary, Store: redis.New(connect(t, redisdb.Options{
		Addresses: []string{primary.Address}, MinAcks: 1, Timeout: 500 * time.Millisecond,
	}), redis.Options{})}
	t.Cleanup(func() { require.NoError(t, v.Close()) })
	var before outbox.Webhook
	parts.WaitFor(t, "the replica", func() error { // which may be slow on a busy machine
		before = v.webhook()
		_, err := v.Accept(t.Context(), before)
		return err
	})
	waiting := stats(t, v.Store).Pending

	replica.Freeze()
	t.Cleanup(func() { replica.Signal(syscall.SIGCONT) })
	w := v.webhook()
	for range 2 {
		_, err := v.Accept(t.Context(), w)
		require.ErrorIs(t, err, outbox.ErrUnavailable)
	}
	copied := before
	copied.ID = "01ARZ3NDEKTSV4RRFFQ69G9999"
	_, err := v.Accept(t.Context(), copied)
	require.ErrorIs(t, err, outbox.ErrUnavailable, "a duplicate promises as much")
	_, err = v.Recall(t.Context(), outbox.Query{Slot: before.Slot, State: before.State, Window: time.Hour})
	require.ErrorIs(t, err, outbox.ErrUnavailable)

	replica.Signal(syscall.SIGCONT)
	var a outbox.Accepted
	parts.WaitFor(t, "the replica", func() error {
		a, err = v.Accept(t.Context(), w)
		return err
	})
	require.Equal(t, outbox.Accepted{ID: w.ID, Duplicate: true}, a)
	require.Equal(t, waiting+1, stats(t, v.Store).Pending)
}
