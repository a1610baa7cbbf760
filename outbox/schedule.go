package outbox

import (
	"container/heap"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alertrelay/relay"
)

// A Schedule is the state machine of the lanes, in memory: what is pending, what is leased, what each limiter has left. It
// does no I/O, has no clock and no lock, and knows nothing of an entry E but its place. A store feeds it with what is
// durable, and asks it what comes next; each question costs the same whatever is pending.
//
//	          Add                     Claim                   Begin               Finish
//	(nothing) ───▶ ready ◀──── due ── delayed    ready ──▶ leased ──▶ settling ──▶ ended, ready or delayed
//	                 ▲                              │                    │
//	                 └── at the front, a crash ─────┘ lease over         └─ Cancel ──▶ leased
//
// A lane is in one of these states as a whole. A slot of a limiter is in use while its lease is held, and from the settle
// (or the end of the lease) on for one window.
type Schedule[E any] struct {
	lanes    map[LaneKey]*waiting[E]
	limiters map[relay.LimiterID]*limiter[E]
	queues   map[string]*queue[E]
	turns    turns[E]
	turn     uint64
	leases   map[string]*Held[E]
	folds    int // of the leases
	full     []*waiting[E]
	ends     ends[E]
	pending  int
	terms    map[relay.IntegrationID]Terms     // of the last claim
	short    map[relay.LimiterID]int           // the ceilings that limiters need
	missing  map[relay.IntegrationID]time.Time // since when claims do not name them
}

// A Held lease is what was taken for one send slot: one lane, or several in a digest.
type Held[E any] struct {
	Lease
	Limiter relay.LimiterID
	Lanes   []HeldLane[E]
	// Fold says that it has no slot and no limiter: the entries of its one lane are to become one.
	Fold bool

	limiter  *limiter[E]
	index    int // in the heap of ends
	settling bool
	slot     bool      // whether Begin stamped a slot
	stamp    time.Time // the slot stamped by Begin
	hold     time.Time // the limiter's before Begin
	reason   relay.Kind
	probing  bool // the limiter before Begin
	exposed  int  // what this settle takes off what the limiter exposes
	one      [1]HeldLane[E]
}

// A HeldLane is a leased lane with the entries to tell, oldest first.
type HeldLane[E any] struct {
	Key     LaneKey
	Lane    Lane
	Entries []E
	// Attempt counts from 1, Crashes the leases in a row that ended without a settle.
	Attempt, Crashes int

	waiting *waiting[E]
	from    int // of the entries in the lane, when they are to be folded
	one     [1]E
}

// Newest is the last of the entries: the state that is told.
func (h *HeldLane[E]) Newest() E { return h.Entries[len(h.Entries)-1] }

// hold fills in a lane with its first n entries.
func (h *HeldLane[E]) hold(l *waiting[E], n int) {
	h.Key, h.Lane, h.Attempt, h.Crashes, h.waiting = l.key, l.lane, l.attempt+1, l.crashes, l
	h.Entries = h.one[:0]
	for _, it := range l.items[:n] {
		h.Entries = append(h.Entries, it.entry)
	}
	l.leased = true
}

// NewSchedule returns an empty schedule.
func NewSchedule[E any]() *Schedule[E] {
	return &Schedule[E]{
		lanes:    map[LaneKey]*waiting[E]{},
		limiters: map[relay.LimiterID]*limiter[E]{},
		queues:   map[string]*queue[E]{},
		leases:   map[string]*Held[E]{},
		short:    map[relay.LimiterID]int{},
		missing:  map[relay.IntegrationID]time.Time{},
	}
}

