package snapshots_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/boltdb"
	"github.com/alertrelay/relay/snapshots"
)

// An opener returns an empty store, and a way to let time pass for it.
type opener func(t *testing.T) (snapshots.Store, func(time.Duration))

// contract is what every form of the store does.
func contract(t *testing.T, open opener) {
	t.Helper()
	entry := func(key, trace string) snapshots.Entry {
		return snapshots.Entry{Key: snapshots.Key(key), Snapshot: relay.Snapshot{TraceID: trace, Time: recorded}}
	}
	traces := func(t *testing.T, store snapshots.Store, keys ...snapshots.Key) []string {
		t.Helper()
		found, err := store.Find(t.Context(), keys)
		require.NoError(t, err)
		require.Len(t, found, len(keys))
		ids := make([]string, len(found))
		for i := range found {
			ids[i] = found[i].TraceID
		}
		return ids
	}

	t.Run("nothing recorded, nothing found", func(t *testing.T) {
		t.Parallel()
		store, _ := open(t)
		require.NoError(t, store.Record(t.Context(), nil, time.Hour))
		require.Empty(t, traces(t, store))
		require.Equal(t, []string{"", ""}, traces(t, store, "a=1", "b=2"))
	})
	t.Run("all that was recorded is found again", func(t *testing.T) {
		t.Parallel()
		store, _ := open(t)
		whole := relay.Snapshot{
			TraceID: "t", RoomID: "10086", UserAgent: "<微信> \"8\"\r\n", Extra: map[string]string{"tenant": "shop"}, Time: recorded,
		}
		require.NoError(t, store.Record(t.Context(), []snapshots.Entry{{Key: `a=1\,2,服务={x}`, Snapshot: whole}}, time.Hour))
		found, err := store.Find(t.Context(), []snapshots.Key{"a=1", `a=1\,2,服务={x}`})
		require.NoError(t, err)
		require.Equal(t, []relay.Snapshot{{}, whole}, found)
	})
	t.Run("the last one recorded counts", func(t *testing.T) {
		t.Parallel()
		store, _ := open(t)
		first, second := entry("a=1", "first"), entry("a=1", "second")
		first.Snapshot.RoomID = "10086"
		require.NoError(t, store.Record(t.Context(), []snapshots.Entry{first, entry("b=2", "other"), second}, time.Hour))
		require.Equal(t, []string{"second", "other", "second"}, traces(t, store, "a=1", "b=2", "a=1"))
		require.NoError(t, store.Record(t.Context(), []snapshots.Entry{entry("a=1", "third")}, time.Hour))
		found, err := store.Find(t.Context(), []snapshots.Key{"a=1"})
		require.NoError(t, err)
		require.Equal(t, relay.Snapshot{TraceID: "third", Time: recorded}, found[0], "nothing of the one before is left")
	})
	t.Run("it goes when its time is over", func(t *testing.T) {
		t.Parallel()
		store, pass := open(t)
		require.NoError(t, store.Record(t.Context(), []snapshots.Entry{entry("a=1", "short")}, time.Minute))
		require.NoError(t, store.Record(t.Context(), []snapshots.Entry{entry("b=2", "long")}, time.Hour))
		require.Equal(t, []string{"short", "long"}, traces(t, store, "a=1", "b=2"))
		pass(2 * time.Minute)
		require.Equal(t, []string{"", "long"}, traces(t, store, "a=1", "b=2"))
	})
	t.Run("what is too long is refused whole", func(t *testing.T) {
		t.Parallel()
		store, _ := open(t)
		require.Error(t, store.Record(t.Context(), []snapshots.Entry{
			entry("a=1", "small"), entry("b=2", strings.Repeat("x", snapshots.MaxValue)),
		}, time.Hour))
		require.Equal(t, []string{"", ""}, traces(t, store, "a=1", "b=2"))
	})
	t.Run("as many keys as may be asked, and more", func(t *testing.T) {
		t.Parallel()
		store, _ := open(t)
		require.NoError(t, store.Record(t.Context(), []snapshots.Entry{entry("n=0", "first"), entry("n=9999", "last")}, time.Hour))
		var keys []snapshots.Key
		for i := range snapshots.MaxKeys + 100 {
			keys = append(keys, snapshots.Key(fmt.Sprintf("n=%d", i)))
		}
		found := traces(t, store, keys...)
		require.Equal(t, "first", found[0])
		require.Equal(t, "last", found[9999])
	})
	t.Run("many at once", func(t *testing.T) {
		t.Parallel()
		store, _ := open(t)
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				key := fmt.Sprintf("n=%d", i%4)
				if err := store.Record(t.Context(), []snapshots.Entry{entry(key, "t"), entry("all=1", "t")}, time.Hour); err != nil {
					t.Error(err)
				}
				if _, err := store.Find(t.Context(), []snapshots.Key{"all=1"}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		require.Equal(t, []string{"t", "t", "t"}, traces(t, store, "n=0", "n=3", "all=1"))
	})
}

// A clock is set by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestBolt(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T) (snapshots.Store, func(time.Duration)) {
		t.Helper()
		c := &clock{now: recorded}
		store, err := snapshots.NewBolt(openFile(t, filepath.Join(t.TempDir(), "relay.db")), snapshots.BoltOptions{Now: c.Now})
		require.NoError(t, err)
		return store, c.pass
	})
}

// TestBoltIsBounded in number and age, and knows so after a restart.
func TestBoltIsBounded(t *testing.T) {
	t.Parallel()
	const most = 50
	path, c := filepath.Join(t.TempDir(), "relay.db"), &clock{now: recorded}
	record := func(store *snapshots.Bolt, from, to int) {
		for i := from; i < to; i++ {
			c.pass(time.Second)
			require.NoError(t, store.Record(t.Context(), []snapshots.Entry{
				{Key: snapshots.Key(fmt.Sprintf("n=%d", i)), Snapshot: relay.Snapshot{TraceID: "t", Time: c.Now()}},
			}, time.Hour))
		}
	}
	open := func() (*bbolt.DB, *snapshots.Bolt) {
		db, err := boltdb.Open(path)
		require.NoError(t, err)
		store, err := snapshots.NewBolt(db, snapshots.BoltOptions{MaxCount: most, Now: c.Now})
		require.NoError(t, err)
		return db, store
	}
	db, store := open()
	record(store, 0, most)
	record(store, 0, 1) // again, so that it is not the oldest any more
	require.NoError(t, db.Close())

	db, store = open()
	defer func() { require.NoError(t, db.Close()) }()
	record(store, most, most+10)
	found, err := store.Find(t.Context(), []snapshots.Key{"n=0", "n=1", "n=10", "n=11", "n=59"})
	require.NoError(t, err)
	for i, kept := range []bool{true, false, false, true, true} {
		require.Equal(t, kept, !found[i].IsZero(), i)
	}
	count := func() (values, ends int) {
		require.NoError(t, db.View(func(tx *bbolt.Tx) error {
			values, ends = tx.Bucket([]byte("snapshots")).Stats().KeyN, tx.Bucket([]byte("snapshot_ends")).Stats().KeyN
			return nil
		}))
		return values, ends
	}
	values, ends := count()
	require.Equal(t, []int{most, most}, []int{values, ends})

	c.pass(2 * time.Hour)
	record(store, 100, 100+most)
	values, ends = count()
	require.Equal(t, []int{most, most}, []int{values, ends}, "what is past its time is gone, each write takes two away")
}

func openFile(t *testing.T, path string) *bbolt.DB {
	t.Helper()
	db, err := boltdb.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}
