package app

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/internal/wire"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/route"
)

// What fallbacks go by.
const (
	// fallbackEvery is how often they look for what could not be told.
	fallbackEvery = 15 * time.Second
	// A look lists all that waits: after one that took long the next is this many times as long in coming, up to a minute.
	fallbackShare   = 20
	fallbackPatient = time.Minute
	// recently is for how long a dead letter is worth telling elsewhere: those of an earlier month are not news.
	recently = time.Hour
	// ever is longer than anything waits.
	ever = 365 * 24 * time.Hour
)

// fallbacks tell the fallback receivers of the configuration what a destination could not be told for fallback_after: an
// entry that has waited so long, or one behind it in its lane; whatever a held destination leaves waiting, once it has left
// something waiting so long; and what ended in the dead letters. Each entry is told there once, whatever restarts and
// replicas there are: the dedupe mark of a slot of its own says so, in the transaction that accepts it. The entry itself
// goes on trying. What a fallback receiver cannot be told falls back to nobody.
type fallbacks struct {
	store      outbox.Store
	operations outbox.Operations
	pipeline   func() *pipeline
	intake     *intake
	now        func() time.Time
	logger     *slog.Logger
	told       *prometheus.CounterVec

	// done are the entries that need no further look, as long as they wait.
	done map[string]bool
}

func newFallbackMetric(r prometheus.Registerer) *prometheus.CounterVec {
	return promauto.With(r).NewCounterVec(prometheus.CounterOpts{
		Name: "relay_notifications_rerouted_total",
		Help: "Entries that were told to the fallback receiver, because their destination could not be told.",
	}, []string{"receiver", "fallback"})
}

// exist lets the metrics of a configuration exist at zero.
func (f *fallbacks) exist(c *config.Config) {
	for name, instead := range c.Fallbacks() {
		f.told.WithLabelValues(name, instead.Fallback)
	}
}

// run looks until ctx ends. Looks that fail in a row are told once.
func (f *fallbacks) run(ctx context.Context) {
	var took time.Duration
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(f.pause(), min(fallbackShare*took, fallbackPatient))):
			began := time.Now()
			err := f.look(ctx)
			if err != nil && !failing && ctx.Err() == nil {
				f.logger.ErrorContext(ctx, "Cannot look for what could not be told, or tell it elsewhere", "err", err)
			}
			failing = err != nil
			took = time.Since(began)
		}
	}
}

// pause is the time to the next look: shorter where somebody wants the fallback soon.
func (f *fallbacks) pause() time.Duration {
	pause := fallbackEvery
	for _, instead := range f.pipeline().config.Fallbacks() {
		pause = min(pause, time.Duration(instead.FallbackAfter)/2)
	}
	return max(pause, time.Second)
}

// look tells what is overdue now.
func (f *fallbacks) look(ctx context.Context) error {
	p := f.pipeline()
	stats, err := f.store.Stats(ctx)
	if err != nil {
		return err
	}
	still := map[string]bool{}
	all := p.config.Fallbacks()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		after := time.Duration(all[name].FallbackAfter)
		var missed []outbox.Delivery
		if !stats.Oldest.IsZero() && !stats.Oldest.After(f.now().Add(-after)) {
			rows, err := f.rows(ctx, outbox.DeliveryQuery{
				Filter: outbox.Filter{Receiver: name},
				States: []outbox.DeliveryState{outbox.StatePending, outbox.StateRetrying},
			})
			if err != nil {
				return err
			}
			missed = overdue(rows, f.now().Add(-after))
		}
		if stats.Dead > 0 {
			dead, err := f.dead(ctx, name)
			if err != nil {
				return err
			}
			missed = append(missed, dead...)
		}
		for _, d := range missed {
			still[d.ID] = true
			if f.done[d.ID] {
				continue
			}
			if err := f.tell(ctx, p, d, all[name].Fallback); err != nil {
				return err
			}
			f.done[d.ID] = true
		}
	}
	maps.DeleteFunc(f.done, func(id string, _ bool) bool { return !still[id] })
	return nil
}

// rows are all that a query selects.
func (f *fallbacks) rows(ctx context.Context, q outbox.DeliveryQuery) ([]outbox.Delivery, error) {
	var all []outbox.Delivery
	for {
		rows, cursor, err := f.operations.Deliveries(ctx, q)
		all = append(all, rows...)
		if err != nil || cursor == "" {
			return all, err
		}
		q.Cursor = cursor
	}
}

