package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
	"go.etcd.io/bbolt"

	"github.com/alertrelay/relay/outbox"
)

// Notifications implements outbox.Operations. It reads the history backwards.
func (s *Store) Notifications(ctx context.Context, q outbox.NotificationQuery) ([]outbox.Notification, string, error) {
	from, err := parsePlace(q.Cursor)
	if err != nil {
		return nil, "", err
	}
	var found []outbox.Notification
	next := ""
	err = s.db.View(func(tx *bbolt.Tx) error {
		at, err := scanHistory(ctx, tx, from, outbox.HistoryQuery{
			Types: []outbox.EventType{outbox.EventAccepted}, Since: q.Since, Until: q.Until,
		}, func(e outbox.Event) bool {
			if q.Receiver != "" && q.Receiver != e.Receiver || q.GroupKey != "" && q.GroupKey != e.GroupKey ||
				q.Status != "" && q.Status != e.Status {
				return true
			}
			if len(found) == q.Length() {
				return false
			}
			found = append(found, notificationOf(e))
			return true
		})
		if at != (cursor{}) {
			next = at.String()
		}
		return err
	})
	if err != nil {
		return nil, "", operationError("notifications", err)
	}
	return found, next, nil
}

func notificationOf(e outbox.Event) outbox.Notification {
	return outbox.Notification{
		ID: e.Notification, ReceivedAt: e.At, GroupKey: e.GroupKey, Receiver: e.Receiver, Status: e.Status,
		Alerts: e.Alerts, Entries: e.Entries,
	}
}

// Notification implements outbox.Operations. The history is read no further back than the id is old.
func (s *Store) Notification(
	ctx context.Context, id string,
) (outbox.Notification, outbox.NotificationDetail, error) {
	var n outbox.Notification
	var detail outbox.NotificationDetail
	if id == "" {
		return n, detail, fmt.Errorf("notification %q: %w", id, outbox.ErrNotFound)
	}
	err := s.db.View(func(tx *bbolt.Tx) error {
		events, err := s.eventsOf(ctx, tx, id)
		if err != nil {
			return err
		}
		for _, e := range slices.Backward(events) {
			if e.Type == outbox.EventAccepted {
				n = notificationOf(e)
			}
			if e.Type == outbox.EventMerged || e.Type == outbox.EventDropped || e.Type == outbox.EventSent && e.Part >= e.Parts {
				detail.Deliveries = append(detail.Deliveries, e.Ended())
			}
		}
		detail.Events = events
		slices.Reverse(detail.Events)
		return s.stillStored(ctx, tx, id, &n, &detail)
	})
	switch {
	case err != nil:
		return n, outbox.NotificationDetail{}, operationError("notification", err)
	case n.ID == "" && len(detail.Events) == 0:
		return n, outbox.NotificationDetail{}, fmt.Errorf("notification %q: %w", id, outbox.ErrNotFound)
	}
	n.ID = id
	s.addHolds(detail.Deliveries)
	return n, detail, nil
}

// eventsOf are the newest events of a webhook, newest first.
func (s *Store) eventsOf(ctx context.Context, tx *bbolt.Tx, id string) ([]outbox.Event, error) {
	q := outbox.HistoryQuery{Notification: id}
	if at, err := ulid.ParseStrict(id); err == nil {
		q.Since = at.Timestamp().Add(-time.Minute) // clocks may differ
	}
	var events []outbox.Event
	var from cursor
	for {
		next, err := scanHistory(ctx, tx, from, q, func(e outbox.Event) bool {
			full := len(events) == outbox.MaxEvents
			if !full {
				events = append(events, e)
			}
			return !full
		})
		if err != nil || next == (cursor{}) || len(events) == outbox.MaxEvents {
			return events, err
		}
		from = next
	}
}

// stillStored adds what is pending of a webhook and its dead letters, and what they would tell.
func (s *Store) stillStored(
	ctx context.Context, tx *bbolt.Tx, id string, n *outbox.Notification, detail *outbox.NotificationDetail,
) error {
	add := func(d outbox.Delivery, receivedAt time.Time, part []byte) {
		if n.ID == "" { // the history has forgotten it
			*n = outbox.Notification{
				ID: id, ReceivedAt: receivedAt, GroupKey: d.Lane.GroupKey, Receiver: d.Lane.Receiver, Status: d.Status,
				Alerts: d.Alerts,
			}
		}
		detail.Deliveries = append(detail.Deliveries, d)
		if !slices.ContainsFunc(detail.Parts, func(p []byte) bool { return bytes.Equal(p, part) }) {
			detail.Parts = append(detail.Parts, bytes.Clone(part))
		}
	}
	t := openTables(tx)
	for _, seq := range s.pendingOf(id) {
		v := t.webhooks.Get(key(seq))
		if v == nil {
			continue // it has ended meanwhile
		}
		rows, err := waitingOf(&t, key(seq), v)
		if err != nil {
			return err
		}
		for i, row := range rows {
			if row.ID == "" {
				continue
			}
			_, part, err := decodeEntry(v, i)
			if err != nil {
				return err
			}
			add(row, row.At, part)
		}
	}
	_, _, err := s.scanDead(ctx, tx, "", id, func(d *deadRecord) bool {
		if d.event.Notification == id {
			add(d.delivery(), d.receivedAt, d.body)
		}
		return true
	})
	return err
}

// pendingOf are the numbers of the records of a webhook: one, and one more for each entry requeued.
func (s *Store) pendingOf(id string) []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var seqs []uint64
	for place := s.order.Front(); place != nil; place = place.Next() {
		if r := place.Value.(*record); r.id == id {
			seqs = append(seqs, r.seq)
		}
	}
	return seqs
}

// operationError wraps an error of the file; what the caller asked for wrongly stays as it is.
func operationError(operation string, err error) error {
	if errors.Is(err, outbox.ErrCursor) || errors.Is(err, outbox.ErrNotFound) {
		return fmt.Errorf("%s: %w", operation, err)
	}
	return unavailable(operation, err)
}
