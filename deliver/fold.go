package deliver

import (
	"context"
	"log/slog"

	"github.com/alertrelay/relay/internal/wire"
	"github.com/alertrelay/relay/outbox"
)

// maxFold bounds what one entry may become by folding, in bytes. What tells more facts than fit stays in several entries.
const maxFold = 4 << 20

// fold makes one entry of those that wait in a lane, in one of the workers' places, and settles it. Nothing is told by it,
// and no fact lost: the one entry says what the message of all would say.
func (d *Deliverer) fold(ctx context.Context, t *targets, read reading, b outbox.Batch) {
	lane := b.Lanes[0]
	o := outbox.Outcome{Result: outbox.Release}
	for _, item := range lane.Items {
		o.Items = append(o.Items, item.ID)
	}
	select {
	case d.workers <- struct{}{}:
		o = folded(lane, read, o)
		<-d.workers
	case <-ctx.Done():
	}
	log := d.logger.With("integration", lane.Lane.Integration, "group_key", lane.Lane.GroupKey, "entries", len(o.Items))
	switch err := d.settle(ctx, b.Lease, o); {
	case err != nil:
		log.LogAttrs(ctx, slog.LevelWarn, "Cannot fold what waits", slog.Any("err", err))
	case o.Apart:
		log.LogAttrs(ctx, slog.LevelWarn, "Cannot fold what waits: it is too large or cannot be read")
	case o.Result == outbox.Folded:
		log.LogAttrs(ctx, slog.LevelDebug, "Folded what waits")
		if target := t.all[lane.Lane.Integration]; target != nil {
			target.metrics.merged.Add(float64(len(o.Items) - 1))
		}
	}
}

// folded is the outcome of folding a lane. What cannot be read, or would be too large, is left as it is.
func folded(lane outbox.LaneBatch, read reading, o outbox.Outcome) outbox.Outcome {
	n, err := read.merged(lane.Items)
	if err == nil {
		o.Notification = wire.Append(nil, n)
	}
	if err != nil || len(o.Notification) > maxFold {
		o.Notification, o.Apart = nil, true
		return o
	}
	o.Result = outbox.Folded
	return o
}
