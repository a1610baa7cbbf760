package sandbox

import "time"

// An Event is one line of the page's timeline: something the relay did.
type Event struct {
	At time.Time
	// Type is accepted, duplicate, sent, retrying or failed.
	Type string
	// Notification is the webhook's id; a duplicate has that of the copy it repeats.
	Notification string
	Status       string // firing or resolved
	Alerts       int
	// Of an accepted webhook: how many destinations it is for.
	Entries int
	// Of one delivery.
	Inbox    string // the integration's type
	Attempt  int
	Duration time.Duration
	// Detail says why: the vendor's answer, the kind of an error.
	Detail string
}