// Add puts an entry at the end of its lane, and tells whether it is the head.
func (s *Schedule[E]) Add(now time.Time, key LaneKey, lane Lane, limiters []relay.LimiterID, entry E) bool {
	q := s.queue(lane.Integration, limiters)
	s.miss(q, now)
	q.pending++
	s.pending++
	l, ok := s.lanes[key]
	if !ok {
		l = &waiting[E]{key: key, lane: lane, index: -1}
		s.lanes[key] = l
	}
	l.items = append(l.items, queued[E]{entry: entry, queue: q})
	s.overflow(l)
	if len(l.items) > 1 {
		return false
	}
	q.ready.PushBack(l)
	s.wake(q, now)
	return true
}

// Late marks the last entry of a lane, just added, as one that is told alone, because it is older than what is before it.
func (s *Schedule[E]) Late(key LaneKey) {
	l := s.lanes[key]
	l.items[len(l.items)-1].late = true
}

// Defer restores the head of a lane, just added, as it was before a restart: how often it was tried, and when it is due.
func (s *Schedule[E]) Defer(key LaneKey, attempt int, due time.Time) {
	l := s.lanes[key]
	ready := &l.items[0].queue.ready
	ready.Remove(ready.Back())
	l.attempt = attempt
	s.delay(l, due)
}

// Follow says that a delivery of the lane left a handle behind, which the next one follows.
func (s *Schedule[E]) Follow(key LaneKey) {
	if l, ok := s.lanes[key]; ok {
		l.ref = true
	}
}

// Bind restores how many entries from its head a lane has half told: their rendered parts are told before anything else.
func (s *Schedule[E]) Bind(key LaneKey, entries int) {
	if l, ok := s.lanes[key]; ok {
		l.bound = min(entries, len(l.items))
	}
}

// Restore sets what a limiter remembers of the time before a restart.
func (s *Schedule[E]) Restore(id relay.LimiterID, state LimiterState) {
	l := s.limiter(id)
	l.hold, l.reason = state.Hold, state.Reason
	l.stamps, l.widest, l.ceiling = state.Stamps, state.Widest, max(1, state.Ceiling)
	l.probing = !state.Hold.IsZero() // whether a send succeeded since is not known
}

// Charge counts the sends that may have been under way when the process died: for each limiter as many slots as it has
// lanes pending, and no more than its ceiling.
func (s *Schedule[E]) Charge(now time.Time) {
	for _, l := range s.limiters {
		l.owed, l.owedAt = 0, now
		for _, q := range l.queues {
			l.owed += q.ready.Len() + len(q.delayed)
		}
		l.owed = min(l.owed, l.ceiling)
	}
}

// Limiter returns what a limiter must remember over a restart. It is asked for to be written: the ceiling may be lower from
// now on.
func (s *Schedule[E]) Limiter(id relay.LimiterID) LimiterState {
	l, ok := s.limiters[id]
	if !ok {
		return LimiterState{}
	}
	return LimiterState{Hold: l.hold, Reason: l.reason, Stamps: l.stamps, Widest: l.widest, Ceiling: l.lowered()}
}

// Short returns the limiters that could send more if their ceilings were written down as given: Raise then says so.
func (s *Schedule[E]) Short() map[relay.LimiterID]int { return s.short }

// Raise says that the ceiling of a limiter is written down.
func (s *Schedule[E]) Raise(now time.Time, id relay.LimiterID, ceiling int) {
	l := s.limiter(id)
	l.ceiling = max(l.ceiling, ceiling)
	delete(s.short, id)
	s.wakeAll(l.queues, now)
}

// Claim leases what is ready, and then what is to be folded, at most c.Max leases together, and says how long until more
// may be; zero when nothing is pending. Queues take turns. Nonce makes the nonce of a lease.
func (s *Schedule[E]) Claim(now time.Time, c ClaimRequest, nonce func() string) ([]*Held[E], time.Duration) {
	s.expire(now)
	s.adopt(now, c.Integrations)
	var held []*Held[E]
	var unknown []*queue[E]
	for len(s.turns) > 0 {
		q := s.turns[0]
		if _, known := c.Integrations[q.integration]; !known {
			heap.Pop(&s.turns)
			unknown = append(unknown, q)
			continue
		}
		if len(held) >= c.Max || q.next.After(now) {
			break
		}
		if h := s.take(now, q, c); h != nil {
			h.Nonce = nonce()
			s.leases[h.Nonce] = h
			held = append(held, h)
		}
	}
	held = s.fold(now, c, held, nonce)
	wait := s.wait(now)
	for _, q := range unknown {
		heap.Push(&s.turns, q)
	}
	return held, wait
}

