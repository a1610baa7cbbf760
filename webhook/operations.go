package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/alertrelay/relay"
)

// Operations answer what became of notifications and carry out what an operator decides, for /api/v1. They may be called
// concurrently. Lists come newest first, with the cursor of the next page, empty at the end; a page may be shorter than
// its limit. Errors are ErrBadCursor, ErrNotFound, ErrFull, or anything that a retry may mend.
type Operations interface {
	Notifications(ctx context.Context, q NotificationQuery) ([]Notification, string, error)
	Notification(ctx context.Context, id string) (NotificationDetail, error)
	Deliveries(ctx context.Context, q DeliveryQuery) ([]Delivery, string, error)
	DeadLetters(ctx context.Context, q DeadLetterQuery) ([]DeadLetter, string, error)
	// Requeue has dead letters told after all; Drop gives them up. Both say what became of each id, in order.
	Requeue(ctx context.Context, ids []string, force bool) ([]Decision, error)
	Drop(ctx context.Context, ids []string) ([]Decision, error)
}

// The errors of Operations that are the caller's affair.
var (
	ErrBadCursor = errors.New("not a cursor")
	ErrNotFound  = errors.New("not found")
	ErrFull      = errors.New("the store is full")
)

// A Page selects a part of a list.
type Page struct {
	Limit  int
	Cursor string
}

// A Filter selects entries; zero fields select all.
type Filter struct {
	Receiver, Integration, Destination, GroupKey, Notification string

	Since, Until time.Time
}

// A NotificationQuery selects notifications. Its receiver is the one that Alertmanager names.
type NotificationQuery struct {
	Page
	Receiver, GroupKey, Status string
	Since, Until               time.Time
}

// A DeliveryQuery selects deliveries.
type DeliveryQuery struct {
	Page
	Filter
	States []string
}

// A DeadLetterQuery selects dead letters.
type DeadLetterQuery struct {
	Page
	Filter
	Reason string
}

// A Notification is one accepted webhook.
type Notification struct {
	ID         string    `json:"id"`
	ReceivedAt time.Time `json:"receivedAt"`
	GroupKey   string    `json:"groupKey"`
	Receiver   string    `json:"receiver"` // the one that Alertmanager names
	Status     string    `json:"status"`
	Alerts     int       `json:"alerts"`
	// Entries counts the destinations that were to be told.
	Entries int `json:"entries"`
}

// A NotificationDetail is all that is known about a webhook.
type NotificationDetail struct {
	Notification

	Deliveries []Delivery `json:"deliveries"`
	Events     []Event    `json:"events"` // oldest first
	// Stored is what is still kept of it, in the form of Alertmanager's webhook: while it waits, and as a dead letter.
	Stored []json.RawMessage `json:"stored"`
}

// An Event is something that happened to a notification.
type Event struct {
	At              time.Time  `json:"at"`
	Type            string     `json:"type"`
	Entry           string     `json:"entry,omitempty"`
	Integration     string     `json:"integration,omitempty"`
	Destination     string     `json:"destination,omitempty"`
	Room            string     `json:"room,omitempty"`
	Attempt         int        `json:"attempt,omitempty"`
	Part            int        `json:"part,omitempty"`
	Parts           int        `json:"parts,omitempty"`
	Reason          relay.Kind `json:"reason,omitempty"`
	Detail          string     `json:"detail,omitempty"`
	Fallback        string     `json:"fallback,omitempty"`
	DurationSeconds float64    `json:"durationSeconds,omitempty"`
	Text            string     `json:"text,omitempty"`
}

// A Delivery is what one notification means for one destination, and what became of it.
type Delivery struct {
	ID           string     `json:"id"`
	Notification string     `json:"notification"`
	State        string     `json:"state"`
	Integration  string     `json:"integration"`
	Destination  string     `json:"destination"`
	Room         string     `json:"room,omitempty"`
	GroupKey     string     `json:"groupKey"`
	Receiver     string     `json:"receiver"` // the one that Alertmanager names
	Status       string     `json:"status"`
	Alerts       int        `json:"alerts"`
	At           time.Time  `json:"at"`
	Attempts     int        `json:"attempts"`
	Reason       relay.Kind `json:"reason,omitempty"`
	Detail       string     `json:"detail,omitempty"`
	NextTry      time.Time  `json:"nextTry,omitzero"`
	RequeuedAt   time.Time  `json:"requeuedAt,omitzero"`
}

// A DeadLetter is a delivery that failed for good, unless it is requeued.
type DeadLetter struct {
	ID           string     `json:"id"`
	Notification string     `json:"notification"`
	Integration  string     `json:"integration"`
	Destination  string     `json:"destination"`
	Room         string     `json:"room,omitempty"`
	GroupKey     string     `json:"groupKey"`
	Receiver     string     `json:"receiver"` // the one that Alertmanager names
	Status       string     `json:"status"`
	Alerts       int        `json:"alerts"`
	ReceivedAt   time.Time  `json:"receivedAt"`
	FailedAt     time.Time  `json:"failedAt"`
	Attempts     int        `json:"attempts"`
	Reason       relay.Kind `json:"reason"`
	Detail       string     `json:"detail,omitempty"`
}

// A Decision is what became of one id of a Requeue or Drop.
type Decision struct {
	ID string
	// Reason and Text say why nothing was done, for programs and for people; empty when it was.
	Reason, Text string
}
