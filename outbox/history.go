package outbox

import (
	"time"

	"github.com/alertrelay/relay"
)

// An EventType is what happened to a notification or to one of its entries.
type EventType string

// The events of the history.
const (
	EventAccepted  EventType = "accepted"  // a webhook was stored
	EventDuplicate EventType = "duplicate" // a webhook was recognised as a copy of ID
	EventSent      EventType = "sent"      // a vendor took a message
	EventMerged    EventType = "merged"    // an entry is told within a newer one of its lane, which Detail names
	EventRetrying  EventType = "retrying"  // a send failed and will be tried again
	EventFailed    EventType = "failed"    // an entry ended in the dead letters
	EventRequeued  EventType = "requeued"  // an entry was brought back from the dead letters
	EventDropped   EventType = "dropped"   // an entry in the dead letters was given up
)

// An Event is one line of the history.
type Event struct {
	At   time.Time `json:"at"`
	Type EventType `json:"type"`
	// Notification is the webhook's id.
	Notification string `json:"notification"`
	GroupKey     string `json:"group_key,omitempty"`
	Receiver     string `json:"receiver,omitempty"` // the payload's
	Status       string `json:"status,omitempty"`
	Alerts       int    `json:"alerts,omitempty"`
	Entries      int    `json:"entries,omitempty"` // of an accepted webhook

	// The rest belongs to one entry.
	Entry       string              `json:"entry,omitempty"`
	Integration relay.IntegrationID `json:"integration,omitempty"`
	Destination string              `json:"destination,omitempty"`
	Room        string              `json:"room,omitempty"`
	Attempt     int                 `json:"attempt,omitempty"`
	Part        int                 `json:"part,omitempty"`
	Parts       int                 `json:"parts,omitempty"`
	Reason      relay.Kind          `json:"reason,omitempty"`
	Detail      string              `json:"detail,omitempty"`
	Fallback    string              `json:"fallback,omitempty"`
	Duration    time.Duration       `json:"duration,omitempty"`
	Text        string              `json:"text,omitempty"`
}

// Lane is the lane of an event of an entry.
func (e *Event) Lane() Lane {
	return Lane{
		Integration: e.Integration, Destination: e.Destination, GroupKey: e.GroupKey, Receiver: e.Receiver, Room: e.Room,
	}
}

// Ended is the delivery that a sent, merged or dropped event ended.
func (e *Event) Ended() Delivery {
	state := StateSent
	switch e.Type { //nolint:exhaustive // The others end nothing.
	case EventMerged:
		state = StateMerged
	case EventDropped:
		state = StateFailed
	}
	return Delivery{
		ID: e.Entry, Notification: e.Notification, State: state,
		Lane: e.Lane(), Status: e.Status, Alerts: e.Alerts, At: e.At, Attempts: e.Attempt, Reason: e.Reason, Detail: e.Detail,
	}
}

// A HistoryQuery selects events; zero fields select all.
type HistoryQuery struct {
	Notification string
	Integration  relay.IntegrationID
	Types        []EventType
	Since, Until time.Time
	Limit        int // default 100
	Cursor       string
}
