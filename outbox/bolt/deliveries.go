package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/alertrelay/relay/outbox"
)

// Deliveries implements outbox.Operations: it reads the pending webhooks, the dead letters and the history, one after
// another, each backwards.
func (s *Store) Deliveries(ctx context.Context, q outbox.DeliveryQuery) ([]outbox.Delivery, string, error) {
	var next string
	l := outbox.Listing{Query: q}
	err := s.db.View(func(tx *bbolt.Tx) error {
		r := deliveryReader{Listing: &l, store: s, tx: tx}
		var err error
		next, err = l.Read(ctx, r.waiting, r.dead, r.ended)
		return err
	})
	if err != nil {
		return nil, "", operationError("deliveries", err)
	}
	s.addHolds(l.Rows)
	return l.Rows, next, nil
}

// A deliveryReader adds rows to a listing.
type deliveryReader struct {
	*outbox.Listing
	store *Store
	tx    *bbolt.Tx
}

// waiting lists what is pending. A place is the number of a webhook and the position of an entry in it, both excluded.
func (r *deliveryReader) waiting(ctx context.Context, place string) (string, bool, error) {
	if !r.Query.Wants(outbox.StatePending, outbox.StateRetrying) {
		return "", false, nil
	}
	from, err := parsePlace(place)
	if err != nil {
		return "", false, err
	}
	t := openTables(r.tx)
	c := t.webhooks.Cursor()
	seen := 0
	for k, v := from.seek(c); k != nil; k, v = c.Prev() {
		seq := binary.BigEndian.Uint64(k)
		if seen++; seen > maxScan || ctx.Err() != nil {
			return cursor{seq + 1, 0}.String(), true, context.Cause(ctx)
		}
		id := idOf(v)
		if r.Query.Notification != "" && r.Query.Notification != id {
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
			if r.Query.Bodies {
				_, body, err := decodeEntry(v, i)
				if err != nil {
					continue
				}
				row.Body = bytes.Clone(body)
			}
			if !r.Add(row) {
				return cursor{seq, i + 1}.String(), true, nil
			}
		}
	}
	return "", false, nil
}

// dead lists the dead letters.
func (r *deliveryReader) dead(ctx context.Context, place string) (string, bool, error) {
	if !r.Query.Wants(outbox.StateFailed) {
		return "", false, nil
	}
	return r.store.scanDead(ctx, r.tx, place, r.Query.Notification, func(d *deadRecord) bool {
		row := d.delivery()
		if r.Query.Bodies {
			row.Body = bytes.Clone(d.body)
		}
		return r.Add(row)
	})
}

// ended lists what the history says has ended and is no dead letter.
func (r *deliveryReader) ended(ctx context.Context, place string) (string, bool, error) {
	if !r.Query.Wants(outbox.StateSent, outbox.StateMerged, outbox.StateFailed) {
		return "", false, nil
	}
	from, err := parsePlace(place)
	if err != nil {
		return "", false, err
	}
	next, err := scanHistory(ctx, r.tx, from, outbox.HistoryQuery{
		Notification: r.Query.Notification, Integration: r.Query.Integration, Since: r.Query.Since, Until: r.Query.Until,
		Types: []outbox.EventType{outbox.EventSent, outbox.EventMerged, outbox.EventDropped},
	}, func(e outbox.Event) bool {
		return e.Type == outbox.EventSent && e.Part < e.Parts || r.Add(e.Ended())
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
