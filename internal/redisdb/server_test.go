package redisdb_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/redisdb"
)

func TestLook(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args    []string
		minAcks int
		want    redisdb.Persistence
		promise string
	}{
		"always": {
			[]string{"--appendfsync", "always"},
			1, redisdb.AOFAlways,
			"nothing is lost when Redis crashes or loses its power; " +
				"nothing is lost in a failover to one of the 1 replicas that have it",
		},
		"every second": {
			[]string{"--appendfsync", "everysec"},
			0, redisdb.AOFEverySec,
			"up to two seconds are lost when Redis crashes on a busy disk, or loses its power; " +
				"the last moments before a failover are lost",
		},
		"snapshots": {
			[]string{"--appendonly", "no", "--save", "3600 1"},
			0, redisdb.Snapshots,
			"what came since its last snapshot is lost when Redis crashes; the last moments before a failover are lost",
		},
		"nothing": {
			[]string{"--appendonly", "no"},
			0, redisdb.NoPersistence,
			"everything is lost when Redis restarts; the last moments before a failover are lost",
		},
		"who may not ask": {
			[]string{"--rename-command", "CONFIG", "forbidden"},
			0, redisdb.AOF,
			"nothing is lost when Redis crashes, an unknown part when it loses its power; " +
				"the last moments before a failover are lost",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := parts.StartRedis(t, c.args...)
			db := open(t, redisdb.Options{Addresses: []string{server.Address}})
			got, err := db.Look(t.Context(), "{k}")
			require.NoError(t, err)
			require.Equal(t, server.Product(t), got.Product)
			require.Equal(t, "standalone", got.Mode)
			require.Equal(t, "master", got.Role)
			require.Equal(t, "noeviction", got.Policy)
			require.Equal(t, server.Info(t, "server", "run_id"), got.RunID)
			require.Equal(t, c.want, got.Persistence)
			require.Equal(t, c.promise, got.Promise(c.minAcks))
			require.NoError(t, db.Check(got, false))
		})
	}
}

func TestLookCountsReplicas(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t, "--maxmemory", "100mb")
	parts.StartRedisReplica(t, server)
	registry := prometheus.NewRegistry()
	db := open(t, redisdb.Options{Addresses: []string{server.Address}, MinAcks: 1, Registerer: registry})
	got, err := db.Look(t.Context(), "{k}")
	require.NoError(t, err)
	require.Equal(t, 1, got.Replicas)
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(fmt.Sprintf(`
# HELP relay_redis_info What the Redis in use says about itself; the value is 1.
# TYPE relay_redis_info gauge
relay_redis_info{maxmemory_policy="noeviction",mode="standalone",persistence="aof-everysec",product=%q,version=%q} 1
# HELP relay_redis_memory_max_bytes Memory beyond which Redis takes nothing more; 0 is no bound.
# TYPE relay_redis_memory_max_bytes gauge
relay_redis_memory_max_bytes 1.048576e+08
# HELP relay_redis_min_acks How many replicas must have a write before it counts.
# TYPE relay_redis_min_acks gauge
relay_redis_min_acks 1
# HELP relay_redis_replicas Replicas of Redis that are in step with it.
# TYPE relay_redis_replicas gauge
relay_redis_replicas 1
`, server.Product(t), got.Version)), "relay_redis_info", "relay_redis_memory_max_bytes", "relay_redis_min_acks", "relay_redis_replicas"))
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	good := redisdb.Server{Product: "redis", Version: "7.0.15", Mode: "standalone", Policy: "noeviction"}
	for name, c := range map[string]struct {
		change func(s *redisdb.Server)
		want   string
	}{
		"an old Redis": {
			func(s *redisdb.Server) { s.Version = "6.2.7" }, "this Redis cannot be used: it is redis 6.2.7, 7.0 or newer is needed",
		},
		"an old Valkey": {
			func(s *redisdb.Server) { s.Product, s.Version = "valkey", "7.2.5" },
			"this Redis cannot be used: it is valkey 7.2.5, 8.0 or newer is needed",
		},
		"one that evicts": {
			func(s *redisdb.Server) { s.Policy = "allkeys-lru" },
			"this Redis cannot be used: its maxmemory-policy is allkeys-lru, so it may throw away what was accepted: " +
				"set noeviction, or storage.redis.allow_eviction",
		},
		"a node of a cluster, and old": {
			func(s *redisdb.Server) { s.Mode, s.Version = "cluster", "5.0.1" },
			"this Redis cannot be used: it is redis 5.0.1, 7.0 or newer is needed; " +
				"it is a node of a cluster: name several of its nodes in storage.redis.addresses",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, redisdb.Options{Addresses: []string{"127.0.0.1:1"}})
			s := good
			c.change(&s)
			var refused *redisdb.RefusedError
			require.ErrorAs(t, db.Check(s, false), &refused)
			require.EqualError(t, refused, c.want)
		})
	}
	t.Run("not when it is allowed, nor what it does not tell", func(t *testing.T) {
		t.Parallel()
		db := open(t, redisdb.Options{Addresses: []string{"127.0.0.1:1"}})
		s := good
		s.Policy = "allkeys-lru"
		require.NoError(t, db.Check(s, true))
		require.NoError(t, db.Check(redisdb.Server{}, false))
	})
}

func TestLookAtACluster(t *testing.T) {
	t.Parallel()
	nodes := parts.StartRedisCluster(t, 3)
	db := open(t, redisdb.Options{Addresses: []string{nodes[0].Address, nodes[1].Address}})
	got, err := db.Look(t.Context(), "{k}")
	require.NoError(t, err)
	require.NoError(t, db.Check(got, false))
	one := open(t, redisdb.Options{Addresses: []string{nodes[0].Address}})
	require.Error(t, one.Check(got, false))
}
