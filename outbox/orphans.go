package outbox

import (
	"container/heap"
	"time"

	"github.com/alertrelay/relay"
)

// What becomes of entries whose integration no claim names any more, because a reload removed it.
const (
	// RemovedGrace is how long they wait for it to come back.
	RemovedGrace = 15 * time.Minute
	// ReasonRemoved is why they are in the dead letters then; they can be requeued once it is back.
	ReasonRemoved relay.Kind = "destination_removed"
)

// Orphans leases, without a slot, the lanes that have waited for their integration for longer than RemovedGrace, at most so
// many. They are to be settled as dead before a claim with the same terms.
func (s *Schedule[E]) Orphans(now time.Time, c ClaimRequest, most int, nonce func() string) []*Held[E] {
	s.expire(now)
	s.adopt(now, c.Integrations)
	var held []*Held[E]
	if !s.someGone(now) {
		return nil
	}
	for _, q := range s.queues {
		if !s.gone(q, now) {
			continue
		}
		for len(held) < most {
			l := q.any()
			if l == nil {
				break
			}
			held = append(held, s.orphan(now, l, c.Lease, nonce()))
		}
	}
	return held
}

// someGone tells whether any integration is missing for too long.
func (s *Schedule[E]) someGone(now time.Time) bool {
	for _, since := range s.missing {
		if now.Sub(since) >= RemovedGrace {
			return true
		}
	}
	return false
}

func (s *Schedule[E]) gone(q *queue[E], now time.Time) bool {
	since, missing := s.missing[q.integration]
	return missing && now.Sub(since) >= RemovedGrace
}

// any takes a lane out of the queue, whether it is ready or not.
func (q *queue[E]) any() *waiting[E] {
	if at := q.front(); at != nil {
		return q.ready.Remove(at).(*waiting[E])
	}
	for i, l := range q.delayed {
		if !l.folding {
			return heap.Remove(&q.delayed, i).(*waiting[E])
		}
	}
	return nil
}

// orphan leases all entries of a lane.
func (s *Schedule[E]) orphan(now time.Time, l *waiting[E], lease time.Duration, nonce string) *Held[E] {
	h := &Held[E]{Lease: Lease{Nonce: nonce, Until: now.Add(lease)}, limiter: &limiter[E]{inFlight: 1, exposed: 1}}
	h.Lanes = h.one[:]
	h.Lanes[0].hold(l, len(l.items))
	heap.Push(&s.ends, h)
	s.leases[nonce] = h
	return h
}

// miss notes since when the integration of a queue is missing. Before the first claim nobody knows.
func (s *Schedule[E]) miss(q *queue[E], now time.Time) {
	if s.terms == nil {
		return
	}
	if _, known := s.terms[q.integration]; known {
		delete(s.missing, q.integration)
	} else if _, noted := s.missing[q.integration]; !noted {
		s.missing[q.integration] = now
	}
}

// nextOrphan is when the first lane of a missing integration is to be given up; zero when there is none.
func (s *Schedule[E]) nextOrphan() time.Time {
	var next time.Time
	if len(s.missing) == 0 {
		return next
	}
	for _, q := range s.queues {
		since, missing := s.missing[q.integration]
		if at := since.Add(RemovedGrace); missing && q.ready.Len()+len(q.delayed) > 0 && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}
