package deliver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

// unknownPause is how long a lane rests whose integration this process does not know, which a store does not hand out.
const unknownPause = time.Minute

// plainSuffix tells the ids of the plain form from those of the usual one, which the vendor may remember as refused.
const plainSuffix = "-plain"

// An attempt is one batch on its way, and what is learned of it for the log.
type attempt struct {
	targets *targets // those in use when it began
	target  *target
	read    reading
	batch   outbox.Batch
	lane    *outbox.LaneBatch // the first of the batch; the only one unless it is a digest
	started time.Time

	told    *relay.Delivery // nil while parts rendered earlier are sent
	message relay.Message   // the part sent, once there is one
	receipt relay.Receipt
	err     error         // why it failed; nil when it did not
	took    time.Duration // the vendor's time
}

// deliver sees one batch through: it is settled when this returns, unless the store fails for longer than the lease.
func (d *Deliverer) deliver(ctx context.Context, t *targets, read reading, b outbox.Batch) {
	if b.Fold {
		d.fold(ctx, t, read, b)
		return
	}
	a := &attempt{targets: t, read: read, batch: b, lane: &b.Lanes[0], started: d.now()}
	a.target = t.all[a.lane.Lane.Integration]
	var o outbox.Outcome
	if a.target == nil {
		d.logger.Error("The store handed out an unknown integration", "integration", a.lane.Lane.Integration)
		o = outbox.Outcome{Result: outbox.Retry, Reason: relay.Transient, After: unknownPause, Detail: "unknown integration"}
	} else {
		o = d.attempt(ctx, a)
	}
	o.Items = a.entries()
	err := d.settle(ctx, b.Lease, o)
	if a.target != nil {
		d.report(ctx, a, o, err)
	}
}

// attempt makes one try and returns what became of it.
func (d *Deliverer) attempt(ctx context.Context, a *attempt) outbox.Outcome {
	if a.lane.Crashes >= maxCrashes {
		a.err = fmt.Errorf("%d leases in a row ended without an answer", a.lane.Crashes)
		return outbox.Outcome{Result: outbox.Dead, Reason: reasonCrashed, Detail: a.err.Error()}
	}
	parts, err := d.parts(ctx, a)
	if ctx.Err() != nil {
		return outbox.Outcome{Result: outbox.Release}
	}
	if err != nil {
		return d.failed(ctx, a, err)
	}
	if a.digest() && len(parts) > 1 {
		return outbox.Outcome{Result: outbox.Release, Apart: true} // a digest that is no single message saves no slot
	}
	parts, wait, err := d.paced(ctx, a, parts)
	if wait > 0 || ctx.Err() != nil || !d.timeLeft(a) {
		return outbox.Outcome{Result: outbox.Release, After: wait}
	}
	a.address(parts[0])
	if err != nil {
		return d.failed(ctx, a, err)
	}
	err = d.send(ctx, a)
	hold := d.outage(ctx, a, err)
	if err != nil {
		o := d.failed(ctx, a, err)
		o.Hold = max(o.Hold, hold)
		return o
	}
	if a.receipt.Again != nil {
		return d.partly(ctx, a, parts[1:])
	}
	ref := a.receipt.Ref
	if a.digest() {
		ref = "" // none of the groups goes on where all were told
	}
	return outbox.Outcome{
		Result:   outbox.Sent,
		Rest:     parts[1:],
		NoSlot:   a.receipt.NoSlot,
		Ref:      ref,
		Detail:   receiptDetail(a.receipt),
		Duration: a.took,
		Part:     a.message.Part,
		Parts:    a.message.Parts,
		Fallback: a.message.Fallback,
		Text:     a.message.Text,
	}
}

// address makes a part the message to send.
func (a *attempt) address(part relay.Message) {
	a.message = part
	a.message.Limiter = a.batch.Limiter
	if !a.digest() {
		a.message.Previous = a.lane.Ref
	}
}