// Begin starts to settle a lease: its slot is stamped with now, or given back, and the limiter held if o says so. It
// returns nil when the lease is not held any more. Finish or Cancel must follow.
func (s *Schedule[E]) Begin(now time.Time, nonce string, o Outcome) *Held[E] {
	s.expire(now)
	h, ok := s.leases[nonce]
	if !ok || h.settling || h.Fold != (o.Result == Folded) && o.Result != Release {
		return nil
	}
	h.settling = true
	heap.Remove(&s.ends, h.index)
	if h.Fold {
		return h
	}
	h.limiter.inFlight--
	h.hold, h.reason, h.probing = h.limiter.hold, h.limiter.reason, h.limiter.probing
	h.slot, h.exposed = o.Slot(), 1
	if h.slot {
		h.stamp = now
		h.limiter.stamp(now)
		h.exposed += h.limiter.lapsed // they are written with this stamp
		h.limiter.lapsed = 0
	}
	switch {
	case o.Hold > 0:
		h.limiter.stop(now.Add(o.Hold), o.HeldFor())
	case o.Result == Sent:
		h.limiter.probing = false
	}
	s.wakeAll(h.limiter.queues, now)
	return h
}

// Cancel takes back Begin: the lease is held as before, and can be settled again.
func (s *Schedule[E]) Cancel(h *Held[E]) {
	h.settling = false
	heap.Push(&s.ends, h)
	if h.Fold {
		return
	}
	if h.slot {
		h.limiter.unstamp(h.stamp)
	}
	h.limiter.hold, h.limiter.reason, h.limiter.probing = h.hold, h.reason, h.probing
	h.limiter.lapsed += h.exposed - 1
	h.limiter.inFlight++
}

// Finish ends a lease that Begin began to settle, other than with Folded.
func (s *Schedule[E]) Finish(now time.Time, h *Held[E], o Outcome) {
	if h.Fold {
		h.Lanes[0].waiting.rigid = o.Apart
		s.unfold(now, h)
		return
	}
	delete(s.leases, h.Nonce)
	h.limiter.exposed -= h.exposed
	for i := range h.Lanes {
		h.Lanes[i].waiting.settled(o, len(h.Lanes[i].Entries), len(h.Lanes) > 1)
	}
	switch {
	case o.Ends():
		for i := range h.Lanes {
			s.pop(now, h.Lanes[i].waiting, len(h.Lanes[i].Entries))
		}
	case o.After > 0:
		for i := range h.Lanes {
			s.delay(h.Lanes[i].waiting, now.Add(o.After))
		}
	case o.Result == Release:
		s.front(now, h)
	default:
		for i := range h.Lanes {
			l := h.Lanes[i].waiting
			l.items[0].queue.ready.PushBack(l)
			s.wake(l.items[0].queue, now)
		}
	}
}

// Lift ends the holds in force for a reason, and returns when each would have ended: Hold takes it back.
func (s *Schedule[E]) Lift(now time.Time, reason relay.Kind) map[relay.LimiterID]time.Time {
	lifted := map[relay.LimiterID]time.Time{}
	for id, l := range s.limiters {
		if l.hold.After(now) && l.reason == reason {
			lifted[id] = l.hold
			l.hold = now
			s.wakeAll(l.queues, now)
		}
	}
	return lifted
}

