package redis

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/redisdb"
	"github.com/alertrelay/relay/outbox"
)

// Recall implements outbox.Store. What is no duplicate and has no alert to keep from being forgotten needs no script.
func (s *Store) Recall(ctx context.Context, q outbox.Query) (outbox.Known, error) {
	mark, saved, err := s.peek(ctx, q)
	if err != nil {
		return outbox.Known{}, err
	}
	if !strings.HasPrefix(mark, string(q.State[:])) && !slices.ContainsFunc(saved, s.seenLongAgo) {
		return knownOf(q, saved)
	}
	args := make([]any, 0, 5+len(q.Alerts))
	args = append(args, keyOf(q.Slot), q.State[:], q.Window.Microseconds(), s.options.Retention.Milliseconds(),
		s.seenEvery().Microseconds())
	for _, k := range q.Alerts {
		args = append(args, alertKey(k))
	}
	answer, err := s.run(ctx, s.scripts.recall, true, args)
	if err != nil {
		return outbox.Known{}, err
	}
	l, ok := list(answer, 1)
	switch {
	case ok && number(l[0]) == 1 && len(l) == 2:
		return outbox.Known{Duplicate: true, ID: text(l[1])}, nil
	case !ok || len(l) != 1+len(q.Alerts):
		return outbox.Known{}, unexpected(s.scripts.recall)
	}
	return knownOf(q, l[1:])
}

// peek reads what was last accepted in a slot, and what is saved with alerts, nil for what was never seen.
func (s *Store) peek(ctx context.Context, q outbox.Query) (mark string, saved []any, err error) {
	args := make([]any, 0, 2+len(q.Alerts))
	args = append(args, "mget", s.prefix[0]+"mark:"+keyOf(q.Slot))
	for _, k := range q.Alerts {
		args = append(args, s.prefix[0]+"saved:"+alertKey(k))
	}
	answers, err := s.db.Do(ctx, []redisdb.Command{args})
	if err != nil {
		return "", nil, unavailable("recall", err)
	}
	switch values := answers[0].(type) {
	case error:
		return "", nil, unavailable("recall", s.db.Fault(ctx, values))
	case []any:
		return text(values[0]), values[1:], nil
	default:
		return "", nil, unavailable("recall", errAnswer)
	}
}

// seenLongAgo tells whether what is saved with an alert may soon be forgotten. As long as the server's clock is not known
// it may.
func (s *Store) seenLongAgo(saved any) bool {
	value, ok := saved.(string)
	if !ok {
		return false
	}
	now, known := s.clock.now(s.now())
	return !known || now.Sub(fromMicros(value[:min(len(value), savedTime)])) > s.seenEvery()
}

// savedTime is how many digits of a time what is saved begins with.
const savedTime = 16

// knownOf reads what is saved with the alerts of a query.
func knownOf(q outbox.Query, saved []any) (outbox.Known, error) {
	known := outbox.Known{Saved: map[relay.AlertKey]relay.Saved{}}
	for i, k := range q.Alerts {
		value, ok := saved[i].(string)
		if !ok {
			continue
		}
		var err error
		if known.Saved[k], err = decodeSaved(value[min(len(value), savedTime):]); err != nil {
			return outbox.Known{}, fmt.Errorf("%w: saved of %s: %w", outbox.ErrUnavailable, k.Fingerprint, err)
		}
	}
	return known, nil
}

// seenEvery is how exactly it is known when an alert was last seen: well below the retention, so that what goes on is
// never forgotten.
func (s *Store) seenEvery() time.Duration { return min(24*time.Hour, s.options.Retention/4) }

// Accept implements outbox.Store.
func (s *Store) Accept(ctx context.Context, w outbox.Webhook) (outbox.Accepted, error) {
	args, err := s.acceptance(&w)
	if err != nil {
		return outbox.Accepted{}, fmt.Errorf("%w: accept: %w", outbox.ErrUnavailable, err)
	}
	answer, err := s.run(ctx, s.scripts.accept, true, args)
	if err != nil {
		return outbox.Accepted{}, err
	}
	l, ok := list(answer, 1)
	switch {
	case ok && number(l[0]) == 0 && len(l) == 3:
		return outbox.Accepted{ID: text(l[1]), Entries: number(l[2])}, nil
	case ok && number(l[0]) == 1 && len(l) == 2:
		return outbox.Accepted{ID: text(l[1]), Duplicate: true}, nil
	case ok && number(l[0]) == 2:
		return outbox.Accepted{}, outbox.ErrFull
	default:
		return outbox.Accepted{}, unexpected(s.scripts.accept)
	}
}

// acceptance are the arguments of the script.
func (s *Store) acceptance(w *outbox.Webhook) ([]any, error) {
	reminder := 0
	if w.Reminder {
		reminder = 1
	}
	event := about{
		receivedAt: w.ReceivedAt, status: w.Status, alerts: w.Alerts,
		lane: outbox.Lane{GroupKey: w.GroupKey, Receiver: w.Receiver},
	}
	args := make([]any, 0, 16+2*len(w.Saved)+10*len(w.Entries))
	args = append(args, keyOf(w.Slot), w.State[:], w.Window.Microseconds(), w.ID, reminder, event.encode(),
		s.options.Retention.Milliseconds(), s.options.MaxPending, s.options.MaxBytes)
	args = append(args, len(w.Saved))
	for k, saved := range w.Saved {
		value, err := encodeSaved(saved)
		if err != nil {
			return nil, err
		}
		args = append(args, alertKey(k), value)
	}
	bodies := make([][]byte, 0, len(w.Entries))
	numbers := make([]int, len(w.Entries))
	for i := range w.Entries {
		body := w.Entries[i].Notification
		if numbers[i] = slices.IndexFunc(bodies, func(b []byte) bool { return bytes.Equal(b, body) }); numbers[i] < 0 {
			numbers[i] = len(bodies)
			bodies = append(bodies, body)
		}
	}
	args = append(args, len(bodies))
	for _, body := range bodies {
		args = append(args, body)
	}
	for i := range w.Entries {
		e := &w.Entries[i]
		q := queue{e.Lane.Integration, e.Limiters}
		entry := about{receivedAt: w.ReceivedAt, status: w.Status, alerts: w.Alerts, lane: e.Lane}
		silent := "0"
		if e.Silent {
			silent = "1"
		}
		tells := telling{destination: e.Destination, limiters: e.Limiters, told: e.Told}
		args = append(args, keyOf(e.Lane.Key()), q.key(), q.definition(), peer(e.Lane), e.State[:],
			strconv.Itoa(numbers[i]), entry.encode(), tells.encode(), silent)
	}
	return args, nil
}

// encodeSaved leaves an empty snapshot out.
func encodeSaved(saved relay.Saved) ([]byte, error) {
	var e encoder
	e.text(saved.Room)
	if saved.Snapshot.IsZero() {
		return e, nil
	}
	snapshot, err := json.Marshal(saved.Snapshot)
	if err != nil {
		return nil, fmt.Errorf("encode snapshot: %w", err)
	}
	return append(e, snapshot...), nil
}

func decodeSaved(value string) (relay.Saved, error) {
	d := &decoder{rest: value}
	saved := relay.Saved{Room: d.text()}
	if d.bad || d.rest == "" {
		return saved, d.err()
	}
	if err := json.Unmarshal([]byte(d.rest), &saved.Snapshot); err != nil {
		return relay.Saved{}, fmt.Errorf("decode snapshot: %w", err)
	}
	return saved, nil
}
