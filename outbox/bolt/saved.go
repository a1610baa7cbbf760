package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/alertrelay/relay"
)

// seenEvery is how exactly it is known when an alert was last seen: a firing that goes on is touched no more often. It is
// well below the retention, so that what goes on is never swept.
func (s *Store) seenEvery() time.Duration { return min(24*time.Hour, s.options.Retention/4) }

// saved reads what was saved with the alerts, and sees to it that it is kept while they go on.
func (s *Store) saved(ctx context.Context, keys []relay.AlertKey) (map[relay.AlertKey]relay.Saved, error) {
	found := map[relay.AlertKey]relay.Saved{}
	if len(keys) == 0 {
		return found, nil
	}
	var stale []relay.AlertKey
	now := s.options.Now()
	err := s.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(savedBucket))
		for _, k := range keys {
			value := b.Get(savedKey(k))
			if value == nil {
				continue
			}
			seen, saved, err := decodeSaved(value)
			if err != nil {
				return fmt.Errorf("saved of %s: %w", k.Fingerprint, err)
			}
			found[k] = saved
			if now.Sub(seen) > s.seenEvery() {
				stale = append(stale, k)
			}
		}
		return nil
	})
	if err != nil {
		return nil, unavailable("recall", err)
	}
	if len(stale) == 0 {
		return found, nil
	}
	return found, s.submit(&change{ctx: ctx, stage: func(g *group) error {
		g.write(func(t *tables) error { return touchSaved(t.saved, stale, g.now) })
		return nil
	}})
}

// A savedRecord is what is to be saved with one firing of an alert.
type savedRecord struct{ key, value []byte }

// savedRecords encodes what is to be saved, in the order of its keys, so that putting walks over each page once.
func savedRecords(saved map[relay.AlertKey]relay.Saved, now time.Time) ([]savedRecord, error) {
	records := make([]savedRecord, 0, len(saved))
	for k, v := range saved {
		value, err := encodeSaved(now, v)
		if err != nil {
			return nil, err
		}
		records = append(records, savedRecord{savedKey(k), value})
	}
	slices.SortFunc(records, func(a, b savedRecord) int { return bytes.Compare(a.key, b.key) })
	return records, nil
}

// putSaved saves what has not been saved before.
func putSaved(b *bbolt.Bucket, records []savedRecord) error {
	for _, r := range records {
		if b.Get(r.key) != nil {
			continue
		}
		if err := b.Put(r.key, r.value); err != nil {
			return err
		}
	}
	return nil
}

func touchSaved(b *bbolt.Bucket, keys []relay.AlertKey, now time.Time) error {
	for _, k := range keys {
		at := savedKey(k)
		value := b.Get(at)
		if value == nil {
			continue
		}
		_, saved, err := decodeSaved(value)
		if err != nil {
			return err
		}
		if value, err = encodeSaved(now, saved); err != nil {
			return err
		}
		if err := b.Put(at, value); err != nil {
			return err
		}
	}
	return nil
}

// savedKey begins with the start of the alert, so that new alerts are put side by side.
func savedKey(k relay.AlertKey) []byte {
	b := make([]byte, 0, 12+len(k.Fingerprint))
	b = binary.BigEndian.AppendUint64(b, uint64(k.StartsAt.Unix())^1<<63)
	b = binary.BigEndian.AppendUint32(b, uint32(k.StartsAt.Nanosecond()))
	return append(b, k.Fingerprint...)
}

func encodeSaved(seen time.Time, saved relay.Saved) ([]byte, error) {
	var e encoder
	e.time(seen)
	e.text(saved.Room)
	if saved.Snapshot.IsZero() {
		return e, nil
	}
	snapshot, err := json.Marshal(saved.Snapshot)
	if err != nil {
		return nil, fmt.Errorf("encode snapshot: %w", err)
	}
	e.raw(snapshot)
	return e, nil
}

func decodeSaved(value []byte) (time.Time, relay.Saved, error) {
	d := &decoder{rest: value}
	seen, saved := d.time(), relay.Saved{Room: d.text()}
	if d.bad {
		return time.Time{}, relay.Saved{}, errCorrupt
	}
	if len(d.rest) > 0 {
		if err := json.Unmarshal(d.rest, &saved.Snapshot); err != nil {
			return time.Time{}, relay.Saved{}, fmt.Errorf("decode snapshot: %w", err)
		}
	}
	return seen, saved, nil
}
