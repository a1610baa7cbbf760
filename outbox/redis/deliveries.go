package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

// Deliveries implements outbox.Operations: it reads what is pending, the dead letters and the history, one after another.
// An entry that ends between two scripts is found in the part that comes later.
func (s *Store) Deliveries(ctx context.Context, q outbox.DeliveryQuery) ([]outbox.Delivery, string, error) {
	l := outbox.Listing{Query: q}
	r := deliveryReader{Listing: &l, store: s}
	next, err := l.Read(ctx, r.waiting, r.dead, r.ended)
	if err != nil {
		return nil, "", fmt.Errorf("deliveries: %w", err)
	}
	return l.Rows, next, nil
}

// A deliveryReader adds rows to a listing.
type deliveryReader struct {
	*outbox.Listing
	store *Store
}

// waiting lists what is pending. A place is when an entry was accepted, or requeued, and its id; both excluded.
func (r *deliveryReader) waiting(ctx context.Context, place string) (string, bool, error) {
	if !r.Query.Wants(outbox.StatePending, outbox.StateRetrying) {
		return "", false, nil
	}
	rows := maxRows
	if r.Query.Bodies {
		rows = maxBodies
	}
	for range maxScripts {
		entries, err := r.store.waiting(ctx, place, r.Query.Notification, rows)
		if err != nil {
			return "", false, err
		}
		found, err := r.store.stand(ctx, entries, r.Query.Bodies)
		if err != nil {
			return "", false, err
		}
		for i, d := range found {
			if d.ID != "" && !r.Add(d) {
				return place, true, nil
			}
			place = entries[i].place
		}
		if len(entries) < rows {
			return "", false, nil
		}
	}
	return place, true, nil
}

// dead lists the dead letters.
func (r *deliveryReader) dead(ctx context.Context, place string) (string, bool, error) {
	if !r.Query.Wants(outbox.StateFailed) {
		return "", false, nil
	}
	return r.store.scanDead(ctx, place, r.Query.Notification, r.Query.Bodies, func(d *deadLetter) bool {
		row := d.delivery()
		if r.Query.Bodies {
			row.Body = d.body
		}
		return r.Add(row)
	})
}

// ended lists what the history says has ended and is no dead letter.
func (r *deliveryReader) ended(ctx context.Context, place string) (string, bool, error) {
	if !r.Query.Wants(outbox.StateSent, outbox.StateMerged, outbox.StateFailed) {
		return "", false, nil
	}
	q := outbox.HistoryQuery{
		Notification: r.Query.Notification, Integration: r.Query.Integration, Since: r.Query.Since, Until: r.Query.Until,
		Types: []outbox.EventType{outbox.EventSent, outbox.EventMerged, outbox.EventDropped}, Cursor: place,
	}
	for range maxScripts {
		most := r.Query.Length() - len(r.Rows)
		if most == 0 {
			break
		}
		events, cursor, err := r.store.scanHistory(ctx, q, most)
		if err != nil {
			return "", false, err
		}
		for _, e := range events {
			if e.Type != outbox.EventSent || e.Part >= e.Parts {
				r.Add(e.Ended())
			}
		}
		if q.Cursor = cursor; cursor == "" {
			return "", false, nil
		}
	}
	return q.Cursor, true, nil
}

// A waitingEntry is one that is pending, and its place in the list of them.
type waitingEntry struct {
	id, place string
	about     about
}

// waiting lists what is pending behind a place, newest accepted first; of one webhook, when it is given.
func (s *Store) waiting(ctx context.Context, place, notification string, most int) ([]waitingEntry, error) {
	score, id := "+inf", ""
	if place != "" {
		var found bool
		score, id, found = strings.Cut(place, ".")
		if _, err := strconv.ParseInt(score, 10, 64); err != nil || !found || id == "" {
			return nil, fmt.Errorf("%q is %w", place, outbox.ErrCursor)
		}
	}
	answer, err := s.run(ctx, s.scripts.waiting, false, []any{most, score, id, notification})
	if err != nil {
		return nil, err
	}
	rows, ok := list(answer, 0)
	if !ok {
		return nil, unexpected(s.scripts.waiting)
	}
	entries := make([]waitingEntry, len(rows))
	for i, v := range rows {
		row, ok := list(v, 3)
		if !ok {
			return nil, unexpected(s.scripts.waiting)
		}
		entries[i] = waitingEntry{id: text(row[0]), place: text(row[1]) + "." + text(row[0])}
		// What is damaged stands in no lane that is known: a claim finds it, and puts it aside.
		entries[i].about, _ = decodeAbout(text(row[2]))
	}
	return entries, nil
}

// stand tells how pending entries stand, each at its index; what is pending no more is empty.
func (s *Store) stand(ctx context.Context, entries []waitingEntry, bodies bool) ([]outbox.Delivery, error) {
	s.mu.Lock()
	config := s.config
	s.mu.Unlock()
	args := []any{flag(bodies), ""}
	if config != nil {
		if err := s.bind(ctx, config); err != nil {
			return nil, err
		}
		args[1] = config.id
	}
	for _, e := range entries {
		args = append(args, keyOf(e.about.lane.Key()), e.id)
	}
	answer, err := s.run(ctx, s.scripts.standing, false, args)
	if err != nil {
		return nil, err
	}
	rows, ok := list(answer, len(entries))
	if !ok {
		return nil, unexpected(s.scripts.standing)
	}
	found := make([]outbox.Delivery, len(entries))
	for i, e := range entries {
		row, ok := list(rows[i], 7)
		if !ok {
			continue
		}
		found[i] = outbox.Delivery{
			ID: e.id, Notification: webhookOf(e.id), State: outbox.StatePending, Lane: e.about.lane, Status: e.about.status,
			Alerts: e.about.alerts, At: e.about.receivedAt, Requeued: fromMicros(text(row[0])), Since: fromMicros(text(row[1])),
			Attempts: number(row[2]), Detail: text(row[4]), Next: fromMicros(text(row[5])),
		}
		if found[i].Reason = relay.Kind(text(row[3])); found[i].Reason != "" {
			found[i].State = outbox.StateRetrying
		}
		if bodies {
			found[i].Body = []byte(text(row[6]))
		}
	}
	return found, nil
}
