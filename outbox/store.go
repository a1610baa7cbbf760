package outbox

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/dedupe"
)

// A Store keeps what was accepted until it is told. Every method may be called concurrently; each ends when its context
// does. Errors are ErrFull, ErrStale, or wrap ErrUnavailable.
type Store interface {
	// Recall answers what is known about a webhook before it is worked on. If its state was last accepted in its slot
	// within the window it is a duplicate: that is counted, and the first copy is durable when Recall returns. Else it
	// returns what was saved with its alerts. The window is never extended by a duplicate.
	Recall(ctx context.Context, q Query) (Known, error)

	// Accept is durable when it returns nil: the dedupe mark, the snapshots and every entry of one webhook, all or
	// nothing. It compares with the slot again in the same step, so of parallel copies one is accepted and the others
	// are duplicates. An entry whose State equals the last one accepted in its lane is left out, unless the webhook is a
	// reminder; so is a silent one, which changes that State. Accepting the same ID twice accepts it once.
	Accept(ctx context.Context, w Webhook) (Accepted, error)

	// Claim leases work for the integrations that c names. One batch is one send slot of one limiter, or one lane to fold.
	// A lease that ended without a settle is no reason to tell less in one message: what was under way may have been told,
	// so an older state must not come after it. Only after AloneAfter of them in a row the head is told alone.
	// When there is less than c.Max to do, it also returns how long until more is due; zero means that nothing is pending.
	Claim(ctx context.Context, c ClaimRequest) ([]Batch, time.Duration, error)

	// Settle ends a lease. The send slot is stamped with the time of this call. A lease that has ended, or was settled
	// before, is ErrStale: nothing has changed.
	Settle(ctx context.Context, l Lease, o Outcome) error

	// Lift ends the holds in force for a reason: a person has mended what the vendors complained of. As after every hold,
	// one batch goes first. It is durable when it returns nil.
	Lift(ctx context.Context, reason relay.Kind) error

	// History returns events, newest first, and the cursor of the next page, empty at the end.
	History(ctx context.Context, q HistoryQuery) ([]Event, string, error)

	// Stats counts what is pending now.
	Stats(ctx context.Context) (Stats, error)

	// Close waits for what is under way and gives up the store. Leases end with it.
	Close() error
}

// The errors that count.
var (
	// ErrFull means that the store has reached its caps: nothing was written, a retry later may succeed.
	ErrFull = errors.New("store is full")
	// ErrUnavailable means that the store could not be reached or could not write: a retry may succeed.
	ErrUnavailable = errors.New("store is unavailable")
	// ErrStale means that a lease is not held any more.
	ErrStale = errors.New("lease is stale")
)

// A Query asks what is known about a webhook.
type Query struct {
	Slot   dedupe.Slot
	State  dedupe.State
	Window time.Duration
	Alerts []relay.AlertKey
}

// Known is what the store knows about a webhook.
type Known struct {
	// Duplicate tells that the webhook's state was last accepted in its slot, under ID.
	Duplicate bool
	ID        string
	// Saved holds what was saved with its alerts when they were first accepted; alerts never seen are missing.
	Saved map[relay.AlertKey]relay.Saved
}

// A Webhook is all that one accepted webhook leaves in the store.
type Webhook struct {
	// ID is a ULID made by the caller.
	ID         string
	ReceivedAt time.Time
	// Path is the URL path it came in by, Receiver and GroupKey the payload's; for the history.
	Path, Receiver, GroupKey string
	// Alerts and Status are for the history.
	Alerts int
	Status string

	Slot   dedupe.Slot
	State  dedupe.State
	Window time.Duration
	// Reminder says that Alertmanager called it one.
	Reminder bool

	Saved   map[relay.AlertKey]relay.Saved
	Entries []Entry
}

// An Entry is what one notification means for one destination.
type Entry struct {
	Lane        Lane
	Destination relay.Destination
	// Limiters are the credentials that may send it, any of them; never empty. Terms.Limiters may replace them.
	Limiters []relay.LimiterID
	// State is that of this part of the notification alone.
	State dedupe.State
	// Silent says that nothing is to be told: only State, and Told where the lane has nothing pending, are kept of it, for a
	// lane that is known. Where resolved alerts are not told, what fires again has changed all the same.
	Silent bool
	// Notification is the part to tell, as JSON.
	Notification []byte
	// Told is what a reader knows once this entry is sent: the firing alerts of the part, by fingerprint, with their
	// start. It becomes Batch.Told of the lane's next claim.
	Told map[string]time.Time
}