// dead are the dead letters of a receiver that are news.
func (f *fallbacks) dead(ctx context.Context, receiver string) ([]outbox.Delivery, error) {
	q := outbox.DeadLetterQuery{Filter: outbox.Filter{Receiver: receiver, Since: f.now().Add(-recently)}}
	var all []outbox.Delivery
	for {
		letters, cursor, err := f.operations.DeadLetters(ctx, q)
		for _, l := range letters {
			if l.Reason != outbox.ReasonRemoved {
				all = append(all, outbox.Delivery{ID: l.ID, Notification: l.Notification, Lane: l.Lane, State: outbox.StateFailed})
			}
		}
		if err != nil || cursor == "" {
			slices.Reverse(all)
			return all, err
		}
		q.Cursor = cursor
	}
}

// overdue are the rows to tell elsewhere, oldest first: those of a lane that has waited since before, and those that a
// hold keeps at a destination with such a lane.
func overdue(rows []outbox.Delivery, before time.Time) []outbox.Delivery {
	type place struct {
		integration relay.IntegrationID
		destination string
	}
	lanes, places := map[outbox.Lane]bool{}, map[place]bool{}
	for _, d := range rows {
		if !oldest(d).After(before) {
			lanes[d.Lane], places[place{d.Lane.Integration, d.Lane.Destination}] = true, true
		}
	}
	var late []outbox.Delivery
	for _, d := range rows {
		held := d.State == outbox.StatePending && !d.Next.IsZero()
		if lanes[d.Lane] || held && places[place{d.Lane.Integration, d.Lane.Destination}] {
			late = append(late, d)
		}
	}
	slices.SortStableFunc(late, func(a, b outbox.Delivery) int { return oldest(a).Compare(oldest(b)) })
	return late
}

// oldest is when the oldest news of a waiting entry came, or when a person brought it back.
func oldest(d outbox.Delivery) time.Time {
	switch {
	case !d.Requeued.IsZero():
		return d.Requeued
	case !d.Since.IsZero():
		return d.Since
	}
	return d.At
}

// tell accepts what an entry says for the destinations of the fallback receiver.
func (f *fallbacks) tell(ctx context.Context, p *pipeline, d outbox.Delivery, fallback string) error {
	body, err := f.body(ctx, d)
	if err != nil || body == nil { // it was told meanwhile
		return err
	}
	n, err := new(wire.Reader).Read(body)
	if err != nil || n.InsteadOf != "" { // nobody can read it; it is a fallback itself
		return nil //nolint:nilerr // it ends in the dead letters as undecodable
	}
	n.InsteadOf = string(d.Lane.Integration)
	receiver, _, _ := strings.Cut(n.InsteadOf, "/")
	path := "instead of " + n.InsteadOf
	w := outbox.Webhook{
		ID: ulid.Make().String(), ReceivedAt: f.now(), Path: path, Receiver: n.ReceiverName(), GroupKey: n.GroupKey,
		Alerts: len(n.Alerts), Status: n.Status,
		Slot: dedupe.SlotOf(path, fallback, d.ID), Window: ever,
		Reminder: true, // told also when the fallback receiver knows the state
		Entries:  f.intake.entriesOf(ctx, p, route.Straight(n, fallback)),
	}
	for i := range w.Entries { // a lane of their own: the fallback may be told of the group by itself
		w.Entries[i].Lane.Receiver += " " + path
	}
	accepted, err := f.store.Accept(ctx, w)
	if err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	if !accepted.Duplicate {
		f.told.WithLabelValues(receiver, fallback).Inc()
		f.logger.WarnContext(ctx, "A destination could not be told: the fallback receiver is told", "entry", d.ID,
			"integration", d.Lane.Integration, "group_key", n.GroupKey, "fallback", fallback, "id", accepted.ID)
		f.intake.wake()
	}
	return nil
}

// body is what an entry says; nil when it neither waits nor is a dead letter of late any more. Those are looked for in the
// history, which is long, so what waits comes first.
func (f *fallbacks) body(ctx context.Context, d outbox.Delivery) ([]byte, error) {
	waiting := outbox.DeliveryQuery{
		Filter: outbox.Filter{Notification: d.Notification, Integration: d.Lane.Integration}, Bodies: true,
		States: []outbox.DeliveryState{outbox.StatePending, outbox.StateRetrying},
	}
	failed := waiting
	failed.Since, failed.States = f.now().Add(-recently), []outbox.DeliveryState{outbox.StateFailed}
	for _, q := range []outbox.DeliveryQuery{waiting, failed} {
		rows, err := f.rows(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if row.ID == d.ID {
				return row.Body, nil
			}
		}
	}
	return nil, nil
}
