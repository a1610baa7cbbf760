package redis

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/alertrelay/relay/outbox"
)

var _ outbox.Operations = (*Store)(nil)

// Notifications implements outbox.Operations. It reads the history backwards.
func (s *Store) Notifications(ctx context.Context, q outbox.NotificationQuery) ([]outbox.Notification, string, error) {
	var found []outbox.Notification
	history := outbox.HistoryQuery{
		Types: []outbox.EventType{outbox.EventAccepted}, Since: q.Since, Until: q.Until, Cursor: q.Cursor,
	}
	for range maxScripts {
		events, cursor, err := s.scanHistory(ctx, history, q.Length()-len(found))
		if err != nil {
			return nil, "", fmt.Errorf("notifications: %w", err)
		}
		for _, e := range events {
			if (q.Receiver == "" || q.Receiver == e.Receiver) && (q.GroupKey == "" || q.GroupKey == e.GroupKey) &&
				(q.Status == "" || q.Status == e.Status) {
				found = append(found, notificationOf(e.Event))
			}
		}
		if history.Cursor = cursor; cursor == "" || len(found) == q.Length() {
			break
		}
	}
	return found, history.Cursor, nil
}

func notificationOf(e outbox.Event) outbox.Notification {
	return outbox.Notification{
		ID: e.Notification, ReceivedAt: e.At, GroupKey: e.GroupKey, Receiver: e.Receiver, Status: e.Status, Alerts: e.Alerts,
		Entries: e.Entries,
	}
}

// Notification implements outbox.Operations. The history is read no further back than the id is old.
func (s *Store) Notification(
	ctx context.Context, id string,
) (outbox.Notification, outbox.NotificationDetail, error) {
	var n outbox.Notification
	var detail outbox.NotificationDetail
	var err error
	if id != "" {
		if detail.Events, err = s.eventsOf(ctx, id); err == nil {
			err = s.stillStored(ctx, id, &n, &detail)
		}
	}
	if err != nil {
		return n, outbox.NotificationDetail{}, fmt.Errorf("notification: %w", err)
	}
	for _, e := range detail.Events {
		if e.Type == outbox.EventAccepted {
			n = notificationOf(e)
		}
		if e.Type == outbox.EventMerged || e.Type == outbox.EventDropped || e.Type == outbox.EventSent && e.Part >= e.Parts {
			detail.Deliveries = append(detail.Deliveries, e.Ended())
		}
	}
	if n.ID == "" && len(detail.Events) == 0 {
		return n, outbox.NotificationDetail{}, fmt.Errorf("notification %q: %w", id, outbox.ErrNotFound)
	}
	n.ID = id
	return n, detail, nil
}

// eventsOf are the newest events of a webhook, oldest first.
func (s *Store) eventsOf(ctx context.Context, id string) ([]outbox.Event, error) {
	q := outbox.HistoryQuery{Notification: id}
	if at, err := ulid.ParseStrict(id); err == nil {
		q.Since = at.Timestamp().Add(-time.Minute) // clocks may differ
	}
	var events []outbox.Event
	for {
		found, cursor, err := s.scanHistory(ctx, q, outbox.MaxEvents-len(events))
		if err != nil {
			return nil, err
		}
		for _, e := range found {
			events = append(events, e.Event)
		}
		if q.Cursor = cursor; cursor == "" || len(events) >= outbox.MaxEvents {
			slices.Reverse(events)
			return events, nil
		}
	}
}

// stillStored adds what is pending of a webhook and its dead letters, and what they would tell.
func (s *Store) stillStored(
	ctx context.Context, id string, n *outbox.Notification, detail *outbox.NotificationDetail,
) error {
	add := func(d outbox.Delivery, receivedAt time.Time, part []byte) {
		// The history may have forgotten it.
		*n = outbox.Notification{
			ID: id, ReceivedAt: receivedAt, GroupKey: d.Lane.GroupKey, Receiver: d.Lane.Receiver, Status: d.Status,
			Alerts: d.Alerts,
		}
		d.Body = nil
		detail.Deliveries = append(detail.Deliveries, d)
		if !slices.ContainsFunc(detail.Parts, func(p []byte) bool { return bytes.Equal(p, part) }) {
			detail.Parts = append(detail.Parts, part)
		}
	}
	for place := ""; ; {
		entries, err := s.waiting(ctx, place, id, maxBodies)
		if err != nil {
			return err
		}
		found, err := s.stand(ctx, entries, true)
		if err != nil {
			return err
		}
		for i, d := range found {
			if d.ID != "" {
				add(d, entries[i].about.receivedAt, d.Body)
			}
			place = entries[i].place
		}
		if len(entries) < maxBodies {
			break
		}
	}
	_, _, err := s.scanDead(ctx, "", id, true, func(d *deadLetter) bool {
		add(d.delivery(), d.ReceivedAt, d.body)
		return true
	})
	return err
}
