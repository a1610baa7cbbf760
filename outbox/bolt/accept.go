package bolt

import (
	"context"
	"time"

	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/outbox"
)

// Recall implements outbox.Store.
func (s *Store) Recall(ctx context.Context, q outbox.Query) (outbox.Known, error) {
	s.mu.Lock()
	last, ok := s.marks[q.Slot]
	now := s.options.Now()
	s.mu.Unlock()
	if ok && last.repeated(q.State, now, q.Window) {
		// The first copy is durable already, so a count that cannot be written is no reason to have this one sent again.
		_ = s.submit(&change{ctx: ctx, stage: func(g *group) error {
			g.record(outbox.Event{Type: outbox.EventDuplicate, Notification: last.id})
			return nil
		}})
		return outbox.Known{Duplicate: true, ID: last.id}, nil
	}
	saved, err := s.saved(ctx, q.Alerts)
	return outbox.Known{Saved: saved}, err
}

// Accept implements outbox.Store.
func (s *Store) Accept(ctx context.Context, w outbox.Webhook) (outbox.Accepted, error) {
	keys := make([]outbox.LaneKey, len(w.Entries))
	for i, e := range w.Entries {
		keys[i] = e.Lane.Key()
	}
	saved, err := savedRecords(w.Saved, s.options.Now())
	if err != nil {
		return outbox.Accepted{}, unavailable("accept", err)
	}
	a := acceptance{store: s, webhook: &w, keys: keys, saved: saved}
	err = s.submit(&change{ctx: ctx, stage: a.stage, apply: a.apply})
	if err != nil {
		return outbox.Accepted{}, err
	}
	return a.answer, nil
}

// An acceptance is one call of Accept.
type acceptance struct {
	store   *Store
	webhook *outbox.Webhook
	keys    []outbox.LaneKey // of the entries' lanes
	saved   []savedRecord

	answer outbox.Accepted
	kept   []int // entries that are stored
	silent []silenced
	record *record
	mark   mark
}

func (a *acceptance) stage(g *group) error {
	s, w := a.store, a.webhook
	last, seen := g.marks[w.Slot]
	if !seen {
		last, seen = s.marks[w.Slot]
	}
	same := seen && last.state == w.State
	if id, duplicate := a.first(g, last, seen); duplicate {
		g.record(a.event(outbox.EventDuplicate, id))
		a.answer = outbox.Accepted{ID: id, Duplicate: true}
		return nil
	}
	a.choose(g, w.Reminder || same)
	if err := s.full(g.bytes, g.pending+len(a.kept)); err != nil {
		return err
	}

	g.pending += len(a.kept)
	g.ids[w.ID] = true
	for _, n := range a.kept {
		g.states[a.keys[n]] = w.Entries[n].State
	}
	for n := range w.Entries {
		if w.Entries[n].Silent {
			a.silence(g, n)
		}
	}
	a.answer = outbox.Accepted{ID: w.ID, Entries: len(a.kept)}
	a.mark = mark{w.State, nanos(g.now), w.ID, s.next()}
	g.marks[w.Slot] = a.mark
	a.writeMark(g)
	if len(a.kept) > 0 {
		a.writeRecord(g)
	}
	if len(a.saved) > 0 {
		g.write(func(t *tables) error { return putSaved(t.saved, a.saved) })
	}
	event := a.event(outbox.EventAccepted, w.ID)
	event.Entries = len(a.kept)
	g.record(event)
	return nil
}

// first tells whether the webhook is known already, and under which id.
func (a *acceptance) first(g *group, last mark, seen bool) (string, bool) {
	w := a.webhook
	if _, pending := a.store.records[w.ID]; pending || g.ids[w.ID] || last.id == w.ID {
		return w.ID, true
	}
	return last.id, seen && last.repeated(w.State, g.now, w.Window)
}

// repeated tells whether a state arriving now is a duplicate of the one last accepted.
func (m mark) repeated(state dedupe.State, now time.Time, window time.Duration) bool {
	return dedupe.Duplicate(m.state, fromNanos(m.at), state, now, window)
}

