package bolt

import (
	"bytes"
	"time"

	"go.etcd.io/bbolt"

	"github.com/alertrelay/relay"
)

// sweepStep bounds the records that one transaction of the sweep looks at, so that callers wait for it no longer than for a
// group.
const sweepStep = 512

// A sweeper removes what is past its time and what was replaced, a step at a time. Each table has its place where the next
// step goes on.
type sweeper struct {
	places map[string][]byte
}

// A step is what one step of the sweep found in a table.
type step struct {
	table string
	next  []byte   // where the next one goes on; nil at the end of the table
	gone  [][]byte // the keys that are to go
}

// sweep makes one step in each table, and says whether there is more to do at once. Without anything to remove it writes
// nothing.
func (s *Store) sweep() bool {
	now := s.options.Now()
	s.mu.Lock()
	forgotten := s.schedule.Forget(now)
	s.mu.Unlock()
	steps, err := s.look(now)
	if err == nil {
		err = s.update(removals(steps, forgotten))
	}
	if err != nil {
		s.logFailure(err)
		return false
	}
	return s.swept(steps, now)
}

// look finds what is to go. Nobody else writes meanwhile.
func (s *Store) look(now time.Time) ([]step, error) {
	var steps []step
	err := s.db.View(func(tx *bbolt.Tx) error {
		t := openTables(tx)
		young := func(retention time.Duration) func(_, v []byte) bool {
			return func(_, v []byte) bool { return now.Sub(timeOf(v)) <= retention }
		}
		steps = []step{
			s.step(historyBucket, t.history, young(s.options.Retention)),
			s.step(deadBucket, t.dead, young(s.options.DeadRetention)),
			s.step(marksBucket, t.marks, func(k, v []byte) bool { return s.keepMark(k, v, now) }),
			s.step(lanesBucket, t.lanes, func(k, v []byte) bool { return s.keepLane(k, v, now) }),
			s.step(savedBucket, t.saved, young(s.options.Retention)),
			s.step(cacheBucket, t.cache, func(_, v []byte) bool { return timeOf(v).After(now) }),
		}
		return nil
	})
	return steps, err
}

// step looks at the next records of a table.
func (s *Store) step(table string, b *bbolt.Bucket, keep func(k, v []byte) bool) step {
	st := step{table: table}
	c := b.Cursor()
	k, v := c.Seek(s.sweeper.places[table])
	for seen := 0; k != nil && seen < sweepStep; k, v = c.Next() {
		seen++
		if !keep(k, v) {
			st.gone = append(st.gone, bytes.Clone(k))
		}
	}
	st.next = bytes.Clone(k)
	return st
}

func removals(steps []step, limiters []relay.LimiterID) []func(t *tables) error {
	var writes []func(t *tables) error
	for _, id := range limiters {
		writes = append(writes, func(t *tables) error { return t.limiters.Delete([]byte(id)) })
	}
	for _, st := range steps {
		for _, k := range st.gone {
			writes = append(writes, func(t *tables) error { return t.named(st.table).Delete(k) })
		}
	}
	return writes
}

// keepMark tells whether a mark is the newest of its slot and young enough.
func (s *Store) keepMark(k, v []byte, now time.Time) bool {
	slot, m, err := decodeMark(k, v)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.marks[slot].seq == m.seq && !expired(m.at, now, s.options.Retention)
}

// keepLane tells whether a record of a lane is its newest, and either pending or young enough.
func (s *Store) keepLane(k, v []byte, now time.Time) bool {
	key, lane, err := decodeLane(k, v)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lanes[key].seq == lane.seq && (s.schedule.Has(key) || !expired(s.lanes[key].at, now, s.options.Retention))
}

// swept lets memory follow what the steps removed.
func (s *Store) swept(steps []step, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	more := false
	for _, st := range steps {
		s.sweeper.places[st.table] = st.next
		more = more || st.next != nil && len(st.gone) > 0
		if st.table == deadBucket {
			s.dead -= len(st.gone)
		}
	}
	s.forget(now)
	return more
}

// forget drops from memory the slots and lanes that are past their time. It looks at all of them, so it does so once an
// hour only.
func (s *Store) forget(now time.Time) {
	if now.Sub(s.forgotten) < time.Hour {
		return
	}
	s.forgotten = now
	for slot, m := range s.marks {
		if expired(m.at, now, s.options.Retention) {
			delete(s.marks, slot)
		}
	}
	for key, lane := range s.lanes {
		if expired(lane.at, now, s.options.Retention) && !s.schedule.Has(key) {
			delete(s.lanes, key)
		}
	}
}

// deletePrefix deletes all records whose key begins with prefix.
func deletePrefix(b *bbolt.Bucket, prefix []byte) error {
	c := b.Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Seek(prefix) {
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}
