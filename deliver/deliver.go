// Package deliver is the last stage on the path of a notification: its workers claim what the outbox holds, render it,
// send it and settle what became of it. It promises that whatever was accepted is told to its destination or ends in the
// dead letters, whatever a vendor, a template or an integration does.
//
// What bounds what:
//
//   - A send runs in a goroutine of its own. The store's claim allows MaxInFlight of them for each limiter, so a vendor
//     that hangs holds up its own limiter and nobody else's.
//   - What costs CPU (decoding, merging, rendering) takes one of Options.Workers places for as long as it computes, and
//     no place while it waits for a vendor.
//   - Options.MaxSends bounds all sends together; it is far above what one limiter may have.
//
// One claim is one send slot and one message. When a delivery has several parts, the first is sent and the others are
// stored, rendered; each comes back in a claim of its own.
package deliver

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/wire"
	"github.com/alertrelay/relay/outbox"
)

// Options is what a Deliverer is built with. Store is needed, the rest has defaults.
type Options struct {
	Store      outbox.Store
	Setups     []relay.Setup
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Lease is how long a claim may take to settle, at least; default 60s. It grows with the longest timeout of Setups.
	Lease time.Duration
	// Workers bounds what costs CPU; default 64.
	Workers int
	// MaxSends bounds the sends under way to all vendors together; default 4096.
	MaxSends int
	// MaxAge ends retrying: what fails when older than this goes to the dead letters; default 24h.
	MaxAge time.Duration
	// Grace is how long sends under way may go on when Run is asked to end; default 15s.
	Grace time.Duration
	// Poll is the longest pause between claims, for a store that other processes fill as well; default: none, so that an
	// idle relay does nothing.
	Poll time.Duration
}

// The defaults of Options.
const (
	DefaultLease    = time.Minute
	DefaultWorkers  = 64
	DefaultMaxSends = 4096
	DefaultMaxAge   = 24 * time.Hour
	DefaultGrace    = 15 * time.Second
)

// The bounds of a claim and of a settle.
const (
	maxClaim      = 256             // batches a claim asks for
	claimTimeout  = 5 * time.Second // for the store to answer a claim
	settleTimeout = 5 * time.Second // for the store to answer one try to settle
	settlePause   = 200 * time.Millisecond
	paceTimeout   = 2 * time.Second // for a Pacer to say when a message may go
	maxClaimPause = 5 * time.Second // between claims while the store fails
	sendMargin    = 5 * time.Second // of the lease that must be left when a send's timeout ends
)

// A Deliverer tells destinations what the outbox holds. Its methods may be called concurrently; Run once.
type Deliverer struct {
	store    outbox.Store
	logger   *slog.Logger
	now      func() time.Time
	random   func() float64
	lease    time.Duration
	maxAge   time.Duration
	grace    time.Duration
	poll     time.Duration
	maxSends int

	metrics  *metrics
	troubles troubles
	outages  outages
	workers  chan struct{} // a place for each worker that computes
	readers  sync.Pool     // of *wire.Reader
	wake     chan struct{} // holds one token when a claim may find something
	replaced atomic.Bool   // whether the holds that wait for a person are to be lifted
	sending  atomic.Int64
	targets  atomic.Pointer[targets]
}

// New returns a Deliverer that knows the given setups. Nothing happens until Run.
func New(o Options) *Deliverer {
	d := &Deliverer{
		store:    o.Store,
		logger:   cmp.Or(o.Logger, slog.New(slog.DiscardHandler)),
		now:      o.Now,
		random:   rand.Float64,
		lease:    cmp.Or(o.Lease, DefaultLease),
		maxAge:   cmp.Or(o.MaxAge, DefaultMaxAge),
		grace:    cmp.Or(o.Grace, DefaultGrace),
		poll:     o.Poll,
		maxSends: cmp.Or(o.MaxSends, DefaultMaxSends),
		metrics:  newMetrics(o.Registerer, o.Store),
		workers:  make(chan struct{}, cmp.Or(o.Workers, DefaultWorkers)),
		readers:  sync.Pool{New: func() any { return new(wire.Reader) }},
		wake:     make(chan struct{}, 1),
	}
	if d.now == nil {
		d.now = time.Now
	}
	d.Replace(o.Setups)
	return d
}

