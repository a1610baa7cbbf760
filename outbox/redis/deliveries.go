package redis

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

// The three parts of the list of deliveries, in order; a cursor begins with the letter of its part.
const (
	partWaiting = "w"
	partDead    = "d"
	partEnded   = "e"
)

// Deliveries implements outbox.Operations: it reads what is pending, the dead letters and the history, one after another.
// An entry that ends between two scripts is found in the part that comes later.
func (s *Store) Deliveries(ctx context.Context, q outbox.DeliveryQuery) ([]outbox.Delivery, string, error) {
	part, place, found := strings.Cut(q.Cursor, ".")
	if q.Cursor == "" {
		part, found = partWaiting, true
	}
	l := deliveryList{store: s, query: q}
	read := map[string]func(context.Context, string) (string, bool, error){
		partWaiting: l.waiting, partDead: l.dead, partEnded: l.ended,
	}
	parts := []string{partWaiting, partDead, partEnded}
	first := slices.Index(parts, part)
	if first < 0 || !found {
		return nil, "", fmt.Errorf("deliveries: %q is %w", q.Cursor, outbox.ErrCursor)
	}
	for _, part := range parts[first:] {
		next, more, err := read[part](ctx, place)
		if err != nil {
			return nil, "", fmt.Errorf("deliveries: %w", err)
		}
		if more {
			return l.rows, part + "." + next, nil
		}
		place = ""
	}
	return l.rows, "", nil
}

// A deliveryList gathers one page. Its parts take the place to go on from, and return the next one and whether there may
// be more of them.
type deliveryList struct {
	store *Store
	query outbox.DeliveryQuery
	rows  []outbox.Delivery
}

// add adds a row when it is asked for, and returns false when the page is full instead.
func (l *deliveryList) add(d outbox.Delivery) bool {
	if !l.query.Wants(d.State) || !l.query.Matches(d.Lane, d.Notification, d.At) {
		return true
	}
	if len(l.rows) == l.query.Length() {
		return false
	}
	l.rows = append(l.rows, d)
	return true
}

// waiting lists what is pending. A place is when an entry was received, or requeued, and its id; both excluded.
func (l *deliveryList) waiting(ctx context.Context, place string) (string, bool, error) {
	if !l.query.Wants(outbox.StatePending, outbox.StateRetrying) {
		return "", false, nil
	}
	rows := maxRows
	if l.query.Bodies {
		rows = maxBodies
	}
	for range maxScripts {
		entries, err := l.store.waiting(ctx, place, l.query.Notification, rows)
		if err != nil {
			return "", false, err
		}
		found, err := l.store.stand(ctx, entries, l.query.Bodies)
		if err != nil {
			return "", false, err
		}
		for i, d := range found {
			if d.ID != "" && !l.add(d) {
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
func (l *deliveryList) dead(ctx context.Context, place string) (string, bool, error) {
	if !l.query.Wants(outbox.StateFailed) {
		return "", false, nil
	}
	return l.store.scanDead(ctx, place, l.query.Notification, l.query.Bodies, func(d *deadLetter) bool {
		row := d.delivery()
		if l.query.Bodies {
			row.Body = d.body
		}
		return l.add(row)
	})
}

// ended lists what the history says has ended and is no dead letter.
func (l *deliveryList) ended(ctx context.Context, place string) (string, bool, error) {
	if !l.query.Wants(outbox.StateSent, outbox.StateMerged, outbox.StateFailed) {
		return "", false, nil
	}
	q := outbox.HistoryQuery{
		Notification: l.query.Notification, Integration: l.query.Integration, Since: l.query.Since, Until: l.query.Until,
		Types: []outbox.EventType{outbox.EventSent, outbox.EventMerged, outbox.EventDropped}, Cursor: place,
	}
	for range maxScripts {
		most := l.query.Length() - len(l.rows)
		if most == 0 {
			break
		}
		events, cursor, err := l.store.scanHistory(ctx, q, most)
		if err != nil {
			return "", false, err
		}
		for _, e := range events {
			if e.Type != outbox.EventSent || e.Part >= e.Parts {
				l.add(e.Ended())
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

// waiting lists what is pending behind a place, newest received first; of one webhook, when it is given.
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
