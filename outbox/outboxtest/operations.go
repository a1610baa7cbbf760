package outboxtest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

var _ outbox.Operations = (*Memory)(nil)

// forgetAfter is how long a real store remembers what was told in a lane.
const forgetAfter = 7 * 24 * time.Hour

// DeadLetters implements outbox.Operations.
func (m *Memory) DeadLetters(
	ctx context.Context, q outbox.DeadLetterQuery,
) ([]outbox.DeadLetter, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ended(ctx); err != nil {
		return nil, "", err
	}
	var all []outbox.DeadLetter
	for _, d := range m.sortedDead() {
		if (q.Cursor == "" || d.ID < q.Cursor) && q.Matches(d.lane, d.webhook.ID, d.event.At) &&
			(q.Reason == "" || q.Reason == d.event.Reason) {
			all = append(all, outbox.DeadLetter{
				ID: d.ID, Notification: d.webhook.ID, Lane: d.lane, Status: d.webhook.Status, Alerts: d.webhook.Alerts,
				ReceivedAt: d.At, FailedAt: d.event.At, Attempt: d.event.Attempt, Reason: d.event.Reason, Detail: d.event.Detail,
			})
		}
	}
	if len(all) <= q.Length() {
		return all, "", nil
	}
	return all[:q.Length()], all[q.Length()-1].ID, nil
}

