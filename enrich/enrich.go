// Package enrich finds the context of each alert: trace_id, room_id, user_agent and further fields of the request that
// suffered. It is the third stage on the path of a notification, after the duplicates are gone and before routing,
// which needs the room.
//
// Field by field, the first source that knows it wins: the alert's labels and annotations, what was saved when the alert
// was first accepted, the look-ups, and last the webhook request itself, which is Alertmanager's and not a customer's.
// One file holds one source. Promise: the step takes at most a second, whatever a look-up does, and never fails.
package enrich

import (
	"context"
	"sync"
	"time"

	"github.com/alertrelay/relay"
)

// lookupTime bounds all look-ups of one notification together.
const lookupTime = time.Second

// A Source knows something of the requests behind alerts.
type Source interface {
	// Name is the mark that fields from here get.
	Name() relay.Source
	// Find returns what is known of each alert, at its index; nil when nothing is known of any. It returns when ctx ends
	// and reports its own failures: a source that failed knows nothing. The values are raw.
	Find(ctx context.Context, alerts relay.Alerts) []relay.Snapshot
}

// An Enricher finds the context of alerts. It is safe for concurrent use.
type Enricher struct {
	alert    alertSource
	lookups  []Source
	clean    cleaner
	traceURL *traceURL
}

// New returns an Enricher. lookups are asked side by side, and win over each other in their order. The error names the key.
func New(cfg Config, lookups ...Source) (*Enricher, error) {
	link, err := newTraceURL(cfg.TraceURL)
	if err != nil {
		return nil, err
	}
	return &Enricher{
		alert:    newAlertSource(cfg.fields()),
		lookups:  lookups,
		clean:    cleaner{max: cfg.maxValueLength()},
		traceURL: link,
	}, nil
}

// Enrich sets snapshot and routing room of each alert of n, which nobody else may use yet. saved is what the store knows
// of its firings; request is the context of the webhook request and requestRoom its ?room_id=. It returns what to save
// for the firings that are not in saved: their rooms are pinned by it, also when empty.
func (e *Enricher) Enrich(
	ctx context.Context, n *relay.Notification, saved map[relay.AlertKey]relay.Saved, request relay.Snapshot,
	requestRoom string,
) map[relay.AlertKey]relay.Saved {
	found := make([]relay.Snapshot, len(n.Alerts))
	e.fill(found, e.alert.Name(), e.alert.Find(ctx, n.Alerts))
	own := savedSource(saved)
	e.fill(found, own.Name(), own.Find(ctx, n.Alerts))
	for i, known := range e.lookUp(ctx, n.Alerts) {
		e.fill(found, e.lookups[i].Name(), known)
	}

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
			a.Room = roomOfAlert(found[i], requestRoom)
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

// lookUp asks the look-ups side by side, for lookupTime at most.
func (e *Enricher) lookUp(ctx context.Context, alerts relay.Alerts) [][]relay.Snapshot {
	if len(e.lookups) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	known := make([][]relay.Snapshot, len(e.lookups))
	var wg sync.WaitGroup
	for i, source := range e.lookups {
		wg.Go(func() { known[i] = source.Find(ctx, alerts) })
	}
	wg.Wait()
	return known
}

// fill adds to each snapshot the fields that it lacks and known has, cleaned and marked with their source.
func (e *Enricher) fill(snapshots []relay.Snapshot, source relay.Source, known []relay.Snapshot) {
	for i := range known {
		e.add(&snapshots[i], source, known[i])
	}
}

func (e *Enricher) add(to *relay.Snapshot, source relay.Source, from relay.Snapshot) {
	added := false
	set := func(name string, field *string, value string) {
		if *field != "" {
			return
		}
		if *field = e.clean.value(value); *field == "" {
			return
		}
		added = true
		if to.Sources == nil {
			to.Sources = map[string]relay.Source{}
		}
		to.Sources[name] = source
	}
	set(TraceID, &to.TraceID, from.TraceID)
	set(RoomID, &to.RoomID, e.clean.room(from.RoomID))
	set(UserAgent, &to.UserAgent, from.UserAgent)
	for name, value := range from.Extra {
		have := to.Extra[name]
		if set(name, &have, value); have == "" {
			continue
		}
		if to.Extra == nil {
			to.Extra = map[string]string{}
		}
		to.Extra[name] = have
	}
	if added && to.Time.IsZero() {
		to.Time = from.Time
	}
}
