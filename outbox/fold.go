package outbox

import (
	"container/heap"
	"slices"
	"time"

	"github.com/alertrelay/relay"
)

// overflow notes a lane in which so many entries wait that they may have to be folded.
func (s *Schedule[E]) overflow(l *waiting[E]) {
	if !l.full && len(l.items) > LaneCap {
		l.full = true
		s.full = append(s.full, l)
	}
}

// fold leases the lanes in which too much waits, after those held already and at most c.Max together.
func (s *Schedule[E]) fold(now time.Time, c ClaimRequest, held []*Held[E], nonce func() string) []*Held[E] {
	if len(s.short) > 0 { // first what can be sent once its ceiling is raised
		return held
	}
	still := s.full[:0]
	for _, l := range s.full {
		if l.leased || l.folding || len(held) >= c.Max {
			still = append(still, l)
			continue
		}
		from, tooMany := l.foldable()
		if terms := c.Integrations[l.lane.Integration]; !tooMany || terms.Backlog != relay.BacklogMerge {
			l.full = false // until the next entry comes
			continue
		}
		still = append(still, l)
		held = append(held, s.foldLane(now, l, from, c.Lease, nonce()))
	}
	clear(s.full[len(still):])
	s.full = still
	return held
}

// foldable finds more than LaneCap entries in a row that can be one: from where on. What is half told stays as it is, and so
// does a head that is told alone.
func (l *waiting[E]) foldable() (from int, ok bool) {
	if l.rigid {
		return 0, false
	}
	from = l.bound
	if from == 0 && l.single() {
		from = 1
	}
	for at := from; at < len(l.items); at++ {
		switch {
		case l.items[at].late:
			from = at + 1
		case l.items[at].queue != l.items[from].queue:
			from = at
		}
		if at-from >= LaneCap {
			return from, true
		}
	}
	return 0, false
}

func (s *Schedule[E]) foldLane(now time.Time, l *waiting[E], from int, lease time.Duration, nonce string) *Held[E] {
	h := &Held[E]{Lease: Lease{Nonce: nonce, Until: now.Add(lease)}, Fold: true}
	h.Lanes = h.one[:]
	h.Lanes[0] = HeldLane[E]{Key: l.key, Lane: l.lane, waiting: l, from: from}
	for _, it := range l.items[from : from+MergeMost] {
		h.Lanes[0].Entries = append(h.Lanes[0].Entries, it.entry)
	}
	l.folding = true
	if l.index < 0 {
		l.items[0].queue.folding++
	}
	s.folds++
	s.leases[nonce] = h
	heap.Push(&s.ends, h)
	return h
}

// Fold ends a lease that Begin began to settle with Folded: the entry takes the place of those held.
func (s *Schedule[E]) Fold(now time.Time, h *Held[E], entry E) {
	l, from, n := h.Lanes[0].waiting, h.Lanes[0].from, len(h.Lanes[0].Entries)
	q := l.items[from].queue
	l.items = slices.Replace(l.items, from, from+n, queued[E]{entry: entry, queue: q})
	q.pending -= n - 1
	s.pending -= n - 1
	s.unfold(now, h)
}

// unfold ends the lease of a lane that was to be folded: it can be claimed again, from where it is.
func (s *Schedule[E]) unfold(now time.Time, h *Held[E]) {
	delete(s.leases, h.Nonce)
	s.folds--
	l := h.Lanes[0].waiting
	q := l.items[0].queue
	l.folding = false
	if l.index < 0 {
		q.folding--
		s.wake(q, now)
	}
}
