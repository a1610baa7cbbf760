package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/internal/wire"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/route"
	"github.com/alertrelay/relay/webhook"
)

// storeTimeout is what a webhook waits for the store, each time it asks. Alertmanager sends again what was answered 503.
const storeTimeout = 3 * time.Second

// errNotRunning is what late webhooks hear while the process drains.
var errNotRunning = errors.New("the relay is starting or stopping")

// errOtherConfig is why a receiver that is unknown here is answered 503.
var errOtherConfig = errors.New("another relay may know it: they have different configurations, or had them lately")

// An intake takes notifications through dedupe, enrich and route into the outbox. It works within the request of the
// webhook: what it takes without an error is durable.
type intake struct {
	store outbox.Store
	wake  func()
	// usable says why a webhook need not even be tried; nil when it may.
	usable func() error
	// differ tells whether another relay may know a receiver that this one does not.
	differ  func() bool
	logger  *slog.Logger
	metrics *intakeMetrics
}

// take makes one webhook durable, or finds that it is a copy of one that is.
func (in *intake) take(ctx context.Context, p *pipeline, r webhook.Request) (webhook.Answer, error) {
	if err := in.usable(); err != nil {
		return webhook.Answer{}, err
	}
	if r.Receiver != "" && !p.has(r.Receiver) {
		if in.differ() {
			return webhook.Answer{}, fmt.Errorf("receiver %.100q: %w", r.Receiver, errOtherConfig)
		}
		return webhook.Answer{}, webhook.ErrUnknownReceiver
	}
	n := r.Notification
	w := outbox.Webhook{
		ID: n.ID, ReceivedAt: n.ReceivedAt,
		Path: r.Path, Receiver: n.ReceiverName(), GroupKey: n.GroupKey,
		Alerts: len(n.Alerts), Status: n.Status,
		Slot:     dedupe.SlotOf(r.Path, n.ReceiverName(), n.GroupKey),
		State:    dedupe.StateOf(n),
		Window:   dedupe.Window(n, p.window),
		Reminder: dedupe.IsReminder(n),
	}
	known, err := in.recall(ctx, w, n.Alerts)
	if err != nil {
		return webhook.Answer{}, err
	}
	if known.Duplicate { // it costs no look-up
		return in.answer(ctx, w, outbox.Accepted{ID: known.ID, Duplicate: true}), nil
	}
	w.Saved = p.enricher.Enrich(ctx, n, known.Saved, r.Snapshot, r.Room)
	w.Entries = in.entries(ctx, p, r)
	accepted, err := in.accept(ctx, w)
	if err != nil {
		return webhook.Answer{}, err
	}
	in.wake()
	return in.answer(ctx, w, accepted), nil
}

// recall asks what the store knows of a webhook and its alerts.
func (in *intake) recall(ctx context.Context, w outbox.Webhook, alerts relay.Alerts) (outbox.Known, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	q := outbox.Query{Slot: w.Slot, State: w.State, Window: w.Window, Alerts: make([]relay.AlertKey, len(alerts))}
	for i := range alerts {
		q.Alerts[i] = alerts[i].Key()
	}
	known, err := in.store.Recall(ctx, q)
	if err != nil {
		in.metrics.dedupeErrors.Inc()
		return outbox.Known{}, fmt.Errorf("recall: %w", err)
	}
	return known, nil
}

// accept makes a webhook durable, all or nothing.
func (in *intake) accept(ctx context.Context, w outbox.Webhook) (outbox.Accepted, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	accepted, err := in.store.Accept(ctx, w)
	if err != nil {
		return outbox.Accepted{}, fmt.Errorf("accept: %w", operationError(err))
	}
	return accepted, nil
}

// answer tells what became of a webhook. One that no integration tells is accepted all the same, and recorded: resolved
// alerts of a receiver that does not want them, or a receiver without integrations.
func (in *intake) answer(ctx context.Context, w outbox.Webhook, a outbox.Accepted) webhook.Answer {
	level, message := slog.LevelInfo, "Notification accepted"
	switch {
	case a.Duplicate:
		message = "Notification is a duplicate"
	case !slices.ContainsFunc(w.Entries, func(e outbox.Entry) bool { return !e.Silent }):
		message = "Notification accepted, but no integration is to tell it"
		in.metrics.untold.Inc()
	}
	in.logger.LogAttrs(ctx, level, message, //nolint:sloglint // one of the three constants above
		slog.String("id", a.ID), slog.String("path", w.Path), slog.String("receiver", w.Receiver),
		slog.String("group_key", w.GroupKey), slog.String("status", w.Status), slog.Int("alerts", w.Alerts),
		slog.Int("entries", a.Entries))
	return webhook.Answer{ID: a.ID, Duplicate: a.Duplicate}
}

