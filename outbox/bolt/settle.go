package bolt

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/outbox"
)

// Settle implements outbox.Store.
func (s *Store) Settle(ctx context.Context, l outbox.Lease, o outbox.Outcome) error {
	if o.Result == outbox.Folded {
		f := folding{store: s, nonce: l.Nonce, outcome: o}
		return s.submit(&change{ctx: ctx, stage: f.stage, apply: f.apply, revert: f.revert})
	}
	st := settlement{store: s, nonce: l.Nonce, outcome: o}
	return s.submit(&change{ctx: ctx, stage: st.stage, apply: st.apply, revert: st.revert})
}

// A settlement is one call of Settle.
type settlement struct {
	store   *Store
	nonce   string
	outcome outbox.Outcome

	held  *outbox.Held[*entry]
	lanes []laneSettlement
}

// A laneSettlement is what a settlement does to one lane.
type laneSettlement struct {
	*settlement
	held *outbox.HeldLane[*entry]
	told told // of the lane, once this is durable
}

func (st *settlement) stage(g *group) error {
	s, o := st.store, st.outcome
	h := s.schedule.Begin(g.now, st.nonce, o)
	if h == nil {
		return outbox.ErrStale
	}
	st.held = h
	if !named(h, o.Items) {
		s.schedule.Cancel(h)
		return outbox.ErrStale
	}
	if h.Fold {
		return nil // given up: nothing is written
	}
	rest, err := encodeRest(o.Rest)
	if err == nil && rest != nil && len(h.Lanes) > 1 {
		err = errDigestRest
	}
	if err != nil {
		s.schedule.Cancel(h)
		return unavailable("settle", err)
	}
	if h.Limiter != "" && (o.Result != outbox.Release || o.Hold > 0) {
		g.limiters[h.Limiter] = max(0, g.limiters[h.Limiter])
	}
	st.lanes = make([]laneSettlement, len(h.Lanes))
	for i := range h.Lanes {
		l := &st.lanes[i]
		*l = laneSettlement{settlement: st, held: &h.Lanes[i], told: s.lanes[h.Lanes[i].Key]}
		l.stage(g, rest)
	}
	return nil
}

var errDigestRest = errors.New("a digest is one message")

// named tells whether the items of an outcome, if there are any, are those claimed.
func named(h *outbox.Held[*entry], items []string) bool {
	if len(items) == 0 {
		return true
	}
	for i := range h.Lanes {
		for _, e := range h.Lanes[i].Entries {
			if len(items) == 0 || items[0] != e.id() {
				return false
			}
			items = items[1:]
		}
	}
	return len(items) == 0
}

func (l *laneSettlement) stage(g *group, rest []byte) {
	o := l.outcome
	l.record(g)
	if o.Ends() || o.Ref != "" {
		l.writeTold(g)
	}
	if !o.Ends() {
		l.writeProgress(g, rest)
		return
	}
	for _, e := range l.held.Entries {
		if o.Result == outbox.Dead {
			l.writeDead(g, e)
		}
		writeEnd(g, e)
	}
}

// record writes the history: what became of the newest entry became of all, but those told within it are merged.
func (l *laneSettlement) record(g *group) {
	o, newest := l.outcome, l.held.Newest()
	if o.Result == outbox.Release {
		return
	}
	for _, e := range l.held.Entries[:len(l.held.Entries)-1] {
		switch {
		case o.Result == outbox.Dead:
			g.record(l.event(e))
		case o.Ends():
			event := merged(l.held.Lane, e, newest)
			event.Attempt = l.held.Attempt
			g.record(event)
		}
	}
	g.record(l.event(newest))
}

// writeTold stores what a reader of the lane knows from now on. The alerts are those of the newest entry once it is sent,
// else those told before: also when it came late, after newer ones.
func (l *laneSettlement) writeTold(g *group) {
	s, h, o := l.store, l.held, l.outcome
	before := l.told.seq
	l.told.seq, l.told.at = s.next(), nanos(g.now)
	state, staged := g.states[h.Key]
	if !staged {
		state = l.told.state
	}
	newest := h.Newest()
	seq, position, raw := l.told.seq, newest.position, newest.record.raw
	sent := o.Result == outbox.Sent && o.Ends() && newest.record.receivedAt >= l.told.newest
	if sent {
		l.told.newest = newest.record.receivedAt
	}
	told, now := l.told, g.now
	g.write(func(t *tables) error {
		var ref relay.Ref
		var alerts []byte
		var toldAt int64
		if before != 0 && (!sent || o.Ref == "") {
			d := &decoder{rest: t.lanes.Get(key(before))}
			d.raw(32)
			d.int()
			d.int()
			ref, alerts = relay.Ref(d.text()), d.bytes()
			toldAt = d.last()
		}
		if o.Ref != "" {
			ref = o.Ref
		}
		if sent {
			if raw == nil {
				raw = t.webhooks.Get(key(newest.record.seq))
			}
			e, _, err := decodeEntry(raw, position)
			if err != nil {
				return err
			}
			alerts, toldAt = e.told, nanos(now)
		}
		e := make(encoder, 0, 64+len(ref)+len(alerts))
		e.raw(h.Key[:])
		e.raw(state[:])
		e.int(int(told.at))
		e.int(int(told.newest))
		e.text(string(ref))
		e.bytes(bytes.Clone(alerts))
		e.int(int(toldAt))
		return t.lanes.Put(key(seq), e)
	})
}

// writeEnd ends an entry: with the last one of its webhook the record goes, before that only its end is written.
func writeEnd(g *group, e *entry) {
	e.record.open--
	last := e.record.open == 0
	seq, several := key(e.record.seq), e.progress || e.record.entries > 1
	g.write(func(t *tables) error {
		if !last {
			return t.progress.Put(progressKey(e), progress{done: true}.encode(nil))
		}
		if several {
			if err := deletePrefix(t.progress, seq); err != nil {
				return err
			}
		}
		return t.webhooks.Delete(seq)
	})
}

