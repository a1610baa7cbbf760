package outbox

import (
	"container/heap"
	"container/list"
	"time"

	"github.com/alertrelay/relay"
)

// A queue holds the lanes of one integration that can be told with the same limiters: those ready in the order in which
// they became so, and those that wait for a retry.
type queue[E any] struct {
	key         string
	integration relay.IntegrationID
	accepted    []relay.LimiterID // those that its entries were accepted with
	limiters    []*limiter[E]     // those to send with: as accepted, unless the terms say otherwise
	pending     int               // entries, also those behind the head of a lane and those under way
	ready       list.List
	folding     int // of the ready lanes: they keep their place, and are not claimed
	delayed     delayed[E]

	// next is when it is worth looking at; turn orders those that are due, so that each gets its turn.
	next  time.Time
	turn  uint64
	index int // in the heap of the schedule; -1 when nothing here becomes due by itself
}

// MergeMost is the most entries of a lane that are told in one message; those beyond stay.
const MergeMost = 20

// AloneAfter is how many leases of a head in a row may end without a settle. The next are of the head alone, so that one
// entry over which relays die is found. Until then nothing is told apart after a crash: a vendor may have taken the newest
// of what was under way, and nothing older may come after it.
const AloneAfter = 3

// LaneCap is how many entries wait in a lane whose backlog is merged before they are folded.
const LaneCap = 20

// A waiting lane has one unsettled head at least. It is in the ready list or the delayed heap of its head's queue, or
// leased; while it is folded it stays where it is.
type waiting[E any] struct {
	key     LaneKey
	lane    Lane
	items   []queued[E]
	attempt int
	crashes int
	bound   int  // entries from the head that are half told: nothing merges into them
	apart   bool // the head is in no digest: it was refused in one
	alone   bool // the head is told alone: it could not be read together with others of its lane
	ref     bool // a delivery left a handle behind: the next one follows it
	leased  bool // for a send
	folding bool // leased to be folded
	full    bool // among those that may have to be folded
	rigid   bool // it is not folded: what is in it could not be read together
	due     time.Time
	turn    uint64 // orders those that are due at once
	index   int    // in the delayed heap; -1 when it is not there
}

// A queued entry knows the queue that it belongs to once it is the head of its lane.
type queued[E any] struct {
	entry E
	queue *queue[E]
	late  bool // told alone
}

// together is how many entries of the lane, from its head, are told in one message.
func (l *waiting[E]) together(t Terms) int {
	if l.bound > 0 {
		return l.bound
	}
	if t.Backlog != relay.BacklogMerge || l.single() || l.items[0].late {
		return 1
	}
	n := 1
	for n < min(len(l.items), MergeMost) && l.items[n].queue == l.items[0].queue && !l.items[n].late {
		n++
	}
	return n
}

// single tells whether the head is told alone because of what became of it before.
func (l *waiting[E]) single() bool { return l.alone || l.crashes >= AloneAfter }

// settled notes what a settle of the first n entries, shared with other lanes or not, says about the lane.
func (l *waiting[E]) settled(o Outcome, n int, shared bool) {
	l.crashes, l.leased = 0, false
	if o.Counts() {
		l.attempt++
	}
	if len(o.Rest) > 0 {
		l.bound = n
	}
	switch {
	case o.Apart && shared:
		l.apart = true
	case o.Apart:
		l.bound, l.alone = 0, true
	}
	l.ref = l.ref || o.Ref != ""
}

// digestible tells whether the lane may share a message with others.
func (l *waiting[E]) digestible() bool {
	return l.lane.Destination != "" && l.bound == 0 && !l.apart && !l.single() && !l.ref && !l.items[0].late
}

// digest takes from the ready lanes up to so many that can share a message with the first. It looks at the first few
// hundred only, so that it costs the same whatever is pending.
func (q *queue[E]) digest(most int) []*waiting[E] {
	front := q.front()
	next := front.Next()
	first := q.ready.Remove(front).(*waiting[E])
	lanes := []*waiting[E]{first}
	if !first.digestible() {
		return lanes
	}
	for seen := 0; next != nil && len(lanes) < most && seen < 10*most; seen++ {
		at, l := next, next.Value.(*waiting[E])
		next = next.Next()
		if l.digestible() && !l.folding && l.lane.Destination == first.lane.Destination && l.lane.Room == first.lane.Room {
			lanes = append(lanes, l)
			q.ready.Remove(at)
		}
	}
	return lanes
}

// promote moves the lanes whose delay is over to the ready ones.
func (q *queue[E]) promote(now time.Time) {
	for len(q.delayed) > 0 && !q.delayed[0].due.After(now) {
		l := heap.Pop(&q.delayed).(*waiting[E])
		q.ready.PushBack(l)
		if l.folding {
			q.folding++
		}
	}
}

// claimable is how many lanes are ready and not being folded.
func (q *queue[E]) claimable() int { return q.ready.Len() - q.folding }

// front is the place of the first of them; nil when there is none.
func (q *queue[E]) front() *list.Element {
	at := q.ready.Front()
	for at != nil && at.Value.(*waiting[E]).folding {
		at = at.Next()
	}
	return at
}

// delayed is a heap of lanes by the time they are due.
type delayed[E any] []*waiting[E]

func (d delayed[E]) Len() int { return len(d) }

func (d delayed[E]) Less(i, j int) bool {
	if c := d[i].due.Compare(d[j].due); c != 0 {
		return c < 0
	}
	return d[i].turn < d[j].turn
}

func (d delayed[E]) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].index, d[j].index = i, j
}

func (d *delayed[E]) Push(x any) {
	l := x.(*waiting[E])
	l.index = len(*d)
	*d = append(*d, l)
}

func (d *delayed[E]) Pop() any {
	last := len(*d) - 1
	l := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	l.index = -1
	return l
}

// turns is a heap of queues by the time they are worth looking at, then by turn.
type turns[E any] []*queue[E]

func (t turns[E]) Len() int { return len(t) }

func (t turns[E]) Less(i, j int) bool {
	if c := t[i].next.Compare(t[j].next); c != 0 {
		return c < 0
	}
	return t[i].turn < t[j].turn
}

func (t turns[E]) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = i, j
}

func (t *turns[E]) Push(x any) {
	q := x.(*queue[E])
	q.index = len(*t)
	*t = append(*t, q)
}

func (t *turns[E]) Pop() any {
	last := len(*t) - 1
	q := (*t)[last]
	(*t)[last] = nil
	q.index = -1
	*t = (*t)[:last]
	return q
}

// ends is a heap of leases by their end.
type ends[E any] []*Held[E]

func (e ends[E]) Len() int           { return len(e) }
func (e ends[E]) Less(i, j int) bool { return e[i].Until.Before(e[j].Until) }

func (e ends[E]) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].index, e[j].index = i, j
}

func (e *ends[E]) Push(x any) {
	h := x.(*Held[E])
	h.index = len(*e)
	*e = append(*e, h)
}

func (e *ends[E]) Pop() any {
	last := len(*e) - 1
	h := (*e)[last]
	(*e)[last] = nil
	*e = (*e)[:last]
	return h
}