// paced returns the parts as they are to be sent now, or for how long the first is to wait. One that the vendor counts apart
// lets the others go before it when it has to wait: what is new is told, and the message above it follows.
func (d *Deliverer) paced(
	ctx context.Context, a *attempt, parts []relay.Message,
) ([]relay.Message, time.Duration, error) {
	pacer, ok := a.target.Integration.(relay.Pacer)
	if !ok || !parts[0].OwnRate {
		return parts, 0, nil
	}
	a.address(parts[0])
	ctx, cancel := context.WithTimeout(ctx, paceTimeout)
	defer cancel()
	wait, err := pacer.Wait(ctx, a.message)
	other := slices.IndexFunc(parts, func(m relay.Message) bool { return !m.OwnRate })
	if wait == 0 || other < 0 {
		return parts, wait, err
	}
	turned := slices.Concat(parts[other:], parts[:other])
	for n := range turned { // the last one that is sent has the last number: by that the history knows the end
		turned[n].Part = parts[n].Part
	}
	return turned, 0, nil
}

// parts returns what is left to send: as it was rendered before, or rendered now.
func (d *Deliverer) parts(ctx context.Context, a *attempt) ([]relay.Message, error) {
	if len(a.lane.Rest) > 0 {
		return a.lane.Rest, nil
	}
	return d.render(ctx, a, nil)
}

// errUndecodable marks an entry that cannot be read, now or later.
var errUndecodable = errors.New("stored notification cannot be read")

// render puts the delivery together and renders it, in one of the workers' places. When refused is not nil, or the
// template fails, it renders the plain fallback and keeps the reason with the messages.
func (d *Deliverer) render(ctx context.Context, a *attempt, refused error) ([]relay.Message, error) {
	select {
	case d.workers <- struct{}{}:
		defer func() { <-d.workers }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	told, err := compose(a.batch, a.read, d.now())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUndecodable, err)
	}
	if a.target.Concerned != nil {
		told.People = a.target.Concerned(&told)
	}
	a.told = &told
	if told.Destination.Key == "" {
		if told.Destination, err = d.destination(a.target, told.Notification()); err != nil {
			return nil, fmt.Errorf("compute destination: %w", err)
		}
	}
	if refused == nil {
		parts, err := d.renderOnce(a.target, told)
		if err == nil {
			return parts, nil
		}
		refused = err
	}
	told.Plain, told.ID = true, told.ID+plainSuffix
	parts, err := d.renderOnce(a.target, told)
	if err != nil {
		return nil, fmt.Errorf("render the plain fallback: %w, after: %w", err, refused)
	}
	for i := range parts {
		parts[i].Fallback = detail(refused)
	}
	return parts, nil
}

// destination computes what could not be computed when the notification was accepted, because a template failed. Once the
// template is mended it can be.
func (d *Deliverer) destination(t *target, n *relay.Notification) (to relay.Destination, err error) {
	defer func() { err = recoverTo(recover(), err, t.metrics.panics, d.logger) }()
	return t.Destination(n.Routed())
}

// errNothing is an integration's answer that would lose a notification.
var errNothing = errors.New("rendered to nothing")

// renderOnce renders and turns a panic into an error.
func (d *Deliverer) renderOnce(t *target, told relay.Delivery) (parts []relay.Message, err error) {
	defer func() { err = recoverTo(recover(), err, t.metrics.panics, d.logger) }()
	parts, err = t.Render(told)
	if err == nil && len(parts) == 0 {
		err = errNothing
	}
	return parts, err
}

// timeLeft reports whether a send can end well within the lease. Without this check, a process that was stopped between
// claim and send would send what another has sent meanwhile.
func (d *Deliverer) timeLeft(a *attempt) bool {
	return a.batch.Lease.Until.Sub(d.now()) >= a.target.Timeout+sendMargin
}

// send makes the vendor call. A stale access token is worth a second one, at once: the integration has dropped it.
func (d *Deliverer) send(ctx context.Context, a *attempt) error {
	start := d.now()
	receipt, err := a.target.send(ctx, a.message)
	if err != nil && relay.KindOf(err) == relay.TokenExpired && d.timeLeft(a) {
		receipt, err = a.target.send(ctx, a.message)
	}
	a.took, a.receipt = d.now().Sub(start), receipt
	return err
}

// outage keeps count of the vendor's trouble, and returns for how long to hold the limiter because of it.
func (d *Deliverer) outage(ctx context.Context, a *attempt, err error) time.Duration {
	switch {
	case err == nil || relay.KindOf(err) != relay.Transient:
		d.outages.over(a.batch.Limiter)
		return 0
	case ctx.Err() != nil: // the process ends, which is no fault of the vendor
		return 0
	default:
		return d.outages.failed(a.batch.Limiter, a.lane.Lane, a.started, d.now(), d.random())
	}
}