// entries cuts a notification into what it means for each destination.
func (in *intake) entries(ctx context.Context, p *pipeline, r webhook.Request) []outbox.Entry {
	var entries []outbox.Entry
	for _, part := range p.cut(r.Notification, r.Receiver) {
		entries = append(entries, in.entriesOf(ctx, p, part)...)
	}
	return entries
}

// entriesOf is what a part means for each destination of its receiver.
func (in *intake) entriesOf(ctx context.Context, p *pipeline, part route.Part) []outbox.Entry {
	var entries []outbox.Entry
	made := bodies{}
	setups := p.receivers[part.Receiver]
	for i := range setups {
		for _, b := range made.of(p, &setups[i], part) {
			entries = append(entries, in.entry(ctx, &setups[i], b))
		}
	}
	return entries
}

// entry is what a part of a notification means for one integration.
func (in *intake) entry(ctx context.Context, s *relay.Setup, b *body) outbox.Entry {
	n := b.Notification
	b.encode()
	destination, err := destinationOf(s, n)
	if err != nil {
		in.metrics.destinationErrors.WithLabelValues(s.Receiver, s.Type).Inc()
		in.logger.LogAttrs(ctx, slog.LevelError, "Cannot compute where a notification goes, so it waits there for a reload",
			slog.String("id", n.ID), slog.String("integration", string(s.ID)), slog.Any("err", err))
	}
	limiters := destination.Limiters
	if len(limiters) == 0 {
		limiters = s.Limiters
	}
	if len(limiters) == 0 { // an entry without one would never be claimed
		limiters = []relay.LimiterID{relay.LimiterID(s.ID)}
	}
	return outbox.Entry{
		Lane: outbox.Lane{
			Integration: s.ID, Destination: destination.Key, GroupKey: n.GroupKey, Receiver: n.ReceiverName(), Room: n.Room,
		},
		Destination:  destination,
		Limiters:     limiters,
		State:        b.state,
		Silent:       b.silent,
		Notification: b.json,
		Told:         b.told,
	}
}

// destinationOf asks the integration where a notification goes. When a template of it fails, the notification is not
// refused: its other destinations would wait with it, and would do so for ever. It is stored without a destination, and
// deliver asks again at each try: once the template is mended it is told, else it ends in the dead letters.
func destinationOf(s *relay.Setup, n *relay.Notification) (d relay.Destination, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("bug in the integration: panic of type %T", cause)
		}
	}()
	d, err = s.Destination(n.Routed())
	if err != nil {
		return relay.Destination{}, err
	}
	return d, nil
}

// A body is a part of a notification in the form in which it is stored: made once for all integrations it goes to.
type body struct {
	piece

	json  []byte
	state dedupe.State
	told  map[string]time.Time
}

// bodies are the forms in which one part of a notification is told.
type bodies map[form][]*body

type form struct{ firing, byRoom bool }

// of is what of a part is told to an integration, or has ended in silence for it.
func (made bodies) of(p *pipeline, s *relay.Setup, part route.Part) []*body {
	f := form{!s.SendResolved, p.apart(s)}
	told, ok := made[f]
	if !ok {
		for _, piece := range p.pieces(s, part) {
			told = append(told, &body{piece: piece})
		}
		made[f] = told
	}
	return told
}

func (b *body) encode() {
	if b.json != nil {
		return
	}
	n := b.Notification
	b.json = []byte{}
	if !b.silent {
		b.json = wire.Append(nil, n)
	}
	b.state = dedupe.StateOfAlerts(n.Alerts, n.TruncatedAlerts)
	b.told = make(map[string]time.Time, len(n.Alerts))
	for i := range n.Alerts {
		if a := &n.Alerts[i]; a.Status == relay.StatusFiring {
			b.told[a.Fingerprint] = a.StartsAt
		}
	}
}

// intakeMetrics count what happens between the way in and the store.
type intakeMetrics struct {
	untold, dedupeErrors prometheus.Counter
	destinationErrors    *prometheus.CounterVec
}

func newIntakeMetrics(r prometheus.Registerer) *intakeMetrics {
	f := promauto.With(r)
	return &intakeMetrics{
		untold: f.NewCounter(prometheus.CounterOpts{
			Name: "relay_notifications_untold_total",
			Help: "Notifications accepted that no integration is to tell.",
		}),
		dedupeErrors: f.NewCounter(prometheus.CounterOpts{
			Name: "relay_dedupe_errors_total",
			Help: "Notifications refused with 503 because the store did not say whether they are duplicates.",
		}),
		destinationErrors: f.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_destination_errors_total",
			Help: "Notifications whose templated destination could not be computed; they wait until it can.",
		}, []string{"receiver", "integration"}),
	}
}

// of lets the metrics of integrations exist at zero.
func (m *intakeMetrics) of(setups []relay.Setup) {
	for _, s := range setups {
		m.destinationErrors.WithLabelValues(s.Receiver, s.Type)
	}
}
