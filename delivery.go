package relay

import (
	"slices"
	"time"
)

// A Delivery is what one send slot has to tell one destination.
type Delivery struct {
	// ID is stable over retries; messages derive their idempotency keys from it.
	ID string
	// Destination is where it goes, as it was computed when the notification was accepted.
	Destination Destination
	// Tellings are the notifications to tell: one per lane, so several only in a digest. Never empty.
	Tellings []Telling
	// People are those of the directory whom the tellings concern, each once. An integration mentions them by the names
	// that its channel knows them by, beside those of its own configuration.
	People []Person
	// Previous is the handle the last delivery of this lane left behind; empty when there is none.
	Previous Ref
	// Now is the time of rendering, so that rendering is a pure function.
	Now time.Time
	// Plain asks for the built-in fallback text: a template failed, or the vendor refused the usual form.
	Plain bool
}

// A Telling is one notification of a delivery.
type Telling struct {
	Notification *Notification
	// Merged counts the earlier notifications of the lane that this one stands for.
	Merged int
	// Since is when the oldest of them was received.
	Since time.Time
	// LastTold is when the destination was last told about this group, and LastFiring how many alerts it knows as firing
	// since then; zero when it was told nothing yet, or so long ago that the store has forgotten it.
	LastTold   time.Time
	LastFiring int
	// Late says that a person brought it back from the dead letters: it may be old news.
	Late bool
}

// Notification is the delivery's only notification, or the first of a digest.
func (d *Delivery) Notification() *Notification { return d.Tellings[0].Notification }

// Routed returns the delivery as addresses are to be computed from it: see Notification.Routed.
func (d *Delivery) Routed() *Delivery {
	routed := *d
	routed.Tellings = slices.Clone(d.Tellings)
	for i := range routed.Tellings {
		routed.Tellings[i].Notification = routed.Tellings[i].Notification.Routed()
	}
	return &routed
}
