package redis

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/alertrelay/relay/outbox"
)

// maxScan bounds the events that one script looks at, because nobody else is served meanwhile.
const maxScan = 2_000

// History implements outbox.Store. A cursor is the place of the last event seen.
func (s *Store) History(ctx context.Context, q outbox.HistoryQuery) ([]outbox.Event, string, error) {
	limit := cmp.Or(q.Limit, 100)
	var events []outbox.Event
	for {
		found, cursor, err := s.scanHistory(ctx, q, limit-len(events))
		if err != nil {
			return nil, "", fmt.Errorf("history: %w", err)
		}
		for _, f := range found {
			events = append(events, f.Event)
		}
		if q.Cursor = cursor; cursor == "" || len(events) >= limit {
			return events, cursor, nil
		}
	}
}

// A placed event knows its place in the history, the cursor of what comes after it.
type placed struct {
	outbox.Event
	place string
}

// scanHistory looks at a bounded part of the history. It returns at most so many events, and where to go on; empty at
// the end.
func (s *Store) scanHistory(ctx context.Context, q outbox.HistoryQuery, most int) ([]placed, string, error) {
	from := "+"
	if q.Cursor != "" {
		if !isPlace(q.Cursor) {
			return nil, "", fmt.Errorf("%q is %w", q.Cursor, outbox.ErrCursor)
		}
		from = "(" + q.Cursor
	}
	types, since, until := "", "", ""
	for _, t := range q.Types {
		types = cmp.Or(types, ",") + string(t) + ","
	}
	if !q.Since.IsZero() {
		since = micros(q.Since)
	}
	if !q.Until.IsZero() {
		until = micros(q.Until)
	}
	answer, err := s.run(ctx, s.scripts.history, false, []any{
		from, most, maxScan, q.Notification, string(q.Integration), types, since, until,
	})
	if err != nil {
		return nil, "", err
	}
	l, ok := list(answer, 2)
	if !ok {
		return nil, "", unexpected(s.scripts.history)
	}
	found, _ := l[1].([]any)
	events := make([]placed, 0, len(found))
	for _, v := range found {
		fields, ok := list(v, 7)
		if !ok {
			return nil, "", unexpected(s.scripts.history)
		}
		e, err := decodeEvent(fields)
		if err != nil {
			return nil, "", fmt.Errorf("%w: event %s: %w", outbox.ErrUnavailable, text(fields[0]), err)
		}
		if q.Integration == "" || q.Integration == e.Integration {
			events = append(events, e)
		}
	}
	return events, text(l[0]), nil
}

var place = regexp.MustCompile(`^\d{1,20}-\d{1,20}$`)

func isPlace(cursor string) bool { return place.MatchString(cursor) }

// decodeEvent reads {place, type, time, id, n, about, outcome}.
func decodeEvent(fields []any) (placed, error) {
	a, err := decodeAbout(text(fields[5]))
	if err != nil {
		return placed{}, err
	}
	e := placed{place: text(fields[0]), Event: outbox.Event{
		Type: outbox.EventType(text(fields[1])), At: fromMicros(text(fields[2])),
		GroupKey: a.lane.GroupKey, Receiver: a.lane.Receiver, Status: a.status, Alerts: a.alerts,
	}}
	id, outcome := text(fields[3]), text(fields[6])
	switch e.Type {
	case outbox.EventAccepted:
		e.Notification, e.Entries = id, number(fields[4])
		return e, nil
	case outbox.EventDuplicate:
		e.Notification = id
		return e, nil
	case outbox.EventMerged:
		e.Attempt, e.Detail = number(fields[4]), outcome
	case outbox.EventSent, outbox.EventRetrying, outbox.EventFailed:
		e.Attempt = number(fields[4])
		err = decodeOutcome(outcome, &e.Event)
	case outbox.EventRequeued, outbox.EventDropped:
		var died outbox.Event
		err = decodeOutcome(outcome, &died)
		if e.Reason = died.Reason; number(fields[4]) == 1 {
			e.Detail = "forced"
		}
	}
	e.Entry, e.Notification = id, webhookOf(id)
	e.Integration, e.Destination, e.Room = a.lane.Integration, a.lane.Destination, a.lane.Room
	return e, err
}

// webhookOf is the webhook of an entry.
func webhookOf(entry string) string {
	if at := strings.LastIndexByte(entry, '-'); at >= 0 {
		return entry[:at]
	}
	return entry
}
