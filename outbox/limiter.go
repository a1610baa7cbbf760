package outbox

import (
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/alertrelay/relay"
)

// What a limiter remembers at least, also without a limit.
const (
	leastStamps = 32
	leastWindow = time.Minute
)

// leastReserved is the smallest limit of which slots are kept in reserve.
const leastReserved = 5

// A LimiterState is what a limiter must remember over a restart.
type LimiterState struct {
	// Hold is until when nothing is sent; in the past when there is no hold.
	Hold time.Time
	// Reason is why it is held.
	Reason relay.Kind
	// Stamps are the times of the sends in the window, oldest first.
	Stamps []time.Time
	// Widest is the largest window and the most messages ever asked for.
	Widest relay.Limit
	// Ceiling is how many sends there may be that Stamps does not hold; zero means one.
	Ceiling int
}

// A limiter counts the sends of one vendor credential: those under way, and exactly those of the last window.
type limiter[E any] struct {
	id       relay.LimiterID
	inFlight int
	hold     time.Time
	reason   relay.Kind // of the hold
	// probing tells that nothing was sent since the last hold: one goes first, the others follow when it is told.
	probing bool
	stamps  []time.Time // sorted
	// widest is the largest window and the most messages ever asked for: no older and no more stamps are kept, but always
	// some, for an integration with a limit that comes to share the limiter with one without.
	widest relay.Limit
	// exposed are the sends that a crash now would forget: under way, being settled, or lapsed and not written since. As the
	// store has written ceiling down, a crash is charged so many and no more. A limiter without a limit has no ceiling.
	exposed, lapsed, ceiling int
	// owed are the sends that may have been under way at a crash; they are stamped once the limit is known.
	owed   int
	owedAt time.Time
	// queues are those with something pending for this limiter.
	queues []*queue[E]
}

// terms are the smallest of those integrations that have something pending here and that the claim knows.
func (l *limiter[E]) terms(known map[relay.IntegrationID]Terms) (limit relay.Limit, maxInFlight int) {
	for _, q := range l.queues {
		t, ok := known[q.integration]
		if !ok {
			continue
		}
		if t.MaxInFlight > 0 && (maxInFlight == 0 || t.MaxInFlight < maxInFlight) {
			maxInFlight = t.MaxInFlight
		}
		if stricter(t.Limit, limit) {
			limit = t.Limit
		}
	}
	l.widest.Messages = max(l.widest.Messages, limit.Messages)
	l.widest.Per = max(l.widest.Per, limit.Per)
	if l.owed > 0 && limit.Messages > 0 {
		l.pay()
	}
	return limit, maxInFlight
}

// pay stamps what is owed.
func (l *limiter[E]) pay() {
	for range min(l.owed, l.widest.Messages) {
		l.stamp(l.owedAt)
	}
	l.owed = 0
}

// short tells by how much the ceiling must rise before one more send, of so many that would fit in now: to a power of two,
// so that it seldom must. Zero means that it need not.
func (l *limiter[E]) short(fitting int) int {
	if l.exposed < l.ceiling {
		return 0
	}
	return 1 << bits.Len(uint(l.exposed+max(1, fitting)-1))
}

// fitting is how many more sends could begin now, of which used is known from free.
func (l *limiter[E]) fitting(limit relay.Limit, maxInFlight, used int) int {
	n := 0
	for _, q := range l.queues {
		n += q.claimable()
	}
	if maxInFlight > 0 {
		n = min(n, maxInFlight-l.inFlight)
	}
	return min(n, limit.Messages-used)
}

// lowered is the ceiling once it is written: half as long as that is far above what is needed.
func (l *limiter[E]) lowered() int {
	for l.ceiling > 1 && l.exposed <= l.ceiling/4 {
		l.ceiling /= 2
	}
	return l.ceiling
}

// stricter tells whether a allows fewer messages in the long run than b or, if they are equal in that, fewer at once.
func stricter(a, b relay.Limit) bool {
	if a.Messages == 0 || b.Messages == 0 {
		return a.Messages != 0
	}
	rateA, rateB := float64(a.Messages)/a.Per.Seconds(), float64(b.Messages)/b.Per.Seconds()
	return rateA < rateB || rateA == rateB && a.Messages < b.Messages
}

// free tells when the limiter has a free slot: now, or the time when that may change, zero when only the end of a send
// under way changes it. Used is how many slots are in use.
func (l *limiter[E]) free(now time.Time, limit relay.Limit, maxInFlight int) (at time.Time, used int) {
	if l.hold.After(now) {
		return l.hold, 0
	}
	if l.probing {
		maxInFlight = 1
	}
	if maxInFlight > 0 && l.inFlight >= maxInFlight {
		return time.Time{}, 0
	}
	if limit.Messages == 0 {
		return now, l.inFlight
	}
	first, used := l.used(now, limit.Per)
	if used < limit.Messages {
		return now, used
	}
	// So many stamps must leave the window before one more send fits.
	if last := first + used - limit.Messages; last < len(l.stamps) {
		return l.stamps[last].Add(limit.Per), used
	}
	return time.Time{}, used
}

// stop holds the limiter until the given time, or as long as it is held already.
func (l *limiter[E]) stop(until time.Time, reason relay.Kind) {
	if until.After(l.hold) {
		l.hold, l.reason = until, reason
	}
	l.probing = true
}

// used is how many slots are in use, and which stamp is the oldest in the window.
func (l *limiter[E]) used(now time.Time, per time.Duration) (first, used int) {
	first = len(l.stamps)
	for first > 0 && l.stamps[first-1].Add(per).After(now) {
		first--
	}
	return first, len(l.stamps) - first + l.inFlight
}

// room is how many slots are free for what is told lane by lane, without the reserve of three in twenty that keeps some for
// what comes next. Without a limit there is room for all.
func (l *limiter[E]) room(now time.Time, limit relay.Limit) int {
	if limit.Messages == 0 {
		return math.MaxInt32
	}
	if l.hold.After(now) {
		return 0
	}
	reserve := 0
	if limit.Messages >= leastReserved {
		reserve = 3 * limit.Messages / 20
	}
	_, used := l.used(now, limit.Per)
	return max(0, limit.Messages-used-reserve)
}

// stamp counts a send that ended at t.
func (l *limiter[E]) stamp(t time.Time) {
	at, _ := slices.BinarySearchFunc(l.stamps, t, time.Time.Compare)
	l.stamps = slices.Insert(l.stamps, at, t)
	newest := l.stamps[len(l.stamps)-1]
	drop, window := max(0, len(l.stamps)-max(l.widest.Messages, leastStamps)), max(l.widest.Per, leastWindow)
	for !l.stamps[drop].Add(window).After(newest) {
		drop++
	}
	l.stamps = slices.Delete(l.stamps, 0, drop)
}

// unstamp takes back stamp.
func (l *limiter[E]) unstamp(t time.Time) {
	if at, ok := slices.BinarySearchFunc(l.stamps, t, time.Time.Compare); ok {
		l.stamps = slices.Delete(l.stamps, at, at+1)
	}
}

// idle tells whether nothing would be lost if the limiter were forgotten.
func (l *limiter[E]) idle(now time.Time) bool {
	return len(l.queues) == 0 && l.inFlight == 0 && !l.hold.After(now) &&
		(len(l.stamps) == 0 || !l.stamps[len(l.stamps)-1].Add(max(l.widest.Per, leastWindow)).After(now))
}