// Hold stops a limiter until the given time, or as long as it is held already.
func (s *Schedule[E]) Hold(id relay.LimiterID, until time.Time, reason relay.Kind) {
	s.limiter(id).stop(until, reason)
}

// Stats counts what is pending now; Dead and Oldest are left to the store.
func (s *Schedule[E]) Stats(now time.Time) Stats {
	s.expire(now)
	st := Stats{
		Pending: s.pending, Lanes: len(s.lanes), InFlight: len(s.leases) - s.folds,
		Limiters: map[relay.LimiterID]int{}, Holds: map[relay.LimiterID]time.Time{},
		Windows: map[relay.LimiterID]Window{},
	}
	for id, limit := range Limits(s.terms) {
		w := Window{Limit: limit}
		if l, ok := s.limiters[id]; ok {
			_, w.Used = l.used(now, limit.Per)
		}
		st.Windows[id] = w
	}
	for _, q := range s.queues {
		for _, l := range q.limiters {
			st.Limiters[l.id] += q.pending
		}
	}
	for id, l := range s.limiters {
		if l.hold.After(now) {
			st.Holds[id] = l.hold
		}
	}
	return st
}

// Has tells whether something is pending in the lane.
func (s *Schedule[E]) Has(key LaneKey) bool {
	_, ok := s.lanes[key]
	return ok
}

// Any tells whether something pending in the lane holds.
func (s *Schedule[E]) Any(key LaneKey, holds func(E) bool) bool {
	l, ok := s.lanes[key]
	return ok && slices.ContainsFunc(l.items, func(q queued[E]) bool { return holds(q.entry) })
}

// HeldUntil is when the first of the limiters is free again that may tell the head of the lane; zero when one is.
func (s *Schedule[E]) HeldUntil(key LaneKey) time.Time {
	l, ok := s.lanes[key]
	if !ok {
		return time.Time{}
	}
	first := l.items[0].queue.limiters[0].hold
	for _, limiter := range l.items[0].queue.limiters[1:] {
		if limiter.hold.Before(first) {
			first = limiter.hold
		}
	}
	return first
}

// Pending is how many entries are pending.
func (s *Schedule[E]) Pending() int { return s.pending }

// Forget drops the limiters that have nothing left to remember, and names them.
func (s *Schedule[E]) Forget(now time.Time) []relay.LimiterID {
	var idle []relay.LimiterID
	for id, l := range s.limiters {
		if l.idle(now) {
			delete(s.limiters, id)
			idle = append(idle, id)
		}
	}
	return idle
}

// take leases the next lane of a queue that is due; nil when there is none after all.
func (s *Schedule[E]) take(now time.Time, q *queue[E], c ClaimRequest) *Held[E] {
	q.promote(now)
	if q.claimable() == 0 {
		if len(q.delayed) == 0 {
			heap.Remove(&s.turns, q.index)
		} else {
			s.schedule(q, q.delayed[0].due)
		}
		return nil
	}
	limiter, at := s.pick(now, q, c)
	if limiter == nil {
		s.schedule(q, at)
		return nil
	}
	h := s.lease(now, q, c)
	h.Limiter, h.limiter = limiter.id, limiter
	limiter.inFlight++
	limiter.exposed++
	heap.Push(&s.ends, h)
	s.schedule(q, now)
	return h
}

// lease takes the next lane of a queue, or several as a digest when more are ready than there is room for.
func (s *Schedule[E]) lease(now time.Time, q *queue[E], c ClaimRequest) *Held[E] {
	h := &Held[E]{Lease: Lease{Until: now.Add(c.Lease)}}
	terms := c.Integrations[q.integration]
	if !s.crowded(now, q, c) {
		l := q.ready.Remove(q.front()).(*waiting[E])
		h.Lanes = h.one[:]
		h.Lanes[0].hold(l, l.together(terms))
		return h
	}
	lanes := q.digest(terms.Digest)
	h.Lanes = make([]HeldLane[E], len(lanes))
	for i, l := range lanes {
		h.Lanes[i].hold(l, l.together(terms))
	}
	return h
}

