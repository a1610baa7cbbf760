package bolt

import (
	"context"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/outbox"
)

// maxGroup bounds the changes of one transaction.
const maxGroup = 1024

// pace is the least time from one commit to the next. A commit costs nearly the same whatever is in it (two syncs and the
// last pages of each table), so under load those who come within the pace share one. A store at rest commits at once.
const pace = time.Millisecond

// A change is one call that writes. It is decided against memory and the changes of its group before it, then written with
// the group, and only then does memory follow: there is nothing to roll back but what stage itself has set.
type change struct {
	ctx context.Context
	// stage decides; what is to be written it adds to the group. An error ends the change.
	stage func(g *group) error
	// apply lets memory follow; nil when there is nothing to do.
	apply func(g *group)
	// revert takes back what stage has set in memory; may be nil.
	revert func()
	reply  chan error
}

// A group is the changes that share one transaction and one fsync.
type group struct {
	now    time.Time
	writes []func(t *tables) error
	events []outbox.Event
	// What the staged changes will set once they are durable.
	marks    map[dedupe.Slot]mark
	states   map[outbox.LaneKey]dedupe.State
	ids      map[string]bool
	pending  int
	bytes    int                     // of the records
	limiters map[relay.LimiterID]int // those to write, with the least ceiling
}

func newGroup(now time.Time) *group {
	return &group{
		now: now, marks: map[dedupe.Slot]mark{}, states: map[outbox.LaneKey]dedupe.State{}, ids: map[string]bool{},
		limiters: map[relay.LimiterID]int{},
	}
}

func (g *group) write(w func(t *tables) error) { g.writes = append(g.writes, w) }

func (g *group) record(e outbox.Event) {
	e.At = g.now
	g.events = append(g.events, e)
}

// submit hands a change to the writer and waits for its end. When ctx ends first, the change may still be made.
func (s *Store) submit(c *change) error {
	c.reply = make(chan error, 1)
	select {
	case s.changes <- c:
	case <-s.closing:
		return fmt.Errorf("%w: closed", outbox.ErrUnavailable)
	case <-c.ctx.Done():
		return fmt.Errorf("%w: %w", outbox.ErrUnavailable, context.Cause(c.ctx))
	}
	select {
	case err := <-c.reply:
		return err
	case <-c.ctx.Done():
		return fmt.Errorf("%w: %w", outbox.ErrUnavailable, context.Cause(c.ctx))
	case <-s.done:
	}
	select {
	case err := <-c.reply: // by the last commit
		return err
	default:
		return fmt.Errorf("%w: closed", outbox.ErrUnavailable)
	}
}

// run is the writer: while it commits one group, and for the rest of its pace, the callers of the next gather.
func (s *Store) run() {
	defer close(s.done)
	tick := time.NewTicker(s.options.SweepEvery)
	defer tick.Stop()
	for {
		select {
		case c := <-s.changes:
			s.commit(s.gather(c))
			// What replaces must not outgrow what is swept: a step for each step's worth of records replaced.
			if s.replaced >= sweepStep/2 {
				s.replaced = 0
				s.sweep()
			}
		case <-tick.C:
			s.checkDisk()
			for s.sweep() {
				if !s.between() {
					break
				}
			}
		case <-s.closing:
			return
		}
	}
}

func (s *Store) gather(first *change) []*change {
	changes := append(make([]*change, 0, 64), first)
	time.Sleep(time.Until(s.committed.Add(pace)))
	s.committed = time.Now()
	for len(changes) < maxGroup {
		select {
		case c := <-s.changes:
			changes = append(changes, c)
		default:
			return changes
		}
	}
	return changes
}

// commit makes the changes and answers them.
func (s *Store) commit(changes []*change) {
	results := make([]error, len(changes))
	s.mu.Lock()
	g := newGroup(s.options.Now())
	for i, c := range changes {
		if c.ctx.Err() != nil {
			results[i] = fmt.Errorf("%w: %w", outbox.ErrUnavailable, context.Cause(c.ctx))
			continue
		}
		results[i] = c.stage(g)
	}
	s.finishGroup(g)
	s.mu.Unlock()

	err := s.update(g.writes)

	s.mu.Lock()
	for i, c := range changes {
		switch {
		case err != nil && results[i] == nil && c.revert != nil:
			c.revert()
		case err == nil && results[i] == nil && c.apply != nil:
			c.apply(g)
		}
	}
	s.mu.Unlock()
	if err != nil {
		s.logFailure(err)
		err = fmt.Errorf("%w: %w", outbox.ErrUnavailable, err)
	}
	for i, c := range changes {
		if err != nil {
			results[i] = err // also of those refused: they were decided on what was not written
		}
		c.reply <- results[i]
	}
}

// finishGroup adds what the changes of a group share: one record of their events, one for each limiter.
func (s *Store) finishGroup(g *group) {
	for id, ceiling := range g.limiters {
		state := s.schedule.Limiter(id)
		state.Ceiling = max(state.Ceiling, ceiling)
		value := encodeLimiter(state)
		g.write(func(t *tables) error { return t.limiters.Put([]byte(id), value) })
	}
	if len(g.events) > 0 {
		seq, value := s.next(), encodeEvents(g.events)
		g.write(func(t *tables) error { return t.history.Put(key(seq), value) })
	}
}

// update makes the writes in one transaction.
func (s *Store) update(writes []func(t *tables) error) error {
	if len(writes) == 0 {
		return nil
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		t := openTables(tx)
		for _, write := range writes {
			if err := write(&t); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) next() uint64 {
	s.seq++
	return s.seq
}

// between makes the changes that wait, between two steps of a sweep, and tells whether the store is still open.
func (s *Store) between() bool {
	select {
	case c := <-s.changes:
		s.commit(s.gather(c))
		return true
	case <-s.closing:
		return false
	default:
		return true
	}
}

// logFailure says once that writing fails, not for each group.
func (s *Store) logFailure(err error) {
	if now := s.options.Now(); now.Sub(s.lastFailure) >= time.Minute {
		s.lastFailure = now
		s.options.Logger.Error("Writing to the store failed", "component", "outbox", "err", err)
	}
}
