package bolt

import (
	"bytes"
	"context"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/outbox"
)

// Settle implements outbox.Store.
func (s *Store) Settle(ctx context.Context, l outbox.Lease, o outbox.Outcome) error {
	st := settlement{store: s, nonce: l.Nonce, outcome: o}
	return s.submit(&change{ctx: ctx, stage: st.stage, apply: st.apply, revert: st.revert})
}

// A settlement is one call of Settle.
type settlement struct {
	store   *Store
	nonce   string
	outcome outbox.Outcome

	held *outbox.Held[*entry]
	lane told // of the lane, once this is durable
}

func (st *settlement) stage(g *group) error {
	s, o := st.store, st.outcome
	h := s.schedule.Begin(g.now, st.nonce, o)
	if h == nil {
		return outbox.ErrStale
	}
	st.held = h
	e := h.Entry
	if len(o.Items) > 1 || len(o.Items) == 1 && o.Items[0] != e.id() {
		s.schedule.Cancel(h)
		return outbox.ErrStale
	}
	st.lane = s.lanes[h.Key]
	if o.Result != outbox.Release || o.Hold > 0 {
		g.limiters[h.Limiter] = true
	}
	if o.Result != outbox.Release {
		g.record(st.event())
	}
	if o.Ends() || o.Ref != "" {
		st.writeTold(g)
	}
	if o.Ends() {
		st.writeEnd(g)
		return nil
	}
	return st.writeProgress(g)
}

// writeTold stores what a reader of the lane knows from now on. The alerts are those of the entry once it is sent, else
// those told before.
func (st *settlement) writeTold(g *group) {
	s, h, o := st.store, st.held, st.outcome
	before := st.lane.seq
	st.lane.seq, st.lane.at = s.next(), nanos(g.now)
	state, staged := g.states[h.Key]
	if !staged {
		state = st.lane.state
	}
	seq, position, raw := st.lane.seq, h.Entry.position, h.Entry.record.raw
	sent := o.Result == outbox.Sent && o.Ends()
	g.write(func(t *tables) error {
		var ref relay.Ref
		var alerts []byte
		if before != 0 && (!sent || o.Ref == "") {
			d := &decoder{rest: t.lanes.Get(key(before))}
			d.raw(32)
			d.int()
			ref, alerts = relay.Ref(d.text()), d.bytes()
		}
		if o.Ref != "" {
			ref = o.Ref
		}
		if sent {
			if raw == nil {
				raw = t.webhooks.Get(key(h.Entry.record.seq))
			}
			e, _, err := decodeEntry(raw, position)
			if err != nil {
				return err
			}
			alerts = e.told
		}
		e := make(encoder, 0, 64+len(ref)+len(alerts))
		e.raw(h.Key[:])
		e.raw(state[:])
		e.time(g.now)
		e.text(string(ref))
		e.bytes(bytes.Clone(alerts))
		return t.lanes.Put(key(seq), e)
	})
}

// writeEnd ends the entry: with the last one of its webhook the record goes, before that only its end is written.
func (st *settlement) writeEnd(g *group) {
	e := st.held.Entry
	if st.outcome.Result == outbox.Dead {
		st.writeDead(g)
	}
	e.record.open--
	last := e.record.open == 0
	seq := key(e.record.seq)
	g.write(func(t *tables) error {
		if !last {
			value, err := progress{done: true}.encode()
			if err != nil {
				return err
			}
			return t.progress.Put(progressKey(e), value)
		}
		if err := deletePrefix(t.progress, seq); err != nil { // also that of entries that ended before
			return err
		}
		return t.webhooks.Delete(seq)
	})
}

func (st *settlement) writeDead(g *group) {
	s, e := st.store, st.held.Entry
	event := st.event()
	event.At = g.now
	seq, raw, position := s.next(), e.record.raw, e.position
	g.write(func(t *tables) error {
		if raw == nil {
			raw = t.webhooks.Get(key(e.record.seq))
		}
		return t.dead.Put(key(seq), encodeDead(event, e, raw, position))
	})
}

func (st *settlement) writeProgress(g *group) error {
	s, h, o := st.store, st.held, st.outcome
	if o.Result == outbox.Release && len(o.Rest) == 0 {
		return nil
	}
	p := progress{attempt: h.Attempt - 1, due: g.now.Add(o.After), rest: o.Rest}
	if o.Counts() {
		p.attempt++
	}
	keep := len(o.Rest) == 0 && h.Entry.progress // the rest stored before
	value, err := p.encode()
	if err != nil {
		s.schedule.Cancel(h)
		return unavailable("settle", err)
	}
	g.write(func(t *tables) error {
		if keep {
			before, err := decodeProgress(t.progress.Get(progressKey(h.Entry)))
			if err != nil {
				return err
			}
			p.rest = before.rest
			if value, err = p.encode(); err != nil {
				return err
			}
		}
		return t.progress.Put(progressKey(h.Entry), value)
	})
	return nil
}

func (st *settlement) apply(g *group) {
	s, h, o := st.store, st.held, st.outcome
	if st.lane.seq != s.lanes[h.Key].seq {
		lane := s.lanes[h.Key]
		if lane.seq != 0 {
			s.replaced++
		}
		lane.seq, lane.at = st.lane.seq, st.lane.at
		s.lanes[h.Key] = lane
	}
	switch {
	case o.Ends():
		if o.Result == outbox.Dead {
			s.dead++
		}
		if r := h.Entry.record; r.open == 0 {
			s.remove(r)
		}
	case o.Result != outbox.Release || len(o.Rest) > 0:
		h.Entry.progress = true
	}
	s.schedule.Finish(g.now, h, o)
}

func (st *settlement) revert() {
	if st.outcome.Ends() {
		st.held.Entry.record.open++
	}
	st.store.schedule.Cancel(st.held)
}

func (st *settlement) event() outbox.Event {
	h, o := st.held, st.outcome
	e := outbox.Event{
		Notification: h.Entry.record.id, GroupKey: h.Lane.GroupKey, Receiver: h.Lane.Receiver, Room: h.Lane.Room,
		Status: h.Entry.record.status, Alerts: h.Entry.record.alerts,
		Entry: h.Entry.id(), Integration: h.Lane.Integration, Destination: h.Lane.Destination,
		Attempt: h.Attempt, Part: o.Part, Parts: o.Parts, Reason: o.Reason, Detail: o.Detail, Fallback: o.Fallback,
		Duration: o.Duration, Text: o.Text,
	}
	switch o.Result {
	case outbox.Sent:
		e.Type = outbox.EventSent
	case outbox.Dead:
		e.Type = outbox.EventFailed
	case outbox.Retry, outbox.Release:
		e.Type = outbox.EventRetrying
	}
	return e
}

// A toldRecord is what is stored of a lane once something was told in it.
type toldRecord struct {
	key    outbox.LaneKey
	state  dedupe.State
	at     time.Time
	ref    relay.Ref
	alerts map[string]time.Time
}

func decodeTold(value []byte) toldRecord {
	d := &decoder{rest: value}
	t := toldRecord{
		key: outbox.LaneKey(d.raw(16)), state: dedupe.State(d.raw(16)), at: d.time(), ref: relay.Ref(d.text()),
	}
	alerts := decoder{rest: d.bytes()}
	t.alerts = alerts.told()
	return t
}
