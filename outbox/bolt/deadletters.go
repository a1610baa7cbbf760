package bolt

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/outbox"
)

// maxScan bounds the records that one page looks at.
const maxScan = 50_000

// DeadLetters implements outbox.Operations. A cursor is the id of the last dead letter seen.
func (s *Store) DeadLetters(ctx context.Context, q outbox.DeadLetterQuery) ([]outbox.DeadLetter, string, error) {
	var letters []outbox.DeadLetter
	var next string
	err := s.db.View(func(tx *bbolt.Tx) error {
		var err error
		next, _, err = s.scanDead(ctx, tx, q.Cursor, q.Notification, func(d *deadRecord) bool {
			if !q.Matches(d.lane, d.event.Notification, d.event.At) || q.Reason != "" && q.Reason != d.event.Reason {
				return true
			}
			if len(letters) == q.Length() {
				return false
			}
			letters = append(letters, d.letter())
			return true
		})
		return err
	})
	if err != nil {
		return nil, "", unavailable("dead letters", err)
	}
	return letters, next, nil
}

// scanDead looks at the dead letters before the cursor, newest received first, until see returns false. It returns the
// cursor of those not seen, and whether there are any: from the beginning on, when it is empty.
func (s *Store) scanDead(
	ctx context.Context, tx *bbolt.Tx, before, notification string, see func(d *deadRecord) bool,
) (string, bool, error) {
	c := tx.Bucket([]byte(deadBucket)).Cursor()
	if notification != "" { // its entries stand together, and "." is after "-"
		if end := notification + "."; before == "" || before > end {
			before = end
		}
	}
	k, v := c.Last()
	if before != "" {
		if at, _ := c.Seek([]byte(before)); at != nil {
			k, v = c.Prev()
		} else {
			k, v = c.Last()
		}
	}
	last := before
	for seen := 0; k != nil; k, v = c.Prev() {
		if !strings.HasPrefix(string(k), notification) {
			return "", false, nil
		}
		if seen++; seen > maxScan || ctx.Err() != nil {
			return last, true, context.Cause(ctx)
		}
		// What is damaged hides nothing else; it goes with its time.
		if d, err := decodeDead(k, v); err == nil && !s.expiredDead(&d) && !see(&d) {
			return last, true, nil
		}
		last = string(k)
	}
	return "", false, nil
}

// expiredDead tells whether a dead letter is past its time and the sweep will come by.
func (s *Store) expiredDead(d *deadRecord) bool {
	return s.options.Now().Sub(d.event.At) > s.options.DeadRetention
}

// Requeue implements outbox.Operations.
func (s *Store) Requeue(ctx context.Context, r outbox.RequeueRequest) ([]outbox.Decision, error) {
	s.operating.Lock()
	defer s.operating.Unlock()
	o := operation{store: s, force: r.Force}
	if err := o.read(r.IDs); err != nil {
		return nil, unavailable("requeue", err)
	}
	if err := s.submit(&change{ctx: ctx, stage: o.stageRequeue, apply: o.applyRequeue}); err != nil {
		return nil, err
	}
	return o.decisions, nil
}

// Drop implements outbox.Operations.
func (s *Store) Drop(ctx context.Context, ids []string) ([]outbox.Decision, error) {
	s.operating.Lock()
	defer s.operating.Unlock()
	o := operation{store: s}
	if err := o.read(ids); err != nil {
		return nil, unavailable("drop", err)
	}
	if err := s.submit(&change{ctx: ctx, stage: o.stageDrop, apply: o.applyDrop}); err != nil {
		return nil, err
	}
	return o.decisions, nil
}

// An operation is one call of Requeue or Drop. Of those only one is under way at a time, so that what it has read still
// holds when it is written; but for the sweep, which counts what it removes itself.
type operation struct {
	store *Store
	force bool

	decisions []outbox.Decision
	letters   []*deadRecord // of each decision; nil when there is none
	requeued  []requeued    // oldest received first
	removed   int
}

// A requeued dead letter has a record of its own.
type requeued struct {
	letter *deadRecord
	record *record
}

// read finds the dead letters asked for. One asked for twice is found once.
func (o *operation) read(ids []string) error {
	if len(ids) > outbox.MaxIDs {
		return fmt.Errorf("%d ids are more than %d", len(ids), outbox.MaxIDs)
	}
	o.decisions = make([]outbox.Decision, len(ids))
	o.letters = make([]*deadRecord, len(ids))
	seen := make(map[string]bool, len(ids))
	return o.store.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(deadBucket))
		for i, id := range ids {
			o.decisions[i] = outbox.Decision{ID: id, Refusal: outbox.RefusedNotFound}
			value := b.Get([]byte(id))
			if value == nil || id == "" || seen[id] {
				continue
			}
			seen[id] = true
			d, err := decodeDead([]byte(id), value)
			if err != nil {
				o.decisions[i].Refusal = outbox.RefusedDamaged
				continue
			}
			if o.store.expiredDead(&d) {
				continue
			}
			d.copy()
			o.letters[i] = &d
			o.decisions[i].Refusal = ""
		}
		return nil
	})
}

