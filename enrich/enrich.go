// Package enrich finds the context of each alert: trace_id, room_id, user_agent and further fields of the request that
// suffered. It is the third stage on the path of a notification, after the duplicates are gone and before routing,
// which needs the room.
//
// Field by field, the first source that knows it wins: the alert's labels and annotations, what was saved when the alert
// was first accepted, the look-ups (what applications recorded, first), and last the webhook request itself, which is
// Alertmanager's and not a customer's. One file holds one source. Promise: the step takes at most a second, whatever a
// look-up does, and never fails; what is known or was resolved before costs no look-up.
package enrich

import (
	"cmp"
	"context"
	"log/slog"

	"github.com/alertrelay/relay"
)

// A Source knows something of the requests behind alerts.
type Source interface {
	// Name is the mark that fields from here get.
	Name() relay.Source
	// Find returns what is known of each alert, at its index; nil when nothing is known of any. The alerts have as their
	// Snapshot what is known so far. The values it returns are raw. It ends when ctx does.
	Find(ctx context.Context, alerts relay.Alerts) ([]relay.Snapshot, error)
}

// Options are what an Enricher works with; zero fields have defaults.
type Options struct {
	// Lookups are asked side by side, and win over each other in their order.
	Lookups []Source
	// Metrics default to some that nobody reads, Logger to silence.
	Metrics *Metrics
	Logger  *slog.Logger
}

// An Enricher finds the context of alerts. It is safe for concurrent use.
type Enricher struct {
	alert    alertSource
	lookups  []*lookup
	clean    cleaner
	traceURL *traceURL
	metrics  *Metrics
	// routeByEvidence lets a room that a look-up found be a routing room.
	routeByEvidence bool
}

// New returns an Enricher. The error names the key.
func New(cfg Config, o Options) (*Enricher, error) {
	link, err := newTraceURL(cfg.TraceURL)
	if err != nil {
		return nil, err
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	e := &Enricher{
		alert:           newAlertSource(cfg.fields()),
		clean:           cleaner{max: cfg.maxValueLength()},
		traceURL:        link,
		metrics:         o.Metrics,
		routeByEvidence: cfg.RouteByEvidence,
	}
	logger := cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	for _, source := range o.Lookups {
		o.Metrics.of(source.Name())
		e.lookups = append(e.lookups, &lookup{Source: source, metrics: o.Metrics, logger: logger})
	}
	return e, nil
}

// Enrich sets snapshot and routing room of each alert of n, which nobody else may use yet. saved is what the store knows
// of its firings; request is the context of the webhook request and requestRoom its ?room_id=. It returns what to save
// for the firings that are not in saved: their rooms are pinned by it, also when empty.
func (e *Enricher) Enrich(
	ctx context.Context, n *relay.Notification, saved map[relay.AlertKey]relay.Saved, request relay.Snapshot,
	requestRoom string,
) map[relay.AlertKey]relay.Saved {
	found := make([]relay.Snapshot, len(n.Alerts))
	var wanted []int // the alerts that look-ups may know more of
	for i := range n.Alerts {
		a := &n.Alerts[i]
		e.add(&found[i], relay.SourceAlert, e.alert.of(a))
		was, known := saved[a.Key()]
		if known {
			e.add(&found[i], relay.SourceSaved, fromSaved(was))
		}
		again := known && a.Status == relay.StatusResolved // it shows what firing showed, and nothing of later
		if !again && !complete(found[i]) {
			wanted = append(wanted, i)
		}
	}
	e.lookUp(ctx, n.Alerts, found, wanted)

	requestRoom = e.clean.room(requestRoom)
	var last relay.Snapshot // the same for all alerts, and shared by those of which nothing else is known
	e.add(&last, relay.SourceRequest, requestContext(request, requestRoom))
	fresh := map[relay.AlertKey]relay.Saved{}
	for i := range n.Alerts {
		a := &n.Alerts[i]
		pinned, known := saved[a.Key()]
		if known {
			a.Room = roomOfSaved(pinned, requestRoom)
		} else {
			a.Room = e.roomOfAlert(found[i], requestRoom)
			fresh[a.Key()] = toSave(found[i], a.Room)
		}
		if found[i].IsZero() {
			a.Snapshot = last
		} else {
			e.add(&found[i], relay.SourceRequest, last)
			a.Snapshot = found[i]
		}
		a.Snapshot.TraceURL = e.traceURL.of(a.Snapshot)
	}
	return fresh
}

// add adds to a snapshot the fields that it lacks and from has, cleaned and marked with their source.
func (e *Enricher) add(to *relay.Snapshot, source relay.Source, from relay.Snapshot) {
	added := false
	set := func(name string, field *string, value string, clean func(string) string) {
		if *field != "" || value == "" {
			return
		}
		if *field = clean(value); *field != value {
			e.metrics.altered.WithLabelValues(string(source)).Inc()
		}
		if *field == "" {
			return
		}
		added = true
		if to.Sources == nil {
			to.Sources = map[string]relay.Source{}
		}
		to.Sources[name] = source
	}
	set(TraceID, &to.TraceID, from.TraceID, e.clean.value)
	set(RoomID, &to.RoomID, from.RoomID, e.clean.room)
	set(UserAgent, &to.UserAgent, from.UserAgent, e.clean.value)
	for name, value := range from.Extra {
		if name = e.clean.value(name); name == "" || name == TraceID || name == RoomID || name == UserAgent {
			continue
		}
		have := to.Extra[name]
		if set(name, &have, value, e.clean.value); have == "" {
			continue
		}
		if to.Extra == nil {
			to.Extra = map[string]string{}
		}
		to.Extra[name] = have
	}
	if added && to.Time.IsZero() {
		to.Time = e.clean.time(from.Time)
	}
}
