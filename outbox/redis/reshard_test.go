package redis_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/redisdb"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/redis"
)

// TestTheSlotMoves from node to node of a cluster in the middle of the traffic (ASK, then MOVED). While some of its keys
// are here and some there nothing runs; before and afterwards everything does, and nothing is lost or told out of order.
func TestTheSlotMoves(t *testing.T) {
	t.Parallel()
	cluster := parts.StartRedisCluster(t, 3)
	var addresses []string
	for _, node := range cluster {
		addresses = append(addresses, node.Address)
	}
	s := redis.New(connect(t, redisdb.Options{Addresses: addresses}), redis.Options{})
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	prefix := redis.Prefix("relay")
	owner := func() int {
		for i, node := range cluster {
			if node.Do(t, "CLUSTER", "COUNTKEYSINSLOT", node.Do(t, "CLUSTER", "KEYSLOT", prefix)) != "0" {
				return i
			}
		}
		return -1
	}
	f := startTraffic(t, s)
	v := &victim{Store: s, t: t}
	for range 4 {
		f.flow(t, 100)
		from := owner()
		parts.MoveSlot(t, cluster, cluster[from], cluster[(from+1)%len(cluster)], prefix, func() {
			before := f.count()
			_, err := v.Accept(t.Context(), v.webhook())
			require.ErrorIs(t, err, outbox.ErrUnavailable)
			_, _, err = v.Claim(t.Context(), outbox.ClaimRequest{Max: 1, Lease: time.Minute, Integrations: benchTerms})
			require.ErrorIs(t, err, outbox.ErrUnavailable)
			require.LessOrEqual(t, f.count()-before, trafficGroups, "but for what was answered at this moment")
		})
		require.Equal(t, (from+1)%len(cluster), owner())
	}
	f.flow(t, 100)
	require.Empty(t, f.settle(t))
}