func (o *operation) stageRequeue(g *group) error {
	s := o.store
	o.requeued = nil
	for i, d := range o.letters {
		if d == nil {
			continue
		}
		if o.decisions[i].Refusal = o.refuse(g, d); o.decisions[i].Refusal != "" {
			continue
		}
		r := &record{
			id: d.event.Notification, receivedAt: nanos(d.receivedAt), status: intern([]byte(d.event.Status)),
			alerts: d.event.Alerts, entries: 1, requeued: nanos(g.now), open: 1,
		}
		var err error
		if r.raw, err = encodeOne(r, d.stored, d.body); err != nil {
			return err
		}
		r.size = len(r.raw)
		o.requeued = append(o.requeued, requeued{d, r})
	}
	if n := len(o.requeued); n > 0 && s.schedule.Pending()+g.pending+n > s.options.MaxPending {
		return outbox.ErrFull
	}
	g.pending += len(o.requeued)
	slices.SortFunc(o.requeued, func(a, b requeued) int {
		return cmp.Or(a.letter.receivedAt.Compare(b.letter.receivedAt), cmp.Compare(a.letter.id, b.letter.id))
	})
	for _, re := range o.requeued {
		r := re.record
		r.seq = s.next()
		event := re.letter.happened(outbox.EventRequeued)
		if o.force {
			event.Detail = "forced"
		}
		g.record(event)
		o.remove(g, re.letter.id)
		seq, raw := r.seq, r.raw
		g.write(func(t *tables) error { return t.webhooks.Put(key(seq), raw) })
	}
	return nil
}

// refuse says why a dead letter must not be requeued. What is staged in the same group is still pending.
func (o *operation) refuse(g *group, d *deadRecord) outbox.Refusal {
	s, at := o.store, nanos(d.receivedAt)
	lane := d.lane.Key()
	switch {
	case len(d.limiters) == 0:
		return outbox.RefusedDamaged
	case o.force:
		return ""
	case s.lanes[lane].newest > at:
		return outbox.RefusedNewerSent
	case s.schedule.Any(lane, func(e *entry) bool { return e.record.receivedAt > at }):
		return outbox.RefusedNewerPending
	case g.now.Sub(d.event.At) > s.options.Retention:
		return outbox.RefusedForgotten
	default:
		return ""
	}
}

func (o *operation) applyRequeue(g *group) {
	s := o.store
	s.dead -= o.removed
	for _, re := range o.requeued {
		d := re.letter
		s.add(re.record)
		s.enqueue(g.now, d.lane.Key(), d.lane, d.limiters, &entry{record: re.record, number: d.number})
	}
}

func (o *operation) stageDrop(g *group) error {
	for _, d := range o.letters {
		if d != nil {
			g.record(d.happened(outbox.EventDropped))
			o.remove(g, d.id)
		}
	}
	return nil
}

func (o *operation) applyDrop(*group) { o.store.dead -= o.removed }

func (o *operation) remove(g *group, id string) {
	g.write(func(t *tables) error {
		if t.dead.Get([]byte(id)) != nil {
			o.removed++
		}
		return t.dead.Delete([]byte(id))
	})
}

// A deadRecord is a dead letter as it is on disk.
type deadRecord struct {
	id         string // of the entry
	event      outbox.Event
	receivedAt time.Time
	stored
	body []byte
}

// encodeDead encodes a dead letter: how it ended, and all that is needed to tell it after all; of a damaged record, the
// record as it is.
func encodeDead(event outbox.Event, e *entry, raw []byte, position int) []byte {
	se, body, err := decodeEntry(raw, position)
	if err != nil {
		se, body = stored{lane: event.Lane()}, raw
	}
	event.Text = "" // the history has it
	var out encoder
	out.time(event.At)
	out.event(&event)
	out.int(int(e.record.receivedAt))
	out.lane(se.lane)
	out.destination(se.destination)
	out.limiters(se.limiters)
	out.raw(se.state[:])
	out.bytes(se.told)
	out.bytes(body)
	return out
}

func decodeDead(id, value []byte) (deadRecord, error) {
	d := &decoder{rest: value}
	d.time()
	r := deadRecord{id: string(id), event: d.event(), receivedAt: d.time()}
	r.lane, r.destination, r.limiters = d.lane(), d.destination(), d.limiters()
	r.state, r.told, r.body = dedupe.State(d.raw(16)), d.bytes(), d.bytes()
	_, number, _ := strings.Cut(r.id, r.event.Notification+"-")
	var err error
	if r.number, err = strconv.Atoi(number); err != nil || d.bad {
		return deadRecord{}, fmt.Errorf("dead letter %s: %w", r.id, errCorrupt)
	}
	return r, nil
}

// copy makes it independent of its transaction.
func (d *deadRecord) copy() {
	d.told, d.body = append([]byte{}, d.told...), append([]byte{}, d.body...)
}

func (d *deadRecord) letter() outbox.DeadLetter {
	return outbox.DeadLetter{
		ID: d.id, Notification: d.event.Notification, Lane: d.lane, Status: d.event.Status, Alerts: d.event.Alerts,
		ReceivedAt: d.receivedAt, FailedAt: d.event.At, Attempt: d.event.Attempt, Reason: d.event.Reason,
		Detail: d.event.Detail,
	}
}

// happened is the event of what a person did with it.
func (d *deadRecord) happened(t outbox.EventType) outbox.Event {
	e := d.event
	return outbox.Event{
		Type: t, Notification: e.Notification, GroupKey: e.GroupKey, Receiver: e.Receiver, Status: e.Status,
		Alerts: e.Alerts, Entry: d.id, Integration: e.Integration, Destination: e.Destination, Room: e.Room,
		Reason: e.Reason,
	}
}
