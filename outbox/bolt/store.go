// Package bolt is the embedded store: the outbox of a single relay, in one bbolt file. What must outlive a crash is in the
// file before the call that brought it returns; what is to be done next is in memory (outbox.Schedule) and is rebuilt from
// the file at start. One writer makes the changes of all callers in groups, each in one transaction with one fsync.
package bolt

import (
	"cmp"
	"container/list"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/internal/boltdb"
	"github.com/alertrelay/relay/outbox"
)

var (
	_ outbox.Store      = (*Store)(nil)
	_ outbox.Operations = (*Store)(nil)
)

// Options are the settings of a Store; the zero value has the defaults.
type Options struct {
	// Retention is how long history, what was told in a lane, and what is saved with an alert not seen any more are kept;
	// default 7 days.
	Retention time.Duration
	// DeadRetention is how long dead letters are kept; default 30 days.
	DeadRetention time.Duration
	// MaxPending is how many entries may be pending before Accept answers ErrFull; default 100,000.
	MaxPending int
	// MaxBytes is how many bytes may be pending, as they are in the file, before Accept answers ErrFull; default 1 GB.
	MaxBytes int
	// CacheBytes bounds the bodies kept in memory, so that what is told at once is not read back; default 16 MB.
	CacheBytes int
	// SweepEvery is how often what is past its time is looked for; default 1 minute.
	SweepEvery time.Duration
	// Disk tells how many bytes are free where the file is, and how many there are; default: boltdb.Disk. What it does not
	// know bounds nothing.
	Disk func(path string) (free, total uint64, err error)
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Logger is told when writing fails and when the disk is nearly full; default: nobody is.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	o.Retention = cmp.Or(o.Retention, 7*24*time.Hour)
	o.DeadRetention = cmp.Or(o.DeadRetention, 30*24*time.Hour)
	o.MaxPending = cmp.Or(o.MaxPending, 100_000)
	o.MaxBytes = cmp.Or(o.MaxBytes, 1<<30)
	o.CacheBytes = cmp.Or(o.CacheBytes, 16<<20)
	o.SweepEvery = cmp.Or(o.SweepEvery, time.Minute)
	if o.Disk == nil {
		o.Disk = boltdb.Disk
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// A Store is the outbox in a bbolt file. It is safe for concurrent use.
type Store struct {
	options Options
	db      *bbolt.DB
	owned   bool // whether Close closes db
	cache   *Cache

	changes   chan *change
	closing   chan struct{}
	done      chan struct{}
	closeOnce sync.Once
	closeErr  error

	operating sync.Mutex // one change of the dead letters at a time

	// Of the writer alone.
	seq         uint64
	committed   time.Time // when the last commit began
	lastFailure time.Time
	sweeper     sweeper
	forgotten   time.Time // when memory was last swept as a whole

	// mu guards what follows. It is never held over I/O.
	mu       sync.Mutex
	schedule *outbox.Schedule[*entry]
	marks    map[dedupe.Slot]mark
	lanes    map[outbox.LaneKey]told
	records  map[string]int // how many are pending, by webhook id
	order    list.List      // pending, in the order in which their oldest news was accepted
	recent   recent
	bytes    int // of the pending records
	diskLow  bool
	dead     int
	// replaced counts the records of marks and lanes written since the last sweep that replace an older one.
	replaced int
}

// A mark is the state last accepted in a slot.
type mark struct {
	state dedupe.State
	at    int64 // nanoseconds
	id    string
	seq   uint64 // of its record
}

// A told is what is known of a lane, pending or not.
type told struct {
	state dedupe.State // last accepted
	at    int64        // when something was last settled in it, nanoseconds
	// newest is when the newest entry was received that was sent in it, nanoseconds; 0 when none was.
	newest int64
	seq    uint64 // of its record with what was told; 0 when nothing was
	ref    bool   // whether the record has a handle of the vendor's
}

// Open opens or creates the file at path and the store in it. Close closes both.
func Open(path string, options Options) (*Store, error) {
	db, err := boltdb.Open(path)
	if err != nil {
		return nil, err
	}
	s, err := New(db, options)
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	s.owned = true
	return s, nil
}

// New opens the store in a file opened by boltdb.Open, which others may use as well. Close leaves the file open.
func New(db *bbolt.DB, options Options) (*Store, error) {
	s := &Store{
		options:  options.withDefaults(),
		db:       db,
		changes:  make(chan *change, maxGroup),
		closing:  make(chan struct{}),
		done:     make(chan struct{}),
		schedule: outbox.NewSchedule[*entry](),
		marks:    map[dedupe.Slot]mark{},
		lanes:    map[outbox.LaneKey]told{},
		records:  map[string]int{},
		sweeper:  sweeper{places: map[string][]byte{}},
	}
	s.recent.limit = s.options.CacheBytes
	s.cache = &Cache{store: s, locks: map[string]chan struct{}{}}
	if err := s.rebuild(); err != nil {
		return nil, fmt.Errorf("read store %s: %w", db.Path(), err)
	}
	s.checkDisk()
	go s.run()
	return s, nil
}

// Cache returns the cache in the same file.
func (s *Store) Cache() *Cache { return s.cache }

// Close implements outbox.Store.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		<-s.done
		s.closeErr = s.markClean()
		if s.owned {
			if err := s.db.Close(); err != nil {
				s.closeErr = err
			}
		}
	})
	return s.closeErr
}

