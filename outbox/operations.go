package outbox

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/alertrelay/relay"
)

// Operations are what people ask of a store, and do to what ended in it. They stand beside Store because nothing on the
// path of a notification needs them. Every method may be called concurrently and with everything of Store.
//
// Each call does a bounded amount of work, so that a store can make it one script or one page of a scan: a page may be
// shorter than asked for, even empty, although there is a next one. A cursor stays good while entries come and go: what is
// there from the first page to the last is on exactly one of them.
//
// Errors wrap ErrUnavailable, ErrFull, ErrCursor or ErrNotFound.
type Operations interface {
	// DeadLetters returns dead letters in the order in which their notifications were received, newest first, and the
	// cursor of the next page, empty at the end. They are kept for a time, however many they are.
	DeadLetters(ctx context.Context, q DeadLetterQuery) ([]DeadLetter, string, error)

	// Requeue puts dead letters to the tails of their lanes, as new entries under their old ids and marked with the time
	// (Item.Requeued), and says of each id what became of it, in the order asked. Those of one lane go there oldest received
	// first. It is one step: those that are requeued are durably pending, and no dead letters any more, when it returns
	// nil. ErrFull means that none was.
	Requeue(ctx context.Context, r RequeueRequest) ([]Decision, error)

	// Drop gives up dead letters for good, with a line in the history, and says of each id what became of it. It takes
	// MaxIDs at most.
	Drop(ctx context.Context, ids []string) ([]Decision, error)

	// Deliveries returns entries with what became of them: first those that wait, newest received first; then the dead
	// letters, in their order; then those that ended, newest first, for as long as the history is kept.
	Deliveries(ctx context.Context, q DeliveryQuery) ([]Delivery, string, error)

	// Notifications returns the webhooks accepted, newest first, for as long as the history is kept.
	Notifications(ctx context.Context, q NotificationQuery) ([]Notification, string, error)

	// Notification returns all that is known about one webhook, or ErrNotFound.
	Notification(ctx context.Context, id string) (Notification, NotificationDetail, error)
}

// The errors of Operations beside those of Store.
var (
	// ErrCursor means that a cursor is none of this store.
	ErrCursor = errors.New("not a cursor")
	// ErrNotFound means that nothing is known about what was asked for, or not any more.
	ErrNotFound = errors.New("not found")
)

// Bounds of one call.
const (
	// DefaultPage is the length of a page when none is asked for, MaxPage the most.
	DefaultPage = 100
	MaxPage     = 1000
	// MaxIDs is the most ids of one Requeue or Drop.
	MaxIDs = 1000
	// MaxEvents is the most events of a NotificationDetail; they are the newest.
	MaxEvents = 1000
)

// A Page selects a part of a list.
type Page struct {
	Limit  int    // default DefaultPage, at most MaxPage
	Cursor string // of the page before; empty for the first
}

// Length is the number of rows of the page.
func (p Page) Length() int {
	if p.Limit <= 0 {
		return DefaultPage
	}
	return min(p.Limit, MaxPage)
}

// A Filter selects entries; zero fields select all.
type Filter struct {
	// Receiver is one of the relay's, the first part of an integration's id.
	Receiver     string
	Integration  relay.IntegrationID
	Destination  string // relay.Destination.Key
	GroupKey     string
	Notification string // the webhook's id
	// Since and Until bound Delivery.At, or DeadLetter.FailedAt: from Since on, before Until.
	Since, Until time.Time
}

// Matches tells whether the filter selects an entry of a lane and a webhook, with this time.
func (f Filter) Matches(lane Lane, notification string, at time.Time) bool {
	return (f.Notification == "" || f.Notification == notification) &&
		(f.Integration == "" || f.Integration == lane.Integration) &&
		(f.Receiver == "" || strings.HasPrefix(string(lane.Integration), f.Receiver+"/")) &&
		(f.Destination == "" || f.Destination == lane.Destination) &&
		(f.GroupKey == "" || f.GroupKey == lane.GroupKey) &&
		(f.Since.IsZero() || !at.Before(f.Since)) &&
		(f.Until.IsZero() || at.Before(f.Until))
}

