package snapshots

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/bbolt"

	"github.com/alertrelay/relay"
)

// The buckets of the embedded form.
const (
	valuesBucket = "snapshots"     // key → end, in big endian nanoseconds, and value
	endsBucket   = "snapshot_ends" // end, key → nothing; its sequence is the number of snapshots
)

// DefaultMaxCount is how many snapshots the embedded form keeps, also when more are not past their time.
const DefaultMaxCount = 100_000

// endLength is the length of an end.
const endLength = 8

// BoltOptions are the settings of a Bolt; the zero value has the defaults.
type BoltOptions struct {
	// MaxCount is how many snapshots are kept; beyond it the one that would end first goes. Default DefaultMaxCount.
	MaxCount int
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Registerer gets the metrics; default: nobody does.
	Registerer prometheus.Registerer
}

// A Bolt is the embedded form: two buckets of the relay's own file. Callers that write at the same time share a commit.
type Bolt struct {
	db      *bbolt.DB
	options BoltOptions
	metrics metrics
}

var _ Store = (*Bolt)(nil)

// NewBolt opens the store in a file opened by boltdb.Open, which others use as well and which the caller closes.
func NewBolt(db *bbolt.DB, options BoltOptions) (*Bolt, error) {
	options.MaxCount = cmp.Or(options.MaxCount, DefaultMaxCount)
	if options.Now == nil {
		options.Now = time.Now
	}
	err := db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{valuesBucket, endsBucket} {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	return &Bolt{db, options, newMetrics(options.Registerer)}, nil
}

// Record implements Store. What was begun is finished when ctx ends.
func (b *Bolt) Record(_ context.Context, entries []Entry, ttl time.Duration) error {
	if len(entries) == 0 {
		return nil
	}
	end := binary.BigEndian.AppendUint64(nil, uint64(b.options.Now().Add(ttl).UnixNano()))
	values := make([][]byte, len(entries))
	for i, e := range entries {
		value, err := Encode(e.Snapshot)
		if err != nil {
			return err
		}
		values[i] = append(bytes.Clone(end), value...)
	}
	err := b.db.Batch(func(tx *bbolt.Tx) error {
		t := boltTables{tx.Bucket([]byte(valuesBucket)), tx.Bucket([]byte(endsBucket))}
		for i, e := range entries {
			if err := t.put([]byte(e.Key), values[i]); err != nil {
				return err
			}
		}
		return t.sweep(b.options.Now(), b.options.MaxCount, 2*len(entries))
	})
	if err != nil {
		return fmt.Errorf("record snapshots: %w", err)
	}
	b.metrics.recorded.Add(float64(len(entries)))
	return nil
}

// Find implements Store.
func (b *Bolt) Find(_ context.Context, keys []Key) ([]relay.Snapshot, error) {
	found := make([]relay.Snapshot, len(keys))
	now := b.options.Now()
	err := b.db.View(func(tx *bbolt.Tx) error {
		values := tx.Bucket([]byte(valuesBucket))
		for i, key := range keys[:min(len(keys), MaxKeys)] {
			value := values.Get([]byte(key))
			if len(value) < endLength || !endOf(value).After(now) {
				continue
			}
			found[i] = b.metrics.read(value[endLength:])
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find snapshots: %w", err)
	}
	return found, nil
}

type boltTables struct{ values, ends *bbolt.Bucket }

// put puts value, which begins with its end, in the place of what is under key.
func (t boltTables) put(key, value []byte) error {
	if err := t.remove(key); err != nil {
		return err
	}
	if err := t.values.Put(key, value); err != nil {
		return err
	}
	if err := t.ends.Put(append(bytes.Clone(value[:endLength]), key...), nil); err != nil {
		return err
	}
	return t.ends.SetSequence(t.ends.Sequence() + 1)
}

// remove removes what is under key, if anything.
func (t boltTables) remove(key []byte) error {
	value := t.values.Get(key)
	if value == nil {
		return nil
	}
	if err := t.ends.Delete(append(bytes.Clone(value[:endLength]), key...)); err != nil {
		return err
	}
	if err := t.values.Delete(key); err != nil {
		return err
	}
	return t.ends.SetSequence(t.ends.Sequence() - 1)
}

// sweep removes what is past its end, at most so many, and all that is too much. A step with each write is enough: nothing
// grows without one.
func (t boltTables) sweep(now time.Time, maxCount, most int) error {
	for c := t.ends.Cursor(); ; most-- {
		k, _ := c.First()
		tooMany := t.ends.Sequence() > uint64(maxCount)
		if k == nil || !tooMany && (most <= 0 || endOf(k).After(now)) {
			return nil
		}
		if err := t.remove(bytes.Clone(k[endLength:])); err != nil {
			return err
		}
	}
}

func endOf(b []byte) time.Time { return time.Unix(0, int64(binary.BigEndian.Uint64(b))) }