// Wake tells that there may be something to claim. Call it after each accept; it never blocks.
func (d *Deliverer) Wake() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Replace exchanges what is known about the integrations, as a reload does. Deliveries under way end as they began. What
// is held because a person must act is tried at once: now a person has.
func (d *Deliverer) Replace(setups []relay.Setup) {
	d.targets.Store(d.newTargets(setups))
	d.forgive()
	d.replaced.Store(true)
	d.Wake()
}

// Run delivers until ctx ends. Then it claims no more, lets the sends under way end within the grace, settles them, and
// returns.
func (d *Deliverer) Run(ctx context.Context) {
	sendCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	sends := newCrew()
	d.claimLoop(ctx, func(t *targets, read reading, b outbox.Batch) {
		d.sending.Add(1)
		sends.do(func() {
			defer d.Wake() // a slot is free, and the lane may hold more
			defer d.sending.Add(-1)
			d.deliver(sendCtx, t, read, b)
		})
	})
	stop := time.AfterFunc(d.grace, cancel)
	defer stop.Stop()
	sends.end()
}

// claimLoop hands each claimed batch to start until ctx ends. It waits for a wake, or for the time at which the store said
// that more is due; it polls only when others fill the store.
func (d *Deliverer) claimLoop(ctx context.Context, start func(*targets, reading, outbox.Batch)) {
	failures := 0
	for ctx.Err() == nil {
		t, limit := d.targets.Load(), min(maxClaim, d.maxSends-int(d.sending.Load()))
		if limit <= 0 || len(t.terms) == 0 {
			d.wait(ctx, 0)
			continue
		}
		d.lift(ctx)
		batches, next, err := d.claim(ctx, t, limit)
		read := d.newReading(batches)
		for _, b := range batches {
			start(t, read, b)
		}
		switch {
		case err != nil && ctx.Err() == nil:
			if failures++; failures == 1 {
				d.logger.Error("Cannot claim, will try until the store answers", "err", err)
			}
			pause(ctx, min(maxClaimPause, time.Duration(failures)*settlePause))
		case err == nil && failures > 0:
			d.logger.Info("Claiming works again", "tries", failures)
			failures = 0
		}
		if err == nil && len(batches) < limit {
			if d.poll > 0 && (next == 0 || next > d.poll) {
				next = d.poll
			}
			d.wait(ctx, next)
		}
	}
}

// claim asks the store once. It goes on when ctx has ended: what a store has leased must not get lost on the way here.
func (d *Deliverer) claim(ctx context.Context, t *targets, limit int) ([]outbox.Batch, time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	return d.store.Claim(ctx, outbox.ClaimRequest{
		Max: limit, Lease: t.lease, Integrations: t.terms, Removed: d.metrics.removed,
	})
}

// lift ends the holds that wait for a person, after a start and after each reload. While the store fails it is tried again
// before each claim.
func (d *Deliverer) lift(ctx context.Context) {
	if !d.replaced.Swap(false) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	if err := d.store.Lift(ctx, relay.Misconfigured); err != nil {
		d.replaced.Store(true)
	}
}

// wait returns after a wake, after the given time unless it is zero, or when ctx ends.
func (d *Deliverer) wait(ctx context.Context, after time.Duration) {
	var due <-chan time.Time
	if after > 0 {
		timer := time.NewTimer(after)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-d.wake:
	case <-due:
	case <-ctx.Done():
	}
}

// settle ends the lease. While the store fails it tries again until the lease is over: what was sent and is not settled
// will be sent again. When ctx has ended, which is the end of the grace, it tries once more.
func (d *Deliverer) settle(ctx context.Context, l outbox.Lease, o outbox.Outcome) error {
	for {
		last := ctx.Err() != nil
		err := d.settleOnce(context.WithoutCancel(ctx), l, o)
		if err == nil || last || errors.Is(err, outbox.ErrStale) || !d.now().Add(settlePause).Before(l.Until) {
			return err
		}
		pause(ctx, settlePause)
	}
}

func (d *Deliverer) settleOnce(ctx context.Context, l outbox.Lease, o outbox.Outcome) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	return d.store.Settle(ctx, l, o)
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
