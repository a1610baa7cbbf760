package snapshots_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/redisdb"
	"github.com/alertrelay/relay/snapshots"
)

// openRedis returns a store in a Redis, under a namespace of its own.
func openRedis(t *testing.T, registry prometheus.Registerer, addresses ...string) *snapshots.Redis {
	t.Helper()
	db, err := redisdb.New(redisdb.Options{Addresses: addresses, Timeout: time.Minute})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return snapshots.NewRedis(db, snapshots.RedisOptions{Namespace: t.Name(), Registerer: registry})
}

func TestRedis(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t)
	contract(t, func(t *testing.T) (snapshots.Store, func(time.Duration)) {
		t.Helper()
		return openRedis(t, nil, server.Address), func(d time.Duration) { // it passes where the keys are
			for key := range strings.FieldsSeq(server.Do(t, "KEYS", t.Name()+":*")) {
				left, err := strconv.Atoi(server.Do(t, "TTL", key))
				require.NoError(t, err)
				server.Do(t, "EXPIRE", key, strconv.Itoa(left-int(d.Seconds())))
			}
		}
	})
}

func TestRedisCluster(t *testing.T) {
	t.Parallel()
	var addresses []string
	for _, node := range parts.StartRedisCluster(t, 3) {
		addresses = append(addresses, node.Address)
	}
	store := openRedis(t, nil, addresses...)
	var entries []snapshots.Entry
	var keys []snapshots.Key
	for i := range 100 {
		key := snapshots.Key(fmt.Sprintf("instance=i%d,job={x}%d", i, i))
		keys = append(keys, key)
		entries = append(entries, snapshots.Entry{Key: key, Snapshot: relay.Snapshot{TraceID: string(key), Time: recorded}})
	}
	require.NoError(t, store.Record(t.Context(), entries, time.Hour))
	found, err := store.Find(t.Context(), keys)
	require.NoError(t, err)
	for i, key := range keys {
		require.Equal(t, string(key), found[i].TraceID)
	}
}

// TestTheDocumentedCommands writes what docs/reference/snapshots.md tells other clients to write.
func TestTheDocumentedCommands(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t)
	store := openRedis(t, nil, server.Address)
	server.Do(t, "SET", t.Name()+":snapshot:instance=10.0.0.7:8080,service=pay",
		`{"trace_id":"0af7651916cd43dd8448eb211c80319c","room_id":"10086","user_agent":"WeChat/8.0","time":1795161600}`,
		"EX", "86400")
	key, ok := snapshots.NewSet("service", "instance").Key(map[string]string{"service": "pay", "instance": "10.0.0.7:8080"})
	require.True(t, ok)
	found, err := store.Find(t.Context(), []snapshots.Key{key})
	require.NoError(t, err)
	require.Equal(t, []relay.Snapshot{{
		TraceID: "0af7651916cd43dd8448eb211c80319c", RoomID: "10086", UserAgent: "WeChat/8.0", Time: recorded,
	}}, found)

	require.NoError(t, store.Record(t.Context(), []snapshots.Entry{{
		Key: "service=pay", Snapshot: relay.Snapshot{TraceID: "t", Time: recorded},
	}}, time.Hour))
	require.JSONEq(t, `{"trace_id":"t","time":"2026-11-20T08:00:00Z"}`, server.Do(t, "GET", t.Name()+":snapshot:service=pay"))
	require.Equal(t, "3600", server.Do(t, "TTL", t.Name()+":snapshot:service=pay"))
}

// TestWhatOthersPutThereIsBounded, counted, and no hindrance.
func TestWhatOthersPutThereIsBounded(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t)
	registry := prometheus.NewRegistry()
	store := openRedis(t, registry, server.Address)
	put := func(key, value string) { server.Do(t, "SET", t.Name()+":snapshot:"+key, value) }
	put("a=huge", `{"trace_id":"`+strings.Repeat("x", 100_000)+`"}`)
	put("a=padded", `{"trace_id":"t"}`+strings.Repeat(" ", 100_000))
	put("a=text", "not JSON")
	put("a=good", `{"trace_id":"good"}`)
	server.Do(t, "LPUSH", t.Name()+":snapshot:a=list", "x")
	found, err := store.Find(t.Context(), []snapshots.Key{"a=list", "a=huge", "a=padded", "a=text", "a=none", "a=good"})
	require.NoError(t, err)
	require.Equal(t, []relay.Snapshot{{}, {}, {}, {}, {}, {TraceID: "good"}}, found)
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP relay_snapshots_unreadable_total Snapshots found that could not be read: too long, or not the documented form.
# TYPE relay_snapshots_unreadable_total counter
relay_snapshots_unreadable_total 4
`), "relay_snapshots_unreadable_total"))
}

func TestARedisThatIsDownIsAnError(t *testing.T) {
	t.Parallel()
	store := openRedis(t, nil, "127.0.0.1:1")
	_, err := store.Find(t.Context(), []snapshots.Key{"a=1"})
	require.ErrorIs(t, err, redisdb.ErrUnavailable)
	require.ErrorIs(t, store.Record(t.Context(), []snapshots.Entry{{Key: "a=1"}}, time.Hour), redisdb.ErrUnavailable)
}

// TestARedisThatHangsIsNotWaitedFor beyond the end of the context.
func TestARedisThatHangsIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t)
	store := openRedis(t, nil, server.Address)
	_, err := store.Find(t.Context(), []snapshots.Key{"a=1"})
	require.NoError(t, err)
	server.Do(t, "CLIENT", "PAUSE", "60000", "ALL")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = store.Find(ctx, []snapshots.Key{"a=1"})
	require.Error(t, err)
}
