package sandbox

import "time"

// A Limit is a vendor's rate. The zero value stands for the vendor's documented one, strictly applied.
type Limit struct {
	// Messages is how many a credential may send in any window of Per; negative means no limit.
	Messages int
	Per      time.Duration
	// Ban is how long everything is refused after the first message too many; zero refuses only until the window has
	// room again.
	Ban time.Duration
}

// NoLimit is a limit that refuses nothing, for load tests.
func NoLimit() Limit { return Limit{Messages: -1} }

// or returns l, or the vendor's limit when l is zero.
func (l Limit) or(vendors Limit) Limit {
	if l == (Limit{}) {
		return vendors
	}
	return l
}

// window counts the messages of one credential. Not for concurrent use.
type window struct {
	taken  []time.Time // within the last Per, oldest first
	banned time.Time   // until when
}

// take reports whether one more message fits at now, and counts it if so. A refused one prolongs no ban.
func (w *window) take(l Limit, now time.Time) bool {
	if l.Messages < 0 {
		return true
	}
	if now.Before(w.banned) {
		return false
	}
	old := 0
	for old < len(w.taken) && !now.Before(w.taken[old].Add(l.Per)) {
		old++
	}
	w.taken = append(w.taken[:0], w.taken[old:]...)
	if len(w.taken) >= l.Messages {
		w.banned = now.Add(l.Ban)
		return false
	}
	w.taken = append(w.taken, now)
	return true
}

// bucket is a token bucket, which is how Slack counts: a steady rate with bursts. Not for concurrent use.
type bucket struct {
	tokens float64
	at     time.Time
}

// take reports whether one more message fits at now, and counts it if so; else it returns how long to wait.
func (b *bucket) take(l Limit, burst int, now time.Time) (bool, time.Duration) {
	if l.Messages < 0 {
		return true, 0
	}
	perToken := l.Per / time.Duration(l.Messages)
	full := float64(max(1, burst))
	if b.at.IsZero() {
		b.tokens = full
	} else {
		b.tokens = min(full, b.tokens+float64(now.Sub(b.at))/float64(perToken))
	}
	b.at = now
	if b.tokens < 1 {
		return false, time.Duration((1 - b.tokens) * float64(perToken))
	}
	b.tokens--
	return true, 0
}
