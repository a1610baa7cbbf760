package bolt

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"time"
	"unique"

	"go.etcd.io/bbolt"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/outbox"
)

// rebuild makes memory what the file says. Leases are not in the file: what was leased is ready again.
func (s *Store) rebuild() error {
	if err := s.db.Update(createTables); err != nil {
		return err
	}
	now := s.options.Now()
	clean := false
	err := s.db.View(func(tx *bbolt.Tx) error {
		t := openTables(tx)
		clean = t.state.Get(cleanKey()) != nil || t.webhooks.Stats().KeyN == 0
		for _, step := range []func(t *tables) error{
			s.rebuildSequence, s.rebuildMarks, s.rebuildLanes,
			func(t *tables) error { return s.rebuildLimiters(t, now) },
			func(t *tables) error { return s.rebuildPending(t, now) },
		} {
			if err := step(&t); err != nil {
				return err
			}
		}
		s.dead = t.dead.Stats().KeyN
		return nil
	})
	if err != nil {
		return err
	}
	if !clean {
		s.schedule.Charge(now)
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(stateBucket)).Delete(cleanKey())
	})
}

// markClean notes that nothing was under way when the store was closed.
func (s *Store) markClean() error {
	s.mu.Lock()
	flying := s.schedule.Stats(s.options.Now()).InFlight
	s.mu.Unlock()
	if flying > 0 {
		return nil
	}
	err := s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(stateBucket)).Put(cleanKey(), []byte{1})
	})
	if err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

func cleanKey() []byte { return []byte("clean") }

// rebuildSequence goes on after the last number used.
func (s *Store) rebuildSequence(t *tables) error {
	for _, b := range []*bbolt.Bucket{t.webhooks, t.marks, t.lanes, t.history} {
		if k, _ := b.Cursor().Last(); len(k) == 8 {
			s.seq = max(s.seq, binary.BigEndian.Uint64(k))
		}
	}
	return nil
}

func (s *Store) rebuildMarks(t *tables) error {
	return t.marks.ForEach(func(k, v []byte) error {
		slot, m, err := decodeMark(k, v)
		if err != nil {
			return err
		}
		if _, replaced := s.marks[slot]; replaced {
			s.replaced++
		}
		s.marks[slot] = m
		return nil
	})
}

func decodeMark(k, v []byte) (dedupe.Slot, mark, error) {
	d := &decoder{rest: v}
	slot := dedupe.Slot(d.raw(16))
	m := mark{state: dedupe.State(d.raw(16)), at: int64(d.int()), id: d.text(), seq: binary.BigEndian.Uint64(k)}
	return slot, m, d.err()
}

func (s *Store) rebuildLanes(t *tables) error {
	return t.lanes.ForEach(func(k, v []byte) error {
		key, lane, err := decodeLane(k, v)
		if err != nil {
			return err
		}
		if _, replaced := s.lanes[key]; replaced {
			s.replaced++
		}
		s.lanes[key] = lane
		return nil
	})
}

func decodeLane(k, v []byte) (outbox.LaneKey, told, error) {
	d := &decoder{rest: v}
	key := outbox.LaneKey(d.raw(16))
	lane := told{state: dedupe.State(d.raw(16)), at: int64(d.int()), seq: binary.BigEndian.Uint64(k)}
	lane.newest = int64(d.int())
	lane.ref = d.text() != ""
	return key, lane, d.err()
}

func (s *Store) rebuildLimiters(t *tables, now time.Time) error {
	return t.limiters.ForEach(func(k, v []byte) error {
		state, err := decodeLimiter(v)
		if err != nil {
			return err
		}
		if tooFar(state.Hold, now) {
			state.Hold = now
		}
		for i, at := range state.Stamps {
			if at.After(now) {
				state.Stamps[i] = now
			}
		}
		s.schedule.Restore(relay.LimiterID(k), state)
		return nil
	})
}