// choose keeps the entries that changed; of a reminder all.
func (a *acceptance) choose(g *group, reminder bool) {
	inWebhook := map[outbox.LaneKey]dedupe.State{}
	for n, e := range a.webhook.Entries {
		if e.Silent {
			continue
		}
		key := a.keys[n]
		state, known := inWebhook[key]
		if !known {
			state, known = g.states[key]
		}
		if !known {
			var lane told
			lane, known = a.store.lanes[key]
			state = lane.state
		}
		if known && state == e.State && !reminder {
			continue
		}
		inWebhook[key] = e.State
		a.kept = append(a.kept, n)
	}
}

// A silenced lane has another state from now on, and nothing to tell.
type silenced struct {
	key   outbox.LaneKey
	state dedupe.State
	seq   uint64 // of its new record; 0 when the one it has stays
}

// silence changes what is known of the lane of a silent entry. While something is pending in it, the file learns of it
// with what is settled next.
func (a *acceptance) silence(g *group, n int) {
	s, e, lane := a.store, a.webhook.Entries[n], a.keys[n]
	known, ok := s.lanes[lane]
	if _, staged := g.states[lane]; !ok && !staged {
		return
	}
	g.states[lane] = e.State
	change := silenced{key: lane, state: e.State}
	if known.seq != 0 && !s.schedule.Has(lane) {
		change.seq = s.next()
		now := g.now
		g.write(func(t *tables) error {
			told := decodeTold(t.lanes.Get(key(known.seq)))
			told.state, told.at, told.alerts = e.State, now, e.Told
			return t.lanes.Put(key(change.seq), told.encode(known.newest))
		})
	}
	a.silent = append(a.silent, change)
}

func (a *acceptance) writeMark(g *group) {
	e := make(encoder, 0, 80)
	e.raw(a.webhook.Slot[:])
	e.raw(a.mark.state[:])
	e.int(int(a.mark.at))
	e.text(a.mark.id)
	seq := a.mark.seq
	g.write(func(t *tables) error { return t.marks.Put(key(seq), e) })
}

func (a *acceptance) writeRecord(g *group) {
	w := a.webhook
	a.record = &record{
		seq: a.store.next(), id: w.ID, receivedAt: nanos(w.ReceivedAt), status: intern([]byte(w.Status)), alerts: w.Alerts,
		entries: len(a.kept), open: len(a.kept), raw: encodeRecord(w, a.kept, time.Time{}),
	}
	seq, raw := a.record.seq, a.record.raw
	a.record.size = len(raw)
	g.bytes += len(raw)
	g.write(func(t *tables) error { return t.webhooks.Put(key(seq), raw) })
}

func (a *acceptance) apply(g *group) {
	if a.answer.Duplicate {
		return
	}
	s, w := a.store, a.webhook
	if _, replaced := s.marks[w.Slot]; replaced {
		s.replaced++
	}
	s.marks[w.Slot] = a.mark
	for _, change := range a.silent {
		lane := s.lanes[change.key]
		lane.state, lane.at = change.state, nanos(g.now)
		if change.seq != 0 {
			lane.seq = change.seq
			s.replaced++
		}
		s.lanes[change.key] = lane
	}
	if a.record == nil {
		return
	}
	s.add(a.record)
	for position, n := range a.kept {
		e := &w.Entries[n]
		lane := s.lanes[a.keys[n]]
		lane.state, lane.at = e.State, nanos(g.now)
		s.lanes[a.keys[n]] = lane
		s.enqueue(g.now, a.keys[n], e.Lane, e.Limiters, &entry{record: a.record, number: n, position: position})
	}
}

func (a *acceptance) event(t outbox.EventType, id string) outbox.Event {
	w := a.webhook
	return outbox.Event{
		Type: t, Notification: id, GroupKey: w.GroupKey, Receiver: w.Receiver, Status: w.Status, Alerts: w.Alerts,
	}
}

// expired tells whether what was last touched at is older than the retention.
func expired(at int64, now time.Time, retention time.Duration) bool {
	return now.Sub(fromNanos(at)) > retention
}