func (l *laneSettlement) writeDead(g *group, e *entry) {
	event := l.event(e)
	event.At = g.now
	id, raw, position := e.id(), e.record.raw, e.position
	g.write(func(t *tables) error {
		if raw == nil {
			raw = t.webhooks.Get(key(e.record.seq))
		}
		return t.dead.Put([]byte(id), encodeDead(event, e, raw, position))
	})
}

// writeProgress keeps what became of the head, with the rest that is left to tell of it and those bound to it.
func (l *laneSettlement) writeProgress(g *group, rest []byte) {
	h, o := l.held, l.outcome
	if o.Result == outbox.Release && len(o.Rest) == 0 && !o.Apart {
		return
	}
	head := h.Entries[0]
	p := progress{
		attempt: h.Attempt - 1, due: g.now.Add(o.After), reason: o.Reason, detail: o.Detail, bound: len(h.Entries),
	}
	if o.Counts() {
		p.attempt++
	}
	keep := len(o.Rest) == 0 && head.progress && !o.Apart // the rest stored before
	if o.Apart {
		rest = nil
	}
	released := o.Result == outbox.Release && head.progress // it was not tried, so the last failure is that before
	g.write(func(t *tables) error {
		if keep || released {
			before, stored, err := splitProgress(t.progress.Get(progressKey(head)))
			if err != nil {
				return err
			}
			if keep {
				rest = bytes.Clone(stored) // a put may move what was read
			}
			if released {
				p.reason, p.detail = before.reason, before.detail
			}
		}
		return t.progress.Put(progressKey(head), p.encode(rest))
	})
}

func (st *settlement) apply(g *group) {
	for i := range st.lanes {
		st.lanes[i].apply()
	}
	st.store.schedule.Finish(g.now, st.held, st.outcome)
}

func (l *laneSettlement) apply() {
	s, h, o := l.store, l.held, l.outcome
	if lane := s.lanes[h.Key]; l.told.seq != lane.seq {
		if lane.seq != 0 {
			s.replaced++
		}
		lane.seq, lane.at, lane.newest = l.told.seq, l.told.at, l.told.newest
		lane.ref = lane.ref || o.Ref != ""
		s.lanes[h.Key] = lane
	}
	switch {
	case o.Ends():
		if o.Result == outbox.Dead {
			s.dead += len(h.Entries)
		}
		for _, e := range h.Entries {
			if e.record.open == 0 {
				s.remove(e.record)
			}
		}
	case o.Result != outbox.Release || len(o.Rest) > 0 || o.Apart:
		h.Entries[0].progress = true
	}
}

func (st *settlement) revert() {
	if st.outcome.Ends() {
		for _, l := range st.lanes {
			for _, e := range l.held.Entries {
				e.record.open++
			}
		}
	}
	st.store.schedule.Cancel(st.held)
}

func (l *laneSettlement) event(of *entry) outbox.Event {
	h, o := l.held, l.outcome
	e := about(l.held.Lane, of)
	e.Attempt, e.Part, e.Parts, e.Reason, e.Detail = h.Attempt, o.Part, o.Parts, o.Reason, o.Detail
	e.Fallback, e.Duration, e.Text = o.Fallback, o.Duration, o.Text
	switch o.Result {
	case outbox.Sent:
		e.Type = outbox.EventSent
	case outbox.Dead:
		e.Type = outbox.EventFailed
	case outbox.Retry, outbox.Release, outbox.Folded:
		e.Type = outbox.EventRetrying
	}
	return e
}

func merged(lane outbox.Lane, of, newest *entry) outbox.Event {
	e := about(lane, of)
	e.Type, e.Detail = outbox.EventMerged, newest.id()
	return e
}

// about is what the events of an entry have in common.
func about(lane outbox.Lane, e *entry) outbox.Event {
	return outbox.Event{
		Notification: e.record.id, GroupKey: lane.GroupKey, Receiver: lane.Receiver, Room: lane.Room,
		Status: e.record.status, Alerts: e.record.alerts,
		Entry: e.id(), Integration: lane.Integration, Destination: lane.Destination,
	}
}

// A toldRecord is what is stored of a lane once something was told in it.
type toldRecord struct {
	key    outbox.LaneKey
	state  dedupe.State
	at     time.Time
	ref    relay.Ref
	alerts map[string]time.Time
	toldAt time.Time
}

func decodeTold(value []byte) toldRecord {
	d := &decoder{rest: value}
	t := toldRecord{
		key: outbox.LaneKey(d.raw(16)), state: dedupe.State(d.raw(16)), at: d.time(),
	}
	d.int()
	t.ref = relay.Ref(d.text())
	alerts := decoder{rest: d.bytes()}
	t.alerts = alerts.told()
	t.toldAt = fromNanos(d.last())
	return t
}

// encode is what decodeTold reads; newest is told.newest.
func (t *toldRecord) encode(newest int64) []byte {
	var alerts encoder
	alerts.told(t.alerts)
	e := make(encoder, 0, 64+len(t.ref)+len(alerts))
	e.raw(t.key[:])
	e.raw(t.state[:])
	e.time(t.at)
	e.int(int(newest))
	e.text(string(t.ref))
	e.bytes(alerts)
	e.int(int(nanos(t.toldAt)))
	return e
}

// last reads a number at the end of a value, which the first files have not.
func (d *decoder) last() int64 {
	if len(d.rest) == 0 {
		return 0
	}
	return int64(d.int())
}