// A DeadLetterQuery selects dead letters; zero fields select all.
type DeadLetterQuery struct {
	Page
	Filter

	Reason relay.Kind
}

// A DeadLetter is an entry that could not be told. It keeps all that is needed to tell it after all.
type DeadLetter struct {
	ID           string // the entry's
	Notification string
	Lane         Lane
	Status       string
	Alerts       int
	ReceivedAt   time.Time
	FailedAt     time.Time
	Attempt      int
	Reason       relay.Kind
	Detail       string
}

// A RequeueRequest names the dead letters to try again.
type RequeueRequest struct {
	IDs []string // MaxIDs at most
	// Force requeues also what was refused because newer news of its group went, or may have gone, to its destination.
	Force bool
}

// A Decision is what became of one id.
type Decision struct {
	ID string
	// Refusal says why nothing was done; empty when it was.
	Refusal Refusal
}

// A Refusal says why a dead letter was left as it is.
type Refusal string

// The refusals. All but the first two yield to force.
const (
	RefusedNotFound     Refusal = "not_found"     // there is no such dead letter
	RefusedDamaged      Refusal = "damaged"       // what was stored cannot be read
	RefusedNewerSent    Refusal = "newer_sent"    // a newer state of the group was told to the destination
	RefusedNewerPending Refusal = "newer_pending" // a newer state of the group waits for the destination
	// RefusedForgotten: it is older than what the store remembers of a lane, so nobody knows what was told since.
	RefusedForgotten Refusal = "forgotten"
)

// A DeliveryState is what has become of an entry, as users see it.
type DeliveryState string

// The states of a delivery.
const (
	StatePending  DeliveryState = "pending"  // not tried yet
	StateRetrying DeliveryState = "retrying" // tried, and will be again
	StateSent     DeliveryState = "sent"
	StateMerged   DeliveryState = "merged" // told within the message of a newer one, which may still wait
	StateFailed   DeliveryState = "failed" // in the dead letters, or dropped from them
)

// A DeliveryQuery selects deliveries; zero fields select all.
type DeliveryQuery struct {
	Page
	Filter

	States []DeliveryState
	// Bodies asks for Delivery.Body, which a store reads from afar.
	Bodies bool
}

// Wants tells whether any of the states is asked for.
func (q DeliveryQuery) Wants(states ...DeliveryState) bool {
	return len(q.States) == 0 || slices.ContainsFunc(states, func(s DeliveryState) bool {
		return slices.Contains(q.States, s)
	})
}

// A Delivery is one entry with what has become of it.
type Delivery struct {
	ID           string // the entry's
	Notification string
	State        DeliveryState
	Lane         Lane
	Status       string
	Alerts       int
	// At is when it was received while it waits, when it failed, or when it was told.
	At time.Time
	// Attempts counts the sends of a whole delivery that were made and failed, and the last one.
	Attempts int
	// Reason and Detail say why it is retrying or failed; Detail is also what the vendor said when it was sent.
	Reason relay.Kind
	Detail string
	// Next is when it is tried next at the earliest; zero when that is now, or never.
	Next time.Time
	// Requeued is when it was brought back from the dead letters; zero when it was not, or has ended.
	Requeued time.Time
	// Since is Item.Since of an entry that waits.
	Since time.Time
	// Body is what it tells, as JSON, while it waits or is a dead letter; nil when it was not asked for.
	Body []byte
}

// A NotificationQuery selects webhooks; zero fields select all.
type NotificationQuery struct {
	Page

	Receiver     string // the payload's
	GroupKey     string
	Status       string
	Since, Until time.Time // of its arrival
}

// A Notification is one accepted webhook.
type Notification struct {
	ID         string
	ReceivedAt time.Time
	GroupKey   string
	Receiver   string // the payload's
	Status     string
	Alerts     int
	// Entries counts the destinations it was stored for; none when nobody was to be told anything new.
	Entries int
}

// A NotificationDetail is what became of a webhook.
type NotificationDetail struct {
	Deliveries []Delivery
	// Events are what happened to it, oldest first.
	Events []Event
	// Parts are what is still stored of it, as JSON: while an entry waits, and of each dead letter. Each is there once.
	Parts [][]byte
}