// rebuildPending puts what is pending into the schedule, in the order in which it was accepted.
func (s *Store) rebuildPending(t *tables, now time.Time) error {
	type webhook struct {
		*record
		entries []stored
	}
	var webhooks []webhook
	err := t.webhooks.ForEach(func(k, v []byte) error {
		d := &decoder{rest: v}
		r, entries := decodeRecord(d)
		if d.bad {
			return fmt.Errorf("webhook %x: %w", k, errCorrupt)
		}
		for i := range entries {
			share(&entries[i])
		}
		r.seq, r.size = binary.BigEndian.Uint64(k), len(v)
		webhooks = append(webhooks, webhook{r, entries})
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(webhooks, func(a, b webhook) int { return cmp.Compare(a.oldest(), b.oldest()) })
	for _, w := range webhooks {
		s.add(w.record)
	}
	slices.SortStableFunc(webhooks, func(a, b webhook) int { return cmp.Compare(a.after(), b.after()) })
	bound := map[outbox.LaneKey]int{}
	for _, w := range webhooks {
		for position, se := range w.entries {
			e := &entry{record: w.record, number: se.number, position: position}
			var p progress
			if value := t.progress.Get(progressKey(e)); value != nil {
				e.progress = true
				if p, err = decodeProgress(value); err != nil {
					return fmt.Errorf("progress of %s: %w", e.id(), err)
				}
			}
			if first := s.rebuildEntry(e, se, p, now); first && p.bound > 0 {
				bound[se.lane.Key()] = p.bound
			}
		}
	}
	for key, entries := range bound {
		s.schedule.Bind(key, entries)
	}
	return nil
}

// rebuildEntry tells whether the entry is the head of its lane.
func (s *Store) rebuildEntry(e *entry, se stored, p progress, now time.Time) bool {
	key := se.lane.Key()
	lane := s.lanes[key]
	if p.done {
		e.record.open--
		return false
	}
	lane.state, lane.at = se.state, nanos(now)
	s.lanes[key] = lane
	first := s.enqueue(now, key, se.lane, se.limiters, e)
	if first && e.progress {
		if tooFar(p.due, now) {
			p.due = now
		}
		s.schedule.Defer(key, p.attempt, p.due)
	}
	return first
}

// farthest is how far ahead a retry or a hold can be: deliver waits no longer for a vendor.
const farthest = time.Hour

// tooFar tells whether a stored time is so far ahead that the clock must have been set back since. What waits for it is
// due, else a clock that was wrong for a minute could keep notifications back for years.
func tooFar(at, now time.Time) bool { return at.Sub(now) > farthest }

// share makes the texts that most entries have in common one text in memory.
func share(se *stored) {
	l := &se.lane
	l.Integration = unique.Make(l.Integration).Value()
	l.Destination = unique.Make(l.Destination).Value()
	l.GroupKey = unique.Make(l.GroupKey).Value()
	l.Receiver = unique.Make(l.Receiver).Value()
	l.Room = unique.Make(l.Room).Value()
}

func encodeLimiter(state outbox.LimiterState) []byte {
	var e encoder
	e.time(state.Hold)
	e.int(state.Widest.Messages)
	e.int(int(state.Widest.Per))
	e.int(state.Ceiling)
	e.uint(uint64(len(state.Stamps)))
	for _, at := range state.Stamps {
		e.time(at)
	}
	e.text(string(state.Reason))
	return e
}

func decodeLimiter(value []byte) (outbox.LimiterState, error) {
	d := &decoder{rest: value}
	state := outbox.LimiterState{
		Hold: d.time(), Widest: relay.Limit{Messages: d.int(), Per: time.Duration(d.int())}, Ceiling: d.int(),
		Stamps: make([]time.Time, d.count()),
	}
	for i := range state.Stamps {
		state.Stamps[i] = d.time()
	}
	if len(d.rest) > 0 { // the first files had none
		state.Reason = relay.Kind(d.text())
	}
	return state, d.err()
}
