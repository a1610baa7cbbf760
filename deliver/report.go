package deliver

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

// report counts what became of an attempt and tells it in one line of the log, with all its facts.
func (d *Deliverer) report(ctx context.Context, a *attempt, o outbox.Outcome, settled error) {
	m := a.target.metrics
	switch o.Result {
	case outbox.Release, outbox.Folded:
		d.tell(ctx, slog.LevelDebug, "Gave a delivery back unsent", a, o)
	case outbox.Sent:
		m.notifications.Inc()
		if a.message.Fallback != "" {
			m.fallbacks.Inc()
		}
		if len(o.Rest) == 0 {
			m.latency.Observe(d.now().Sub(a.lane.Items[0].Oldest()).Seconds())
			m.merged.Add(float64(len(o.Items) - len(a.batch.Lanes)))
			if a.digest() {
				m.digested.Add(float64(len(a.batch.Lanes)))
			}
		}
		d.mended(a)
		d.tell(ctx, slog.LevelInfo, "Notification sent", a, o)
		if len(a.receipt.Refused) > 0 {
			d.tell(ctx, slog.LevelWarn, "Some recipients were refused", a, o)
		}
	case outbox.Retry:
		m.notifications.Inc()
		m.failed.WithLabelValues(string(o.Reason)).Inc()
		d.tell(ctx, d.failing(a, o), "Notification not sent, will try again", a, o)
	case outbox.Dead:
		m.notifications.Inc()
		m.failed.WithLabelValues(string(relay.KindOf(a.err))).Inc()
		m.dead.WithLabelValues(string(o.Reason)).Add(float64(len(o.Items)))
		d.tell(ctx, slog.LevelError, "Notification moved to the dead letters", a, o)
	}
	switch {
	case errors.Is(settled, outbox.ErrStale):
		d.tell(ctx, slog.LevelWarn, "The lease had ended before it was settled, so this may be told again", a, o)
	case settled != nil:
		d.logger.ErrorContext(ctx, "Cannot settle, so this will be told again", "integration", a.target.ID, "err", settled)
	}
}

// tell logs a line about an attempt. Below the level of the log its facts are not even put together.
func (d *Deliverer) tell(ctx context.Context, level slog.Level, message string, a *attempt, o outbox.Outcome) {
	if d.logger.Enabled(ctx, level) {
		d.logger.LogAttrs(ctx, level, message, d.facts(a, o)...) //nolint:sloglint // one of the constants above
	}
}

// facts are what the log tells of an attempt.
func (d *Deliverer) facts(a *attempt, o outbox.Outcome) []slog.Attr {
	lane, now := a.lane.Lane, d.now()
	attrs := make([]slog.Attr, 0, 20)
	attrs = append(attrs,
		slog.String("receiver", a.target.Receiver),
		slog.String("integration", string(a.target.ID)),
		slog.String("destination", lane.Destination),
		slog.String("group_key", lane.GroupKey),
		slog.String("entry", o.Items[len(o.Items)-1]),
		slog.Int("attempt", a.lane.Attempt),
		slog.Duration("duration", a.took),
		slog.Duration("age", now.Sub(a.lane.Items[0].Oldest())),
	)
	if a.told != nil {
		n := a.told.Notification()
		attrs = append(attrs, slog.String("status", n.Status), slog.Int("alerts", len(n.Alerts)))
	}
	if lane.Room != "" {
		attrs = append(attrs, slog.String("room", lane.Room))
	}
	if lanes := len(a.batch.Lanes); lanes > 1 {
		attrs = append(attrs, slog.Int("groups", lanes))
	}
	if merged := len(o.Items) - len(a.batch.Lanes); merged > 0 {
		attrs = append(attrs, slog.Int("merged", merged))
	}
	if o.Parts > 1 {
		attrs = append(attrs, slog.Int("part", o.Part), slog.Int("parts", o.Parts))
	}
	if o.Fallback != "" {
		attrs = append(attrs, slog.String("fallback", o.Fallback))
	}
	if o.Reason != "" {
		attrs = append(attrs, slog.String("reason", string(o.Reason)))
	}
	if o.After > 0 {
		attrs = append(attrs, slog.Duration("retry_in", o.After))
	}
	if o.Hold > 0 {
		attrs = append(attrs, slog.Duration("hold", o.Hold))
	}
	if o.Detail != "" && a.err == nil {
		attrs = append(attrs, slog.String("detail", o.Detail))
	}
	if a.err != nil {
		attrs = append(attrs, slog.Any("err", a.err))
	}
	return attrs
}

// troubles remembers which integrations a person must mend, each with its gauge, so that each is told once and not at every
// probe.
type troubles struct {
	mu  sync.Mutex
	now map[relay.IntegrationID]prometheus.Gauge
}

// failing returns the level at which a failure is worth telling.
func (d *Deliverer) failing(a *attempt, o outbox.Outcome) slog.Level {
	switch {
	case o.Reason == relay.Misconfigured:
	case relay.Told(a.err):
		return slog.LevelDebug
	default:
		return slog.LevelWarn
	}
	d.troubles.mu.Lock()
	defer d.troubles.mu.Unlock()
	_, told := d.troubles.now[a.target.ID]
	_, known := d.targets.Load().all[a.target.ID]
	if told || !known { // a reload has removed it while it was sending
		return slog.LevelDebug
	}
	if d.troubles.now == nil {
		d.troubles.now = make(map[relay.IntegrationID]prometheus.Gauge)
	}
	d.troubles.now[a.target.ID] = a.target.metrics.misconfigured
	a.target.metrics.misconfigured.Inc()
	return slog.LevelError
}

// mended ends the trouble of an integration whose vendor took a message.
func (d *Deliverer) mended(a *attempt) {
	d.endTroubles(func(id relay.IntegrationID) bool { return id == a.target.ID })
}

// forgive ends all troubles, as a reload does: an integration that was removed nobody will ever mend, and of the others the
// next try tells whether they are mended.
func (d *Deliverer) forgive() {
	d.endTroubles(func(relay.IntegrationID) bool { return true })
}

func (d *Deliverer) endTroubles(over func(relay.IntegrationID) bool) {
	d.troubles.mu.Lock()
	defer d.troubles.mu.Unlock()
	for id, gauge := range d.troubles.now {
		if over(id) {
			delete(d.troubles.now, id)
			gauge.Dec()
		}
	}
}
