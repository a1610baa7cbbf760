package bolt

import (
	"bytes"

	"github.com/alertrelay/relay/outbox"
)

// A folding is one call of Settle that makes one entry of several.
type folding struct {
	store   *Store
	nonce   string
	outcome outbox.Outcome

	held *outbox.Held[*entry]
	one  *entry
}

func (f *folding) stage(g *group) error {
	s, o := f.store, f.outcome
	f.held = s.schedule.Begin(g.now, f.nonce, o)
	if f.held == nil {
		return outbox.ErrStale
	}
	if len(o.Items) == 0 || !named(f.held, o.Items) {
		s.schedule.Cancel(f.held)
		return outbox.ErrStale
	}
	lane := &f.held.Lanes[0]
	oldest, newest := lane.Entries[0], lane.Newest()
	f.one = &entry{number: newest.number, progress: oldest.progress, record: &record{
		seq: s.next(), id: newest.record.id, receivedAt: newest.record.receivedAt, status: newest.record.status,
		alerts: newest.record.alerts, entries: 1, open: 1,
		fold: fold{since: oldest.record.oldest(), place: newest.record.after()},
	}}
	for _, e := range lane.Entries[:len(lane.Entries)-1] {
		f.one.record.fold.folded += 1 + e.record.fold.folded
		g.record(merged(lane.Lane, e, newest))
	}
	f.write(g, oldest, newest)
	for _, e := range lane.Entries {
		writeEnd(g, e)
	}
	return nil
}

// write stores the one entry, and with it what became of the oldest, in case that is the head of its lane.
func (f *folding) write(g *group, oldest, newest *entry) {
	one, raw := f.one.record, newest.record.raw
	g.write(func(t *tables) error {
		if raw == nil {
			raw = t.webhooks.Get(key(newest.record.seq))
		}
		se, _, err := decodeEntry(raw, newest.position)
		if err != nil {
			return err
		}
		if one.raw, err = encodeOne(one, se, f.outcome.Notification); err != nil {
			return err
		}
		one.size = len(one.raw)
		if oldest.progress {
			// A put may move what was read.
			if err := t.progress.Put(progressKey(f.one), bytes.Clone(t.progress.Get(progressKey(oldest)))); err != nil {
				return err
			}
		}
		return t.webhooks.Put(key(one.seq), one.raw)
	})
}

func (f *folding) apply(g *group) {
	s, lane := f.store, &f.held.Lanes[0]
	s.addFolded(f.one.record, lane.Entries[0].record)
	for _, e := range lane.Entries {
		if e.record.open == 0 {
			s.remove(e.record)
		}
	}
	s.schedule.Fold(g.now, f.held, f.one)
}

func (f *folding) revert() {
	for _, e := range f.held.Lanes[0].Entries {
		e.record.open++
	}
	f.store.schedule.Cancel(f.held)
}
