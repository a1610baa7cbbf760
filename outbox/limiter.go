package outbox

import (
	"slices"
	"time"

	"github.com/alertrelay/relay"
)

// What a limiter remembers at least, also without a limit.
const (
	leastStamps = 32
	leastWindow = time.Minute
)

// A LimiterState is what a limiter must remember over a restart.
type LimiterState struct {
	// Hold is until when nothing is sent; in the past when there is no hold.
	Hold time.Time
	// Stamps are the times of the sends in the window, oldest first.
	Stamps []time.Time
	// Widest is the largest window and the most messages ever asked for, MaxInFlight the most sends under way; zero means
	// no bound.
	Widest      relay.Limit
	MaxInFlight int
}

// A limiter counts the sends of one vendor credential: those under way, and exactly those of the last window.
type limiter[E any] struct {
	id       relay.LimiterID
	inFlight int
	hold     time.Time
	// probing tells that nothing was sent since the last hold: one goes first, the others follow when it is told.
	probing bool
	stamps  []time.Time // sorted
	// widest is the largest window and the most messages ever asked for: no older and no more stamps are kept, but always
	// some, for an integration with a limit that comes to share the limiter with one without.
	widest      relay.Limit
	maxInFlight int // the most ever asked for
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
	l.maxInFlight = max(l.maxInFlight, maxInFlight)
	if l.owed > 0 && limit.Messages > 0 {
		l.pay()
	}
	return limit, maxInFlight
}

// pay stamps what is owed: no more than could be under way at once.
func (l *limiter[E]) pay() {
	n := min(l.owed, l.widest.Messages)
	if l.maxInFlight > 0 {
		n = min(n, l.maxInFlight)
	}
	for range n {
		l.stamp(l.owedAt)
	}
	l.owed = 0
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
	first := len(l.stamps) // the oldest in the window
	for first > 0 && l.stamps[first-1].Add(limit.Per).After(now) {
		first--
	}
	used = len(l.stamps) - first + l.inFlight
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
func (l *limiter[E]) stop(until time.Time) {
	if until.After(l.hold) {
		l.hold = until
	}
	l.probing = true
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
