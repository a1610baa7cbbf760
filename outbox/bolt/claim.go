package bolt

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

// Claim implements outbox.Store. What is claimed is chosen in memory; what it says is read only when it is not recent, was
// tried before, or has something told before it.
func (s *Store) Claim(ctx context.Context, c outbox.ClaimRequest) ([]outbox.Batch, time.Duration, error) {
	if ctx.Err() != nil {
		return nil, 0, unavailable("claim", context.Cause(ctx))
	}
	if err := s.giveUp(ctx, c); err != nil {
		return nil, 0, err
	}
	held, loads, wait, err := s.take(ctx, c)
	if len(held) == 0 && err != nil {
		return nil, 0, err
	}
	if len(held) == 0 {
		return nil, wait, nil
	}
	batches, err := s.load(held, loads)
	if err != nil {
		s.release(held)
		return nil, 0, unavailable("claim", err)
	}
	return batches, wait, nil
}

// take leases what is ready. When that is more than a crash would be charged for, it writes down first that it may be.
func (s *Store) take(
	ctx context.Context, c outbox.ClaimRequest,
) (held []*outbox.Held[*entry], loads []load, wait time.Duration, err error) {
	most := c.Max
	for {
		s.mu.Lock()
		var more []*outbox.Held[*entry]
		more, wait = s.schedule.Claim(s.options.Now(), c, rand.Text)
		held, loads = append(held, more...), append(loads, s.loads(more, len(held))...)
		short := maps.Clone(s.schedule.Short())
		s.mu.Unlock()
		if c.Max = most - len(held); len(short) == 0 || c.Max == 0 {
			return held, loads, wait, nil
		}
		if err := s.raise(ctx, short); err != nil {
			return held, loads, wait, err
		}
	}
}

// raise writes down how many sends a crash may have to be charged for.
func (s *Store) raise(ctx context.Context, ceilings map[relay.LimiterID]int) error {
	return s.submit(&change{
		ctx: ctx,
		stage: func(g *group) error {
			for id, ceiling := range ceilings {
				g.limiters[id] = max(g.limiters[id], ceiling)
			}
			return nil
		},
		apply: func(g *group) {
			for id, ceiling := range ceilings {
				s.schedule.Raise(g.now, id, ceiling)
			}
		},
	})
}

// A load is what must be known of a lane that was claimed, beyond what is in memory.
type load struct {
	batch int // which of those claimed
	lane  *outbox.HeldLane[*entry]
	raw   [][]byte // the records of the entries; nil for one that must be read
	told  uint64   // the number of the record of what was told; 0 when there is none
	// progress tells whether that of the head must be read; fold that only the entries count.
	progress, fold bool

	toldValue, progressValue []byte
}

// loads are those of leases, before which there are so many batches.
func (s *Store) loads(held []*outbox.Held[*entry], before int) []load {
	loads := make([]load, 0, len(held))
	for i, h := range held {
		for n := range h.Lanes {
			lane := &h.Lanes[n]
			l := load{batch: before + i, lane: lane, raw: make([][]byte, len(lane.Entries)), fold: h.Fold}
			if !h.Fold {
				l.told, l.progress = s.lanes[lane.Key].seq, lane.Entries[0].progress
			}
			for at, e := range lane.Entries {
				l.raw[at] = e.record.raw
			}
			loads = append(loads, l)
		}
	}
	return loads
}

// complete tells whether nothing must be read.
func (l *load) complete() bool {
	return l.told == 0 && !l.progress &&
		!slices.ContainsFunc(l.raw, func(raw []byte) bool { return raw == nil })
}

func (s *Store) load(held []*outbox.Held[*entry], loads []load) ([]outbox.Batch, error) {
	batches := make([]outbox.Batch, len(held))
	for i, h := range held {
		batches[i] = outbox.Batch{
			Lease: h.Lease, Limiter: h.Limiter, Lanes: make([]outbox.LaneBatch, 0, len(h.Lanes)), Fold: h.Fold,
		}
	}
	add := func() {
		for i := range loads {
			to := &batches[loads[i].batch]
			to.Lanes = append(to.Lanes, s.laneBatch(&loads[i]))
		}
	}
	if !slices.ContainsFunc(loads, func(l load) bool { return !l.complete() }) {
		add()
		return batches, nil
	}
	return batches, s.db.View(func(tx *bbolt.Tx) error {
		r := reader{tx: tx}
		for i := range loads {
			if !loads[i].complete() {
				r.read(&loads[i])
			}
		}
		add()
		return nil
	})
}

// A reader reads what loads need. Opening a bucket costs as much as reading from it, so each is opened when first needed.
type reader struct {
	tx                        *bbolt.Tx
	webhooks, lanes, progress *bbolt.Bucket
}