// crowded tells whether a queue has more lanes ready than its limiters have room for.
func (s *Schedule[E]) crowded(now time.Time, q *queue[E], c ClaimRequest) bool {
	if terms := c.Integrations[q.integration]; terms.Digest < 2 || terms.Backlog != relay.BacklogMerge {
		return false
	}
	room := 0
	for _, l := range q.limiters {
		limit, _ := l.terms(c.Integrations)
		room += l.room(now, limit)
	}
	return q.claimable() > max(1, room)
}

// pick returns the limiter of the queue with most room, or when there may be some.
func (s *Schedule[E]) pick(now time.Time, q *queue[E], c ClaimRequest) (*limiter[E], time.Time) {
	var best *limiter[E]
	var soonest time.Time
	fewest := 0
	for _, l := range q.limiters {
		limit, maxInFlight := l.terms(c.Integrations)
		at, used := l.free(now, limit, maxInFlight)
		if at.IsZero() {
			at = s.ends[0].Until // a settle before that wakes the queue
		}
		if !at.After(now) && limit.Messages > 0 {
			if ceiling := l.short(l.fitting(limit, maxInFlight, used)); ceiling > 0 {
				s.short[l.id], at = ceiling, now.Add(time.Second) // Raise wakes the queue
			}
		}
		switch {
		case !at.After(now):
			if best == nil || used < fewest {
				best, fewest = l, used
			}
		case soonest.IsZero() || at.Before(soonest):
			soonest = at
		}
	}
	return best, soonest
}

// wait is how long until something may be due. Unknown queues are set aside when it is called.
func (s *Schedule[E]) wait(now time.Time) time.Duration {
	var at time.Time
	if len(s.turns) > 0 {
		at = s.turns[0].next
	}
	if len(s.ends) > 0 && (at.IsZero() || s.ends[0].Until.Before(at)) {
		at = s.ends[0].Until
	}
	if gone := s.nextOrphan(); !gone.IsZero() && (at.IsZero() || gone.Before(at)) {
		at = gone
	}
	switch {
	case !at.IsZero():
		return max(at.Sub(now), 1)
	case len(s.leases) > 0: // all of them are being settled
		return time.Millisecond
	default:
		return 0
	}
}

// expire gives back the lanes of the leases that are over.
func (s *Schedule[E]) expire(now time.Time) {
	for len(s.ends) > 0 && !s.ends[0].Until.After(now) {
		h := heap.Pop(&s.ends).(*Held[E])
		if h.Fold {
			s.unfold(now, h)
			continue
		}
		delete(s.leases, h.Nonce)
		h.limiter.inFlight--
		h.limiter.stamp(h.Until)
		h.limiter.lapsed++
		for i := range h.Lanes {
			h.Lanes[i].waiting.crashes++
			h.Lanes[i].waiting.leased = false
		}
		s.front(now, h)
		s.wakeAll(h.limiter.queues, now)
	}
}

// adopt looks at every queue anew when the terms may have changed. Terms are compared as a whole map, so a caller that
// keeps one map for one configuration pays nothing.
func (s *Schedule[E]) adopt(now time.Time, terms map[relay.IntegrationID]Terms) {
	if reflect.ValueOf(terms).Pointer() == reflect.ValueOf(s.terms).Pointer() ||
		maps.EqualFunc(terms, s.terms, Terms.Equal) {
		return
	}
	s.terms = terms
	for integration := range s.missing {
		if _, known := terms[integration]; known {
			delete(s.missing, integration)
		}
	}
	for _, q := range s.queues {
		s.miss(q, now)
		s.unbind(q)
		s.bind(q)
		s.wake(q, now)
	}
}

