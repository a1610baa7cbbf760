package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/webhook"
)

var _ webhook.Operations = operations{}

// operations show the API what the store knows, and carry out what an operator decides.
type operations struct {
	store outbox.Operations
	wake  func()
}

// Notifications implements webhook.Operations.
func (o operations) Notifications(
	ctx context.Context, q webhook.NotificationQuery,
) ([]webhook.Notification, string, error) {
	found, next, err := o.store.Notifications(ctx, outbox.NotificationQuery{
		Page: outbox.Page(q.Page), Receiver: q.Receiver, GroupKey: q.GroupKey, Status: q.Status, Since: q.Since, Until: q.Until,
	})
	return rows(found, notification), next, operationError(err)
}

// Notification implements webhook.Operations.
func (o operations) Notification(ctx context.Context, id string) (webhook.NotificationDetail, error) {
	n, detail, err := o.store.Notification(ctx, id)
	if err != nil {
		return webhook.NotificationDetail{}, operationError(err)
	}
	d := webhook.NotificationDetail{
		Notification: notification(n), Deliveries: rows(detail.Deliveries, delivery), Events: rows(detail.Events, event),
	}
	for _, part := range detail.Parts {
		if json.Valid(part) { // else it is damaged
			d.Stored = append(d.Stored, part)
		}
	}
	return d, nil
}

// Deliveries implements webhook.Operations.
func (o operations) Deliveries(ctx context.Context, q webhook.DeliveryQuery) ([]webhook.Delivery, string, error) {
	query := outbox.DeliveryQuery{Page: outbox.Page(q.Page), Filter: filter(q.Filter)}
	for _, state := range q.States {
		query.States = append(query.States, outbox.DeliveryState(state))
	}
	found, next, err := o.store.Deliveries(ctx, query)
	return rows(found, delivery), next, operationError(err)
}

// DeadLetters implements webhook.Operations.
func (o operations) DeadLetters(
	ctx context.Context, q webhook.DeadLetterQuery,
) ([]webhook.DeadLetter, string, error) {
	found, next, err := o.store.DeadLetters(ctx, outbox.DeadLetterQuery{
		Page: outbox.Page(q.Page), Filter: filter(q.Filter), Reason: relay.Kind(q.Reason),
	})
	return rows(found, deadLetter), next, operationError(err)
}

// Requeue implements webhook.Operations.
func (o operations) Requeue(ctx context.Context, ids []string, force bool) ([]webhook.Decision, error) {
	decisions, err := o.store.Requeue(ctx, outbox.RequeueRequest{IDs: ids, Force: force})
	if err == nil {
		o.wake()
	}
	return rows(decisions, decision), operationError(err)
}

// Drop implements webhook.Operations.
func (o operations) Drop(ctx context.Context, ids []string) ([]webhook.Decision, error) {
	decisions, err := o.store.Drop(ctx, ids)
	return rows(decisions, decision), operationError(err)
}

// operationError gives the errors that are the caller's affair the names of the API.
func operationError(err error) error {
	for known, name := range map[error]error{
		outbox.ErrCursor: webhook.ErrBadCursor, outbox.ErrNotFound: webhook.ErrNotFound, outbox.ErrFull: webhook.ErrFull,
	} {
		if errors.Is(err, known) {
			return fmt.Errorf("%w: %w", name, err)
		}
	}
	return err
}

func rows[A, B any](from []A, row func(A) B) []B {
	to := make([]B, len(from))
	for i, a := range from {
		to[i] = row(a)
	}
	return to
}

func filter(f webhook.Filter) outbox.Filter {
	return outbox.Filter{
		Receiver: f.Receiver, Integration: relay.IntegrationID(f.Integration), Destination: f.Destination,
		GroupKey: f.GroupKey, Notification: f.Notification, Since: f.Since, Until: f.Until,
	}
}

func notification(n outbox.Notification) webhook.Notification { return webhook.Notification(n) }

func delivery(d outbox.Delivery) webhook.Delivery {
	return webhook.Delivery{
		ID: d.ID, Notification: d.Notification, State: string(d.State), Integration: string(d.Lane.Integration),
		Destination: d.Lane.Destination, Room: d.Lane.Room, GroupKey: d.Lane.GroupKey, Receiver: d.Lane.Receiver,
		Status: d.Status, Alerts: d.Alerts, At: d.At, Attempts: d.Attempts, Reason: d.Reason, Detail: d.Detail,
		NextTry: d.Next, RequeuedAt: d.Requeued,
	}
}

func deadLetter(d outbox.DeadLetter) webhook.DeadLetter {
	return webhook.DeadLetter{
		ID: d.ID, Notification: d.Notification, Integration: string(d.Lane.Integration), Destination: d.Lane.Destination,
		Room: d.Lane.Room, GroupKey: d.Lane.GroupKey, Receiver: d.Lane.Receiver, Status: d.Status, Alerts: d.Alerts,
		ReceivedAt: d.ReceivedAt, FailedAt: d.FailedAt, Attempts: d.Attempt, Reason: d.Reason, Detail: d.Detail,
	}
}

func event(e outbox.Event) webhook.Event {
	return webhook.Event{
		At: e.At, Type: string(e.Type), Entry: e.Entry, Integration: string(e.Integration), Destination: e.Destination,
		Room: e.Room, Attempt: e.Attempt, Part: e.Part, Parts: e.Parts, Reason: e.Reason, Detail: e.Detail,
		Fallback: e.Fallback, DurationSeconds: e.Duration.Seconds(), Text: e.Text,
	}
}

func decision(d outbox.Decision) webhook.Decision {
	return webhook.Decision{ID: d.ID, Reason: string(d.Refusal), Text: refusalText(d.Refusal)}
}

// refusalText says what a refusal means and what can be done.
func refusalText(r outbox.Refusal) string {
	switch r {
	case "":
		return ""
	case outbox.RefusedNotFound:
		return "there is no such dead letter, or not any more"
	case outbox.RefusedDamaged:
		return "what was stored of it cannot be read"
	case outbox.RefusedNewerSent:
		return "newer news of its group was delivered to this destination meanwhile; force sends it all the same"
	case outbox.RefusedNewerPending:
		return "newer news of its group is waiting for this destination; force sends it all the same, after that"
	case outbox.RefusedForgotten:
		return "it is so old that the relay does not know what was delivered since; force sends it all the same"
	}
	return string(r)
}
