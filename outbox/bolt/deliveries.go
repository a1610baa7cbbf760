package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/alertrelay/relay/outbox"
)

// The three parts of the list of deliveries, in order; a cursor begins with the letter of its part.
const (
	partWaiting = "w"
	partDead    = "d"
	partEnded   = "e"
)

// Deliveries implements outbox.Operations: it reads the pending webhooks, the dead letters and the history, one after
// another, each backwards.
func (s *Store) Deliveries(ctx context.Context, q outbox.DeliveryQuery) ([]outbox.Delivery, string, error) {
	part, place, found := strings.Cut(q.Cursor, ".")
	if q.Cursor == "" {
		part, found = partWaiting, true
	}
	l := deliveryList{store: s, query: q}
	parts := []string{partWaiting, partDead, partEnded}
	first := slices.Index(parts, part)
	if first < 0 || !found {
		return nil, "", fmt.Errorf("%w: %q", outbox.ErrCursor, q.Cursor)
	}
	next := ""
	err := s.db.View(func(tx *bbolt.Tx) error {
		read := map[string]func(context.Context, *bbolt.Tx, string) (string, bool, error){
			partWaiting: l.waiting, partDead: l.dead, partEnded: l.ended,
		}
		for _, part := range parts[first:] {
			at, more, err := read[part](ctx, tx, place)
			if err != nil {
				return err
			}
			if more {
				next = part + "." + at
				return nil
			}
			place = ""
		}
		return nil
	})
	if err != nil {
		return nil, "", operationError("deliveries", err)
	}
	s.addHolds(l.rows)
	return l.rows, next, nil
}

// A deliveryList gathers one page. Its parts take the place to go on from, and return the next one and whether there is
// more of them.
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

// waiting lists what is pending. A place is the number of a webhook and the position of an entry in it, both excluded.
func (l *deliveryList) waiting(ctx context.Context, tx *bbolt.Tx, place string) (string, bool, error) {
	if !l.query.Wants(outbox.StatePending, outbox.StateRetrying) {
		return "", false, nil
	}
	from, err := parsePlace(place)
	if err != nil {
		return "", false, err
	}
	t := openTables(tx)
	c := t.webhooks.Cursor()
	seen := 0
	for k, v := from.seek(c); k != nil; k, v = c.Prev() {
		seq := binary.BigEndian.Uint64(k)
		if seen++; seen > maxScan || ctx.Err() != nil {
			return cursor{seq + 1, 0}.String(), true, context.Cause(ctx)
		}
		id := idOf(v)
		if l.query.Notification != "" && l.query.Notification != id {
			continue
		}
		rows, err := waitingOf(&t, k, v)
		if err != nil {
			continue // a claim finds it, and puts it aside as undecodable
		}
		for i, row := range slices.Backward(rows) {
			if seq == from.seq && i >= from.index || row.ID == "" {
				continue
			}
			if l.query.Bodies {
				_, body, err := decodeEntry(v, i)
				if err != nil {
					continue
				}
				row.Body = bytes.Clone(body)
			}
			if !l.add(row) {
				return cursor{seq, i + 1}.String(), true, nil
			}
		}
	}
	return "", false, nil
}

// dead lists the dead letters.
func (l *deliveryList) dead(ctx context.Context, tx *bbolt.Tx, place string) (string, bool, error) {
	if !l.query.Wants(outbox.StateFailed) {
		return "", false, nil
	}
	return l.store.scanDead(ctx, tx, place, l.query.Notification, func(d *deadRecord) bool {
		row := d.delivery()
		if l.query.Bodies {
			row.Body = bytes.Clone(d.body)
		}
		return l.add(row)
	})
}

// ended lists what the history says has ended and is no dead letter.
func (l *deliveryList) ended(ctx context.Context, tx *bbolt.Tx, place string) (string, bool, error) {
	if !l.query.Wants(outbox.StateSent, outbox.StateMerged, outbox.StateFailed) {
		return "", false, nil
	}
	from, err := parsePlace(place)
	if err != nil {
		return "", false, err
	}
	next, err := scanHistory(ctx, tx, from, outbox.HistoryQuery{
		Notification: l.query.Notification, Integration: l.query.Integration, Since: l.query.Since, Until: l.query.Until,
		Types: []outbox.EventType{outbox.EventSent, outbox.EventMerged, outbox.EventDropped},
	}, func(e outbox.Event) bool {
		return e.Type == outbox.EventSent && e.Part < e.Parts || l.add(e.Ended())
	})
	if err != nil || next == (cursor{}) {
		return "", false, err
	}
	return next.String(), true, nil
}

// waitingOf are the deliveries of a pending webhook, by position; those that have ended are empty.
func waitingOf(t *tables, k, v []byte) ([]outbox.Delivery, error) {
	d := &decoder{rest: v}
	r, entries := decodeRecord(d)
	if d.bad {
		return nil, fmt.Errorf("webhook %x: %w", k, errCorrupt)
	}
	r.seq = binary.BigEndian.Uint64(k)
	rows := make([]outbox.Delivery, len(entries))
	for i, se := range entries {
		e := &entry{record: r, number: se.number, position: i}
		row := outbox.Delivery{
			ID: e.id(), Notification: r.id, State: outbox.StatePending, Lane: se.lane, Status: r.status, Alerts: r.alerts,
			At: fromNanos(r.receivedAt), Requeued: fromNanos(r.requeued), Since: fromNanos(r.fold.since),
		}
		if value := t.progress.Get(progressKey(e)); value != nil {
			p, err := decodeProgress(value)
			if err != nil {
				return nil, fmt.Errorf("progress of %s: %w", e.id(), err)
			}
			if p.done {
				continue
			}
			row.Attempts, row.Reason, row.Detail, row.Next = p.attempt, p.reason, p.detail, p.due
			if p.reason != "" {
				row.State = outbox.StateRetrying
			}
		}
		rows[i] = row
	}
	return rows, nil
}

func (d *deadRecord) delivery() outbox.Delivery {
	return outbox.Delivery{
		ID: d.id, Notification: d.event.Notification, State: outbox.StateFailed, Lane: d.lane, Status: d.event.Status,
		Alerts: d.event.Alerts, At: d.event.At, Attempts: d.event.Attempt, Reason: d.event.Reason, Detail: d.event.Detail,
	}
}

// addHolds puts off what waits for a limiter that is held, and leaves out times that have come.
func (s *Store) addHolds(rows []outbox.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.options.Now()
	for i := range rows {
		d := &rows[i]
		if d.State != outbox.StatePending && d.State != outbox.StateRetrying {
			continue
		}
		if hold := s.schedule.HeldUntil(d.Lane.Key()); hold.After(d.Next) {
			d.Next = hold
		}
		if !d.Next.After(now) {
			d.Next = time.Time{}
		}
	}
}

// idOf reads the id that a record of a webhook begins with.
func idOf(record []byte) string {
	d := &decoder{rest: record}
	return d.text()
}

// parsePlace reads a place written as a cursor; an empty one is the beginning.
func parsePlace(place string) (cursor, error) {
	c, err := parseCursor(place)
	if err != nil {
		return cursor{}, fmt.Errorf("%w: %q", outbox.ErrCursor, place)
	}
	return c, nil
}