// Requeue implements outbox.Operations.
func (m *Memory) Requeue(ctx context.Context, r outbox.RequeueRequest) ([]outbox.Decision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ended(ctx); err != nil {
		return nil, err
	}
	decisions := make([]outbox.Decision, len(r.IDs))
	var requeued []deadLetter
	for i, id := range r.IDs {
		decisions[i] = outbox.Decision{ID: id, Refusal: outbox.RefusedNotFound}
		at := m.deadAt(id)
		if at < 0 || slices.Contains(r.IDs[:i], id) {
			continue
		}
		d := m.dead[at]
		l := m.lane(d.lane)
		decisions[i].Refusal = ""
		switch {
		case r.Force:
		case l.newest.After(d.At):
			decisions[i].Refusal = outbox.RefusedNewerSent
		case slices.ContainsFunc(l.items, func(it item) bool { return it.At.After(d.At) }):
			decisions[i].Refusal = outbox.RefusedNewerPending
		case m.now().Sub(d.event.At) > forgetAfter:
			decisions[i].Refusal = outbox.RefusedForgotten
		}
		if decisions[i].Refusal == "" {
			requeued = append(requeued, d)
		}
	}
	slices.SortFunc(requeued, func(a, b deadLetter) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	for _, d := range requeued {
		event := happened(d, outbox.EventRequeued)
		if r.Force {
			event.Detail = "forced"
		}
		m.record(event)
		at := m.deadAt(d.ID)
		m.dead = slices.Delete(m.dead, at, at+1)
		l := m.lane(d.lane)
		if len(l.items) == 0 {
			l.due = m.now()
		}
		d.Requeued = m.now()
		l.items = append(l.items, d.item)
		m.miss(l.id.Integration)
	}
	return decisions, nil
}

// Drop implements outbox.Operations.
func (m *Memory) Drop(ctx context.Context, ids []string) ([]outbox.Decision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ended(ctx); err != nil {
		return nil, err
	}
	decisions := make([]outbox.Decision, len(ids))
	for i, id := range ids {
		decisions[i] = outbox.Decision{ID: id, Refusal: outbox.RefusedNotFound}
		if at := m.deadAt(id); at >= 0 {
			m.record(happened(m.dead[at], outbox.EventDropped))
			m.dead = slices.Delete(m.dead, at, at+1)
			decisions[i].Refusal = ""
		}
	}
	return decisions, nil
}

// Deliveries implements outbox.Operations. Its cursor is how many rows of all there are were seen, so that it holds only
// while nothing changes.
func (m *Memory) Deliveries(ctx context.Context, q outbox.DeliveryQuery) ([]outbox.Delivery, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ended(ctx); err != nil {
		return nil, "", err
	}
	rows := slices.DeleteFunc(m.deliveries(), func(d outbox.Delivery) bool {
		return !q.Wants(d.State) || !q.Matches(d.Lane, d.Notification, d.At)
	})
	for i := range rows {
		if !q.Bodies {
			rows[i].Body = nil
		}
	}
	return page(rows, q.Page)
}

// Notifications implements outbox.Operations.
func (m *Memory) Notifications(
	ctx context.Context, q outbox.NotificationQuery,
) ([]outbox.Notification, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ended(ctx); err != nil {
		return nil, "", err
	}
	var all []outbox.Notification
	for _, e := range slices.Backward(m.history) {
		if e.Type == outbox.EventAccepted && (q.Receiver == "" || q.Receiver == e.Receiver) &&
			(q.GroupKey == "" || q.GroupKey == e.GroupKey) && (q.Status == "" || q.Status == e.Status) &&
			(q.Since.IsZero() || !e.At.Before(q.Since)) && (q.Until.IsZero() || e.At.Before(q.Until)) {
			all = append(all, accepted(e))
		}
	}
	return page(all, q.Page)
}

// Notification implements outbox.Operations.
func (m *Memory) Notification(
	ctx context.Context, id string,
) (outbox.Notification, outbox.NotificationDetail, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ended(ctx); err != nil {
		return outbox.Notification{}, outbox.NotificationDetail{}, err
	}
	n := outbox.Notification{}
	var detail outbox.NotificationDetail
	for _, e := range m.history {
		if id != "" && e.Notification == id {
			detail.Events = append(detail.Events, e)
			if e.Type == outbox.EventAccepted {
				n = accepted(e)
			}
		}
	}
	if len(detail.Events) == 0 {
		return n, detail, fmt.Errorf("notification %q: %w", id, outbox.ErrNotFound)
	}
	detail.Deliveries = slices.DeleteFunc(m.deliveries(), func(d outbox.Delivery) bool { return d.Notification != id })
	for i := range detail.Deliveries {
		detail.Deliveries[i].Body = nil
	}
	add := func(it item) {
		if it.webhook.ID == id && !slices.ContainsFunc(detail.Parts, func(p []byte) bool {
			return string(p) == string(it.Notification)
		}) {
			detail.Parts = append(detail.Parts, it.Notification)
		}
	}
	for _, l := range m.lanes {
		for _, it := range l.items {
			add(it)
		}
	}
	for _, d := range m.dead {
		add(d.item)
	}
	return n, detail, nil
}

func accepted(e outbox.Event) outbox.Notification {
	return outbox.Notification{
		ID: e.Notification, ReceivedAt: e.At, GroupKey: e.GroupKey, Receiver: e.Receiver, Status: e.Status,
		Alerts: e.Alerts, Entries: e.Entries,
	}
}

func happened(d deadLetter, t outbox.EventType) outbox.Event {
	e := d.event
	e.Type, e.Attempt, e.Part, e.Parts, e.Detail, e.Fallback, e.Duration, e.Text = t, 0, 0, 0, "", "", 0, ""
	return e
}

func (m *Memory) deadAt(id string) int {
	return slices.IndexFunc(m.dead, func(d deadLetter) bool { return d.ID == id })
}

func (m *Memory) sortedDead() []deadLetter {
	sorted := slices.Clone(m.dead)
	slices.SortFunc(sorted, func(a, b deadLetter) int { return cmp.Compare(b.ID, a.ID) })
	return sorted
}

// deliveries are all rows, in order.
func (m *Memory) deliveries() []outbox.Delivery {
	var rows []outbox.Delivery
	for _, l := range m.lanes {
		for i, it := range l.items {
			row := outbox.Delivery{
				ID: it.ID, Notification: it.webhook.ID, State: outbox.StatePending, Lane: l.id, Status: it.webhook.Status,
				Alerts: it.webhook.Alerts, At: it.At, Requeued: it.Requeued, Since: it.Since, Body: it.Notification,
			}
			if i == 0 {
				row.Attempts, row.Next = l.attempt, l.due
				if row.Reason = l.failure.Reason; row.Reason != "" {
					row.State, row.Reason, row.Detail = outbox.StateRetrying, l.failure.Reason, l.failure.Detail
				}
			}
			if hold := m.heldUntil(m.limiters(l, l.items[0])); hold.After(row.Next) {
				row.Next = hold
			}
			if !row.Next.After(m.now()) {
				row.Next = time.Time{}
			}
			rows = append(rows, row)
		}
	}
	slices.SortStableFunc(rows, func(a, b outbox.Delivery) int {
		return cmp.Or(later(b.At, b.Requeued).Compare(later(a.At, a.Requeued)), cmp.Compare(b.ID, a.ID))
	})
	for _, d := range m.sortedDead() {
		rows = append(rows, outbox.Delivery{
			ID: d.ID, Notification: d.webhook.ID, State: outbox.StateFailed, Lane: d.lane, Status: d.webhook.Status,
			Alerts: d.webhook.Alerts, At: d.event.At, Attempts: d.event.Attempt, Reason: d.event.Reason, Detail: d.event.Detail,
			Body: d.Notification,
		})
	}
	states := map[outbox.EventType]outbox.DeliveryState{
		outbox.EventSent: outbox.StateSent, outbox.EventMerged: outbox.StateMerged, outbox.EventDropped: outbox.StateFailed,
	}
	for _, e := range slices.Backward(m.history) {
		if state, ends := states[e.Type]; ends && (e.Type != outbox.EventSent || e.Part >= e.Parts) {
			rows = append(rows, outbox.Delivery{
				ID: e.Entry, Notification: e.Notification, State: state, Lane: outbox.Lane{
					Integration: e.Integration, Destination: e.Destination, GroupKey: e.GroupKey, Receiver: e.Receiver, Room: e.Room,
				},
				Status: e.Status, Alerts: e.Alerts, At: e.At, Attempts: e.Attempt, Reason: e.Reason, Detail: e.Detail,
			})
		}
	}
	return rows
}

func (m *Memory) heldUntil(limiters []relay.LimiterID) time.Time {
	first := m.holds[limiters[0]]
	for _, l := range limiters[1:] {
		if hold := m.holds[l]; hold.Before(first) {
			first = hold
		}
	}
	return first
}

// page cuts a list whose cursor is a number of rows.
func page[T any](rows []T, p outbox.Page) ([]T, string, error) {
	from := 0
	if p.Cursor != "" {
		var err error
		if from, err = strconv.Atoi(p.Cursor); err != nil || from < 0 || from > len(rows) {
			return nil, "", fmt.Errorf("%w: %q", outbox.ErrCursor, p.Cursor)
		}
	}
	rows = rows[from:]
	if len(rows) <= p.Length() {
		return rows, "", nil
	}
	return rows[:p.Length()], strconv.Itoa(from + p.Length()), nil
}