// failed decides what becomes of a batch that could not be told.
func (d *Deliverer) failed(ctx context.Context, a *attempt, err error) outbox.Outcome {
	a.err = err
	if errors.Is(err, errUndecodable) && len(a.entries()) > 1 {
		// One of them cannot be read: alone, each of the others can be told.
		return outbox.Outcome{Result: outbox.Retry, Reason: reasonUndecodable, Detail: detail(err), Apart: true}
	}
	if errors.Is(err, errUndecodable) {
		return outbox.Outcome{Result: outbox.Dead, Reason: reasonUndecodable, Detail: detail(err)}
	}
	o := failure{
		err:     err,
		attempt: a.lane.Attempt,
		age:     d.now().Sub(a.newest()),
		final:   (a.message.Fallback != "" || a.message.Again) && !a.digest(),
		random:  d.random(),
	}.outcome(d.maxAge)
	if o.HeldFor() == relay.Misconfigured && d.targets.Load() != a.targets {
		o.Hold = 0 // a reload may have mended it meanwhile
	}
	o.Duration, o.Part, o.Parts, o.Fallback = a.took, a.message.Part, a.message.Parts, a.message.Fallback
	if o.Result == outbox.Dead {
		o.Text = a.message.Text
		return o
	}
	o.Rest = a.lane.Rest // a delivery half told goes on where it stopped; a digest has none
	if a.digest() {
		// What one group makes impossible, or too old, shall take no other with it.
		o.Apart = o.Reason == relay.Refused || a.message.ID == "" || d.now().Sub(a.oldest()) > d.maxAge
	} else if o.Reason == relay.Refused {
		plain, err := d.render(ctx, a, err)
		switch {
		case err == nil:
			o.Rest = plain
		case ctx.Err() == nil:
			return outbox.Outcome{Result: outbox.Dead, Reason: relay.Refused, Detail: detail(errors.Join(a.err, err))}
		}
	}
	if ctx.Err() != nil { // the process ends: the next one need not wait
		o.After = 0
	}
	return o
}

// partly keeps a message that some recipients took and others refused for now: these alone get it again. A digest has no
// place to keep it, so all get it again.
func (d *Deliverer) partly(ctx context.Context, a *attempt, rest []relay.Message) outbox.Outcome {
	if !a.digest() {
		again := *a.receipt.Again
		again.Again = true
		a.lane.Rest = append([]relay.Message{again}, rest...)
	}
	why := receiptDetail(a.receipt)
	if len(a.receipt.Refused) > 0 {
		why = "taken by some recipients; " + why
	}
	return d.failed(ctx, a, relay.AsTransient(errors.New(why)))
}

// newest is when the newest notification of the batch was accepted, or brought back from the dead letters: that gives it
// its whole time again.
func (a *attempt) newest() time.Time {
	var t time.Time
	for _, lane := range a.batch.Lanes {
		newest := lane.Items[len(lane.Items)-1]
		for _, at := range []time.Time{newest.At, newest.Requeued} {
			if at.After(t) {
				t = at
			}
		}
	}
	return t
}

// oldest is when the longest waiting of the newest notifications of each group was accepted.
func (a *attempt) oldest() time.Time {
	var t time.Time
	for _, lane := range a.batch.Lanes {
		if at := lane.Items[len(lane.Items)-1].At; t.IsZero() || at.Before(t) {
			t = at
		}
	}
	return t
}

// digest tells whether several groups share the message.
func (a *attempt) digest() bool { return len(a.batch.Lanes) > 1 }

// entries are the ids of all entries in the batch.
func (a *attempt) entries() []string {
	var ids []string
	for _, lane := range a.batch.Lanes {
		for _, item := range lane.Items {
			ids = append(ids, item.ID)
		}
	}
	return ids
}

// receiptDetail is what the history keeps of a receipt.
func receiptDetail(r relay.Receipt) string {
	if len(r.Refused) == 0 {
		return r.Detail
	}
	parts := make([]string, 0, len(r.Refused)+1)
	if r.Detail != "" {
		parts = append(parts, r.Detail)
	}
	for _, who := range slices.Sorted(maps.Keys(r.Refused)) {
		parts = append(parts, "refused: "+who+": "+r.Refused[who])
	}
	return strings.Join(parts, "; ")
}
