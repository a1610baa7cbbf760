package redis

import (
	"bytes"
	"context"
	"fmt"

	"github.com/alertrelay/relay/outbox"
)

const (
	// maxRows is how many rows one script returns; with their bodies, which may be long, it is fewer.
	maxRows, maxBodies = 200, 20
	// maxScripts bounds the scripts of one page.
	maxScripts = 200
)

// DeadLetters implements outbox.Operations. A cursor is the id of the last dead letter seen.
func (s *Store) DeadLetters(ctx context.Context, q outbox.DeadLetterQuery) ([]outbox.DeadLetter, string, error) {
	var letters []outbox.DeadLetter
	next, _, err := s.scanDead(ctx, q.Cursor, q.Notification, false, func(d *deadLetter) bool {
		if !q.Matches(d.Lane, d.Notification, d.FailedAt) || q.Reason != "" && q.Reason != d.Reason {
			return true
		}
		if len(letters) == q.Length() {
			return false
		}
		letters = append(letters, d.DeadLetter)
		return true
	})
	if err != nil {
		return nil, "", fmt.Errorf("dead letters: %w", err)
	}
	return letters, next, nil
}

// A deadLetter is one with what it would tell, if that was asked for.
type deadLetter struct {
	outbox.DeadLetter

	body []byte
}

// scanDead looks at the dead letters before the cursor, newest received first, until see returns false. It returns the
// cursor of those not seen, and whether there are any: from the beginning on, when it is empty.
func (s *Store) scanDead(
	ctx context.Context, before, notification string, bodies bool, see func(d *deadLetter) bool,
) (string, bool, error) {
	first, last, rows := "+", "-", maxRows
	if bodies {
		rows = maxBodies
	}
	if notification != "" { // its entries stand together, and "." is after "-"
		first, last = "("+notification+".", "("+notification+"-"
	}
	if before != "" {
		first = "(" + before
	}
	for range maxScripts {
		answer, err := s.run(ctx, s.scripts.dead, false, []any{
			s.options.DeadRetention.Microseconds(), rows, first, last, flag(bodies),
		})
		if err != nil {
			return "", false, err
		}
		found, ok := list(answer, 0)
		if !ok {
			return "", false, unexpected(s.scripts.dead)
		}
		for _, v := range found {
			fields, ok := list(v, 1)
			if !ok {
				return "", false, unexpected(s.scripts.dead)
			}
			// What is damaged hides nothing else; it goes with its time.
			if d, err := decodeDead(fields); err == nil && !see(&d) {
				return before, true, nil
			}
			before = text(fields[0])
		}
		if len(found) < rows {
			return "", false, nil
		}
		first = "(" + before
	}
	return before, true, nil
}

// decodeDead reads {id, when it failed, attempt, about, outcome, body}.
func decodeDead(fields []any) (deadLetter, error) {
	if len(fields) < 6 {
		return deadLetter{}, errDamaged
	}
	a, err := decodeAbout(text(fields[3]))
	if err != nil {
		return deadLetter{}, err
	}
	var ended outbox.Event
	if err := decodeOutcome(text(fields[4]), &ended); err != nil {
		return deadLetter{}, err
	}
	id := text(fields[0])
	return deadLetter{outbox.DeadLetter{
		ID: id, Notification: webhookOf(id), Lane: a.lane, Status: a.status, Alerts: a.alerts, ReceivedAt: a.receivedAt,
		FailedAt: fromMicros(text(fields[1])), Attempt: number(fields[2]), Reason: ended.Reason, Detail: ended.Detail,
	}, bytes.Clone([]byte(text(fields[5])))}, nil
}

func (d *deadLetter) delivery() outbox.Delivery {
	return outbox.Delivery{
		ID: d.ID, Notification: d.Notification, State: outbox.StateFailed, Lane: d.Lane, Status: d.Status, Alerts: d.Alerts,
		At: d.FailedAt, Attempts: d.Attempt, Reason: d.Reason, Detail: d.Detail,
	}
}
