package snapshots_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/boltdb"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/redisdb"
	"github.com/alertrelay/relay/snapshots"
)

// BenchmarkFind looks up the four sets of one alert, and of 500 alerts of one job: docs/explanation/performance.md has its
// figures.
func BenchmarkFind(b *testing.B) {
	db, err := boltdb.Open(filepath.Join(b.TempDir(), "relay.db"))
	require.NoError(b, err)
	defer func() { require.NoError(b, db.Close()) }()
	embedded, err := snapshots.NewBolt(db, snapshots.BoltOptions{})
	require.NoError(b, err)
	client, err := redisdb.New(redisdb.Options{Addresses: []string{parts.StartRedis(b).Address}})
	require.NoError(b, err)
	defer func() { require.NoError(b, client.Close()) }()

	for name, store := range map[string]snapshots.Store{
		"bolt": embedded, "redis": snapshots.NewRedis(client, snapshots.RedisOptions{Namespace: "bench"}),
	} {
		for _, alerts := range []int{1, 500} {
			keys := []snapshots.Key{"service=pay", "job=api"}
			for i := range alerts {
				keys = append(keys, snapshots.Key(fmt.Sprintf("instance=i%d,service=pay", i)),
					snapshots.Key(fmt.Sprintf("instance=i%d,job=api", i)))
			}
			var entries []snapshots.Entry
			for _, key := range keys {
				entries = append(entries, snapshots.Entry{Key: key, Snapshot: relay.Snapshot{
					TraceID: "0af7651916cd43dd8448eb211c80319c", RoomID: "10086", UserAgent: "WeChat/8.0.42", Time: recorded,
				}})
			}
			require.NoError(b, store.Record(b.Context(), entries, time.Hour))
			b.Run(fmt.Sprintf("%s/%d alerts", name, alerts), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					_, err := store.Find(b.Context(), keys)
					require.NoError(b, err)
				}
			})
		}
	}
}
