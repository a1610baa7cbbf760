// Package living is the rule of messages that live: one message of an alert group is updated, again and again, until it is
// too old, or nothing was said of the group for a day. Then the next state is a new message, because nobody scrolls back
// that far.
//
// Every integration whose vendor lets it update a message keeps its handles in this form. It promises that they are read
// by the same rule everywhere, and that a handle which cannot be read begins a new message and nothing worse.
package living

import (
	"encoding/json"
	"time"

	"github.com/alertrelay/relay"
)

const (
	// DefaultMaxAge is how long after it was posted a message is updated.
	DefaultMaxAge = 7 * 24 * time.Hour
	// Silence is after how long without news of its group a message is left alone.
	Silence = 24 * time.Hour
)

// A Handle is where a message is at the vendor, in T's words, since when it is there, and when it was last updated. T
// must have a JSON form, without secrets.
type Handle[T any] struct {
	At   T         `json:"at"`
	Born time.Time `json:"born"`
	Seen time.Time `json:"seen"`
}

// New is the handle of a message that was posted now.
func New[T any](at T, now time.Time) Handle[T] { return Handle[T]{At: at, Born: now, Seen: now} }

// Read returns the handle that a delivery left behind, and whether its message is still to be updated. A maxAge of 0
// stands for DefaultMaxAge.
func Read[T any](ref relay.Ref, now time.Time, maxAge time.Duration) (Handle[T], bool) {
	if maxAge <= 0 {
		maxAge = DefaultMaxAge
	}
	var h Handle[T]
	if ref == "" || json.Unmarshal([]byte(ref), &h) != nil {
		return Handle[T]{}, false
	}
	return h, now.Sub(h.Born) < maxAge && now.Sub(h.Seen) < Silence
}

// Ref is the handle after an update, as it goes to the next delivery.
func (h Handle[T]) Ref(now time.Time) relay.Ref {
	h.Seen = now
	text, err := json.Marshal(h)
	if err != nil {
		return "" // T has no JSON form: a mistake in the program, for which the next delivery begins a new message
	}
	return relay.Ref(text)
}
