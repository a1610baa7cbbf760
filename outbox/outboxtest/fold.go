package outboxtest

import (
	"slices"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

// foldable is from where on the lane has more than 20 items that can be one; less than zero when it has not.
func (m *Memory) foldable(l *lane, c outbox.ClaimRequest) int {
	if c.Integrations[l.id.Integration].Backlog != relay.BacklogMerge || l.lease != nil || l.rigid {
		return -1
	}
	from := l.bound
	if from == 0 && (l.alone || l.crashes >= 3) {
		from = 1
	}
	for ; from+20 < len(l.items); from++ {
		if !slices.ContainsFunc(l.items[from:from+21], func(it item) bool {
			return !it.Requeued.IsZero() || !slices.Equal(it.entry.Limiters, l.items[from].entry.Limiters)
		}) {
			return from
		}
	}
	return -1
}

// fold leases 20 items of a lane to become one.
func (m *Memory) fold(l *lane, from int, nonce string, until time.Time) outbox.Batch {
	le := &lease{
		Lease: outbox.Lease{Nonce: nonce, Until: until}, lanes: []*lane{l}, items: []int{20}, fold: true, from: from,
	}
	m.leases = append(m.leases, le)
	l.lease = le
	batch := outbox.Batch{Lease: le.Lease, Lanes: []outbox.LaneBatch{{Lane: l.id}}, Fold: true}
	for _, it := range l.items[from : from+20] {
		batch.Lanes[0].Items = append(batch.Lanes[0].Items, it.Item)
	}
	return batch
}

func (m *Memory) settleFold(le *lease, o outbox.Outcome) error {
	if !le.fold || o.Result != outbox.Folded && o.Result != outbox.Release {
		return outbox.ErrStale
	}
	l := le.lanes[0]
	folded := slices.Clone(l.items[le.from : le.from+le.items[0]])
	if (len(o.Items) > 0 || o.Result == outbox.Folded) && !slices.EqualFunc(o.Items, folded, func(id string, it item) bool {
		return id == it.ID
	}) {
		return outbox.ErrStale
	}
	m.leases = slices.DeleteFunc(m.leases, func(other *lease) bool { return other == le })
	l.lease = nil
	if o.Result == outbox.Release {
		l.rigid = o.Apart
		return nil
	}
	one := folded[len(folded)-1]
	one.Since, one.Notification = folded[0].Oldest(), o.Notification
	for _, it := range folded[:len(folded)-1] {
		one.Folded += 1 + it.Folded
		m.record(outbox.Event{
			Type: outbox.EventMerged, Notification: it.webhook.ID, GroupKey: l.id.GroupKey, Receiver: l.id.Receiver,
			Room: l.id.Room, Status: it.webhook.Status, Alerts: it.webhook.Alerts, Entry: it.ID,
			Integration: l.id.Integration, Destination: l.id.Destination, Detail: one.ID,
		})
	}
	l.items = slices.Replace(l.items, le.from, le.from+len(folded), one)
	return nil
}