func (r *reader) read(l *load) {
	for i, raw := range l.raw {
		if raw == nil {
			// What is handed out keeps parts of it beyond the transaction.
			l.raw[i] = slices.Clone(r.bucket(&r.webhooks, webhooksBucket).Get(key(l.lane.Entries[i].record.seq)))
		}
	}
	if l.told != 0 {
		l.toldValue = r.bucket(&r.lanes, lanesBucket).Get(key(l.told))
	}
	if l.progress {
		l.progressValue = r.bucket(&r.progress, progressBucket).Get(progressKey(l.lane.Entries[0]))
	}
}

func (r *reader) bucket(b **bbolt.Bucket, name string) *bbolt.Bucket {
	if *b == nil {
		*b = r.tx.Bucket([]byte(name))
	}
	return *b
}

// laneBatch puts together what is handed out of a lane. Of what was loaded it keeps the records alone. What is damaged is
// handed out without a notification: deliver puts it aside, and nothing else waits for it.
func (s *Store) laneBatch(l *load) outbox.LaneBatch {
	lane := outbox.LaneBatch{
		Lane: l.lane.Lane, Attempt: l.lane.Attempt, Crashes: l.lane.Crashes,
		Items: make([]outbox.Item, len(l.lane.Entries)),
	}
	for i, e := range l.lane.Entries {
		lane.Items[i] = outbox.Item{
			ID: e.id(), At: fromNanos(e.record.receivedAt), Requeued: fromNanos(e.record.requeued),
			Folded: e.record.fold.folded, Since: fromNanos(e.record.fold.since),
		}
		se, body, err := decodeEntry(l.raw[i], e.position)
		if err != nil {
			s.logDamage(e, err)
			continue
		}
		lane.Items[i].Notification = body
		if !l.fold {
			lane.Destination = se.destination // at last that of the newest
		}
	}
	if l.toldValue != nil {
		t := decodeTold(l.toldValue)
		lane.Ref, lane.Told, lane.ToldAt = t.ref, t.alerts, t.toldAt
	}
	if l.progressValue != nil {
		p, err := decodeProgress(l.progressValue)
		if err != nil {
			s.logDamage(l.lane.Entries[0], err)
			lane.Items[0].Notification = nil
		}
		lane.Rest = p.rest
	}
	return lane
}

func (s *Store) logDamage(e *entry, err error) {
	s.options.Logger.Error("A stored notification cannot be read", "component", "outbox", "entry", e.id(), "err", err)
}

// release gives back lanes that could not be read.
func (s *Store) release(held []*outbox.Held[*entry]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.options.Now()
	o := outbox.Outcome{Result: outbox.Release, After: time.Second}
	for _, h := range held {
		if begun := s.schedule.Begin(now, h.Nonce, o); begun != nil {
			s.schedule.Finish(now, begun, o)
		}
	}
}

// A progress is what became of one entry of a webhook that is still pending.
type progress struct {
	done    bool // ended, while other entries of its webhook are pending
	attempt int
	due     time.Time
	reason  relay.Kind // of the last failure; empty when there was none
	detail  string
	rest    []relay.Message
	bound   int // entries of the lane, from this one, that the rest tells
}

// encode encodes the progress with its rest, as encodeRest made it.
func (p progress) encode(rest []byte) []byte {
	var e encoder
	if p.done {
		e.uint(1)
		return e
	}
	e.uint(0)
	e.int(p.attempt)
	e.time(p.due)
	e.text(string(p.reason))
	e.text(p.detail)
	e.bytes(rest)
	if len(rest) > 0 {
		e.int(p.bound)
	}
	return e
}

// encodeRest returns nil when there is no rest.
func encodeRest(rest []relay.Message) ([]byte, error) {
	if len(rest) == 0 {
		return nil, nil
	}
	encoded, err := json.Marshal(rest)
	if err != nil {
		return nil, fmt.Errorf("encode rest: %w", err)
	}
	return encoded, nil
}

func decodeProgress(value []byte) (progress, error) {
	p, rest, err := splitProgress(value)
	if err == nil && len(rest) > 0 {
		if err = json.Unmarshal(rest, &p.rest); err != nil {
			err = fmt.Errorf("decode rest: %w", err)
		}
	}
	return p, err
}

// splitProgress reads a progress and leaves its rest encoded.
func splitProgress(value []byte) (progress, []byte, error) {
	d := &decoder{rest: value}
	if d.uint() == 1 {
		return progress{done: true}, nil, d.err()
	}
	p := progress{attempt: d.int(), due: d.time(), reason: relay.Kind(d.text()), detail: d.text()}
	rest := d.bytes()
	if len(rest) > 0 {
		p.bound = d.int()
	}
	return p, rest, d.err()
}

func progressKey(e *entry) []byte {
	return append(key(e.record.seq), byte(e.position>>24), byte(e.position>>16), byte(e.position>>8), byte(e.position))
}