// bind makes a queue wait for the limiters that its integration may send with now.
func (s *Schedule[E]) bind(q *queue[E]) {
	for _, id := range s.terms[q.integration].Bound(q.accepted) {
		l := s.limiter(id)
		l.queues = append(l.queues, q)
		q.limiters = append(q.limiters, l)
	}
}

func (s *Schedule[E]) unbind(q *queue[E]) {
	for _, l := range q.limiters {
		l.queues = slices.DeleteFunc(l.queues, func(other *queue[E]) bool { return other == q })
	}
	q.limiters = nil
}

// pop ends the first n entries of a lane.
func (s *Schedule[E]) pop(now time.Time, l *waiting[E], n int) {
	ended := l.items[:n]
	l.items = l.items[n:]
	l.attempt, l.bound, l.apart, l.alone, l.rigid = 0, 0, false, false, false
	if len(l.items) == 0 {
		delete(s.lanes, l.key)
	} else {
		next := l.items[0].queue
		next.ready.PushBack(l)
		s.wake(next, now)
	}
	s.pending -= n
	for _, it := range ended {
		if it.queue.pending--; it.queue.pending == 0 {
			s.drop(now, it.queue)
		}
	}
	clear(ended)
}

// front puts the lanes of a lease back in front of the others, in their order.
func (s *Schedule[E]) front(now time.Time, h *Held[E]) {
	for i := range slices.Backward(h.Lanes) {
		l := h.Lanes[i].waiting
		q := l.items[0].queue
		q.ready.PushFront(l)
		s.wake(q, now)
	}
}

func (s *Schedule[E]) delay(l *waiting[E], due time.Time) {
	q := l.items[0].queue
	s.turn++
	l.due, l.turn = due, s.turn
	heap.Push(&q.delayed, l)
	s.wake(q, due)
}

// queue returns the queue of an integration and a set of limiters.
func (s *Schedule[E]) queue(integration relay.IntegrationID, limiters []relay.LimiterID) *queue[E] {
	key := queueKey(integration, limiters)
	if q, ok := s.queues[key]; ok {
		return q
	}
	q := &queue[E]{key: key, integration: integration, accepted: limiters, index: -1}
	s.bind(q)
	s.queues[key] = q
	return q
}

func queueKey(integration relay.IntegrationID, limiters []relay.LimiterID) string {
	if len(limiters) == 1 {
		return string(integration) + "\x00" + string(limiters[0])
	}
	var b strings.Builder
	b.WriteString(string(integration))
	for _, l := range limiters {
		b.WriteByte(0)
		b.WriteString(string(l))
	}
	return b.String()
}

func (s *Schedule[E]) drop(now time.Time, q *queue[E]) {
	if q.index >= 0 {
		heap.Remove(&s.turns, q.index)
	}
	delete(s.queues, q.key)
	limiters := q.limiters
	s.unbind(q)
	// Another queue may have been held back by the terms of this one.
	for _, l := range limiters {
		s.wakeAll(l.queues, now)
	}
}

func (s *Schedule[E]) limiter(id relay.LimiterID) *limiter[E] {
	l, ok := s.limiters[id]
	if !ok {
		l = &limiter[E]{id: id, ceiling: 1}
		s.limiters[id] = l
	}
	return l
}

func (s *Schedule[E]) wakeAll(queues []*queue[E], at time.Time) {
	for _, q := range queues {
		s.wake(q, at)
	}
}

// wake sees to it that the queue is looked at no later than at.
func (s *Schedule[E]) wake(q *queue[E], at time.Time) {
	if q.index < 0 || at.Before(q.next) {
		s.schedule(q, at)
	}
}

// schedule sets when the queue is looked at next, after the others that are due by then.
func (s *Schedule[E]) schedule(q *queue[E], at time.Time) {
	s.turn++
	q.next, q.turn = at, s.turn
	if q.index < 0 {
		heap.Push(&s.turns, q)
	} else {
		heap.Fix(&s.turns, q.index)
	}
}