// Stats implements outbox.Store.
func (s *Store) Stats(context.Context) (outbox.Stats, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.schedule.Stats(s.options.Now())
	st.Dead, st.Full = s.dead, s.full(0, 1) != nil
	if oldest := s.order.Front(); oldest != nil {
		r := oldest.Value.(*record)
		st.Oldest = fromNanos(r.oldest())
	}
	return st, nil
}

// add makes a webhook pending.
func (s *Store) add(r *record) { s.enter(r, s.order.PushBack(r)) }

// addFolded makes a webhook pending whose entry is made of others, where the oldest of them stands, unless that is gone.
func (s *Store) addFolded(r, oldest *record) {
	at := oldest.place
	if at == nil {
		for at = s.order.Front(); at != nil && at.Value.(*record).oldest() < r.oldest(); {
			at = at.Next()
		}
	}
	if at == nil {
		s.add(r)
		return
	}
	s.enter(r, s.order.InsertBefore(r, at))
}

// enter makes a webhook pending that has its place in the order.
func (s *Store) enter(r *record, place *list.Element) {
	s.records[r.id]++ // several, when some of its entries were requeued or folded while others are pending
	r.place = place
	s.bytes += r.size
	if r.raw != nil {
		s.recent.add(r)
	}
}

// enqueue puts an entry at the end of its lane, and tells whether it is the head.
func (s *Store) enqueue(
	now time.Time, key outbox.LaneKey, lane outbox.Lane, limiters []relay.LimiterID, e *entry,
) bool {
	first := s.schedule.Add(now, key, lane, limiters, e)
	if e.record.requeued != 0 {
		s.schedule.Late(key)
	}
	if s.lanes[key].ref {
		s.schedule.Follow(key)
	}
	return first
}

// remove ends a webhook. Two entries that end at once may both be the last.
func (s *Store) remove(r *record) {
	if r.place == nil {
		return
	}
	s.recent.remove(r)
	s.order.Remove(r.place)
	r.place = nil
	s.bytes -= r.size
	if s.records[r.id]--; s.records[r.id] == 0 {
		delete(s.records, r.id)
	}
}

// recent keeps the bodies of the newest records in memory, up to a limit.
type recent struct {
	limit, bytes   int
	oldest, newest *record
}

func (c *recent) add(r *record) {
	c.bytes += cap(r.raw)
	r.older = c.newest
	if c.newest != nil {
		c.newest.newer = r
	} else {
		c.oldest = r
	}
	c.newest = r
	for c.bytes > c.limit && c.oldest != nil {
		c.remove(c.oldest)
	}
}

func (c *recent) remove(r *record) {
	if r.raw == nil {
		return
	}
	c.bytes -= cap(r.raw)
	if r.older != nil {
		r.older.newer = r.newer
	} else {
		c.oldest = r.newer
	}
	if r.newer != nil {
		r.newer.older = r.older
	} else {
		c.newest = r.older
	}
	r.raw, r.older, r.newer = nil, nil, nil
}

// unavailable wraps an error of the file.
func unavailable(operation string, err error) error {
	return fmt.Errorf("%w: %s: %w", outbox.ErrUnavailable, operation, err)
}

var _ relay.Cache = (*Cache)(nil)