// A Lane is the unit of order and of lease: the pending entries of one group for one destination.
type Lane struct {
	Integration relay.IntegrationID
	Destination string // relay.Destination.Key
	GroupKey    string
	Receiver    string // the payload's, unquoted
	Room        string
}

// Accepted is the answer of Accept.
type Accepted struct {
	// ID is the webhook's own, or that of the first copy when this one is a duplicate.
	ID        string
	Duplicate bool
	// Entries counts the entries stored; unchanged parts are left out.
	Entries int
}

// A ClaimRequest says what a worker can take.
type ClaimRequest struct {
	// Max is the most batches to return.
	Max int
	// Lease is how long the caller may take to settle.
	Lease time.Duration
	// Integrations are those this process knows, with their terms. Lanes of others are left alone for RemovedGrace.
	Integrations map[relay.IntegrationID]Terms
	// Removed is told how many entries this claim moved to the dead letters, by integration, because that was not known for
	// so long; nil when nobody wants to know.
	Removed func(id relay.IntegrationID, entries int)
}

// Terms are what the configuration says about sending for one integration.
type Terms struct {
	Limit       relay.Limit
	MaxInFlight int // sends under way per limiter; 0 means no bound
	// Backlog merge hands out all entries that wait in a lane, at most MergeMost, and folds a lane in which more than LaneCap
	// wait; else they are told one at a time.
	Backlog relay.Backlog
	// Digest is how many lanes one message may tell when more are ready than there are slots free, less a reserve of three in
	// twenty; 0 is never. Lanes share a message only with backlog merge, of one destination and room, without a ref.
	Digest int
	// Limiters are the credentials that the integration has now. Entries accepted with others, before a reload, go out with
	// these: with those of them that they name, else with all. Empty leaves them as they were accepted.
	Limiters []relay.LimiterID
}

// Bound returns the credentials that may send an entry accepted with limiters.
func (t Terms) Bound(limiters []relay.LimiterID) []relay.LimiterID {
	if len(t.Limiters) == 0 {
		return limiters
	}
	var left []relay.LimiterID
	for _, id := range limiters {
		if slices.Contains(t.Limiters, id) {
			left = append(left, id)
		}
	}
	if len(left) == 0 {
		return t.Limiters
	}
	return left
}

// Limits are the limits of the limiters that terms name; where integrations share one, the smallest.
func Limits(terms map[relay.IntegrationID]Terms) map[relay.LimiterID]relay.Limit {
	limits := map[relay.LimiterID]relay.Limit{}
	for _, t := range terms {
		for _, id := range t.Limiters {
			if stricter(t.Limit, limits[id]) {
				limits[id] = t.Limit
			}
		}
	}
	return limits
}

// Equal tells whether two terms say the same.
func (t Terms) Equal(other Terms) bool {
	return t.Limit == other.Limit && t.MaxInFlight == other.MaxInFlight && t.Backlog == other.Backlog &&
		t.Digest == other.Digest && slices.Equal(t.Limiters, other.Limiters)
}

// A Batch is the work for one send slot of one limiter, or a lane to fold.
type Batch struct {
	Lease   Lease
	Limiter relay.LimiterID
	Lanes   []LaneBatch // one; several in a digest
	// Fold says that nothing is to be sent: more than LaneCap entries wait in the lane, and some of them, the Items, are to
	// become one, so that what is stored stays bounded however long the lane waits. It has no limiter and takes no slot; its
	// lane has Lane and Items alone. They are entries in a row, all with the same limiters: not what is half told, nor a head
	// that is told alone, nor what was requeued; of the rest of the lane the oldest MergeMost. It is settled with Folded, or
	// with Release: with Apart the lane is not folded again until its head has ended. While the lease is held the lane is
	// not claimed; when it ends by itself, nothing has happened. What can be sent instead is sent.
	Fold bool
}

