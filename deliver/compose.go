package deliver

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

// compose puts together what a batch has to tell: one telling per lane, its waiting notifications merged into one. The
// error means that something stored cannot be read.
func compose(b outbox.Batch, read reading, now time.Time) (relay.Delivery, error) {
	first := b.Lanes[0]
	d := relay.Delivery{
		ID:          deliveryID(b),
		Destination: first.Destination,
		Tellings:    make([]relay.Telling, 0, len(b.Lanes)),
		Now:         now,
	}
	if len(b.Lanes) == 1 {
		d.Previous = first.Ref
	}
	for _, lane := range b.Lanes {
		n, err := read.merged(lane.Items)
		if err != nil {
			return relay.Delivery{}, err
		}
		compare(n.Alerts, lane.Told, now)
		d.Tellings = append(d.Tellings, relay.Telling{
			Notification: n,
			Merged:       merged(lane.Items),
			Since:        lane.Items[0].Oldest(),
			LastTold:     lane.ToldAt,
			LastFiring:   len(lane.Told),
			Late:         !lane.Items[0].Requeued.IsZero(),
		})
	}
	return d, nil
}

// merged counts the earlier entries that the newest of the items stands for.
func merged(items []outbox.Item) int {
	n := len(items) - 1
	for _, item := range items {
		n += item.Folded
	}
	return n
}

// deliveryID is made from all the entries told: the same over retries, and another one when more entries have joined,
// so that a vendor does not take the longer message for a copy of the shorter.
func deliveryID(b outbox.Batch) string {
	if len(b.Lanes) == 1 && len(b.Lanes[0].Items) == 1 {
		item := b.Lanes[0].Items[0]
		if item.Requeued.IsZero() {
			return item.ID
		}
		// A person wants it told again: the vendor shall not take it for a copy of an attempt that it may remember.
		return item.ID + "-" + strconv.FormatInt(item.Requeued.UnixMilli(), 36)
	}
	h := sha256.New()
	for _, lane := range b.Lanes {
		for _, item := range lane.Items {
			_, _ = h.Write(append([]byte(item.ID), '\n'))
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// compare sets what has changed since a reader of the lane was last told, and for how long each alert has been firing.
func compare(alerts relay.Alerts, told map[string]time.Time, now time.Time) {
	for i := range alerts {
		a := &alerts[i]
		start, known := told[a.Fingerprint]
		end := now
		switch {
		case a.Change == relay.ChangeGone: // merge said so
		case a.Status == relay.StatusResolved:
			a.Change = relay.ChangeResolved
			end = a.EndsAt
		case known && start.Equal(a.StartsAt):
			a.Change = relay.ChangeStill
		default:
			a.Change = relay.ChangeNew
		}
		a.Duration = max(0, end.Sub(a.StartsAt))
	}
}
