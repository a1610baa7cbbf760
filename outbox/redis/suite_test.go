package redis_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/redisdb"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/outboxtest"
	"github.com/alertrelay/relay/outbox/redis"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	conformance(t, parts.StartRedis(t).Address)
}

// TestConformanceInCluster: each store's namespace is on one of three nodes.
func TestConformanceInCluster(t *testing.T) {
	t.Parallel()
	var addresses []string
	for _, node := range parts.StartRedisCluster(t, 3) {
		addresses = append(addresses, node.Address)
	}
	conformance(t, addresses...)
}

// conformance runs the suite in one Redis, each store in a namespace of its own.
func conformance(t *testing.T, addresses ...string) {
	t.Helper()
	db := connect(t, redisdb.Options{Addresses: addresses})
	var stores atomic.Int64
	outboxtest.Run(t, func(t *testing.T, now func() time.Time) outbox.Store {
		t.Helper()
		return redis.New(db, redis.Options{Namespace: fmt.Sprint("suite", stores.Add(1)), Now: now})
	})
}