// A LaneBatch is a leased lane with the entries to tell, oldest first.
type LaneBatch struct {
	Lane        Lane
	Destination relay.Destination
	Items       []Item
	// Attempt counts from 1; it starts anew with each item that reaches the head.
	Attempt int
	// Crashes counts the leases of the head in a row that ended without a settle.
	Crashes int
	// Ref is what the last delivery of the lane left behind.
	Ref relay.Ref
	// Told are the alerts a reader of this lane knows as firing, by fingerprint, with their start, and ToldAt is when it was
	// told so: when the message was settled. Zero when it was told nothing yet.
	Told   map[string]time.Time
	ToldAt time.Time
	// Rest are the rendered parts still to send of an item that is half told; empty when rendering comes first.
	Rest []relay.Message
}

// An Item is one entry of a leased lane.
type Item struct {
	ID           string // entry id: webhook id, "-", number
	At           time.Time
	Notification []byte
	// Requeued is when it was brought back from the dead letters; zero when it was not. It comes late, so nothing of its
	// lane is told together with it.
	Requeued time.Time
	// Folded counts the earlier entries that were folded into this one, and Since is when the oldest of them was received.
	// Both are zero when there are none, and when it was brought back from the dead letters.
	Folded int
	Since  time.Time
}

// Oldest is when the oldest news of the item was received.
func (i Item) Oldest() time.Time {
	if i.Since.IsZero() {
		return i.At
	}
	return i.Since
}

// A Lease is the right to settle a batch. Nonce is random, so that no lease is taken for another.
type Lease struct {
	Nonce string
	Until time.Time
}

// A Result is how a send ended.
type Result string

// The results of a send.
const (
	Sent    Result = "sent"    // the vendor took it: the items are done, or Rest is left to send
	Retry   Result = "retry"   // try again after Outcome.After
	Dead    Result = "dead"    // it can never be sent: to the dead letters
	Release Result = "release" // not tried: give the lane and the slot back
	Folded  Result = "folded"  // of a Fold: the items are one from now on, the newest, which tells Outcome.Notification
)

// An Outcome is what became of a batch.
type Outcome struct {
	Result Result
	// Items are the ids this settle ends; they must be those claimed, in their order. Of each lane the newest is told, and
	// the earlier ones within it. Folded needs them; it ends all but the newest, as merged.
	Items []string
	// Notification is what the newest of the Items says from now on, when they are Folded.
	Notification []byte
	// Rest are the parts still to send after this one. While there are any, the items stay at the head of their lane and
	// nothing merges into them. A Retry keeps the rest given here. A digest has none.
	Rest []relay.Message
	// After is how long to wait before the next try.
	After time.Duration
	// Apart says that what was to be told together shall be told apart, so that what makes a message impossible takes
	// nothing else with it: until its head has ended, a lane of a digest is claimed without the other lanes, and the head
	// of a lane that was alone without the other entries. Parts rendered are dropped.
	Apart bool
	// Hold stops the limiter for this long; zero does not. After it one batch goes first: no other of the limiter is
	// claimed until it is settled, and so on until one is Sent.
	Hold time.Duration
	// HoldReason is why, for Lift; empty means Reason. Of two holds in force at once, the one that ends later gives its own.
	HoldReason relay.Kind
	// NoSlot gives the slot back although a call was made: the limiter does not count such a call.
	NoSlot bool
	// Ref is the handle to keep with the lane; empty keeps the one before.
	Ref relay.Ref
	// Reason and Detail say why, for the history: a kind, and a text without secrets.
	Reason relay.Kind
	Detail string
	// Duration is how long the send took.
	Duration time.Duration
	// Part counts from 1 to Parts, for the history.
	Part, Parts int
	// Fallback says that the plain text stood in for a template, and why.
	Fallback string
	// Text is what was sent, for the history.
	Text string
}

// Stats counts what is pending.
type Stats struct {
	Pending  int // entries
	Lanes    int
	InFlight int
	Dead     int
	// Full says that Accept answers ErrFull now.
	Full bool
	// Oldest is when the oldest news that is pending was accepted or requeued; zero when nothing is pending.
	Oldest time.Time
	// Limiters has the pending entries of each limiter.
	Limiters map[relay.LimiterID]int
	// Holds has the end of each hold in force.
	Holds map[relay.LimiterID]time.Time
	// Windows has the use of each limiter that the terms of the last claim name and limit.
	Windows map[relay.LimiterID]Window
}

// A Window is how much of its limit a limiter has used: the sends under way, and those of the last Limit.Per.
type Window struct {
	Used  int
	Limit relay.Limit
}
