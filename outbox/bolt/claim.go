package bolt

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

// Claim implements outbox.Store. What is claimed is chosen in memory; what it says is read only when it is not recent, was
// tried before, or has something told before it. A lane is claimed one entry at a time.
func (s *Store) Claim(ctx context.Context, c outbox.ClaimRequest) ([]outbox.Batch, time.Duration, error) {
	if ctx.Err() != nil {
		return nil, 0, unavailable("claim", context.Cause(ctx))
	}
	s.mu.Lock()
	held, wait := s.schedule.Claim(s.options.Now(), c, rand.Text)
	loads := make([]load, len(held))
	for i, h := range held {
		loads[i] = load{held: h, raw: h.Entry.record.raw, told: s.lanes[h.Key].seq}
	}
	s.mu.Unlock()
	if len(held) == 0 {
		return nil, wait, nil
	}
	batches, err := s.load(loads)
	if err != nil {
		s.release(held)
		return nil, 0, unavailable("claim", err)
	}
	return batches, wait, nil
}

// A load is what must be read of a lane that was claimed.
type load struct {
	held *outbox.Held[*entry]
	raw  []byte // the webhook's record; nil when it must be read
	told uint64 // the number of the record of what was told; 0 when there is none
}

func (s *Store) load(loads []load) ([]outbox.Batch, error) {
	batches := make([]outbox.Batch, len(loads))
	var read []int
	for i, l := range loads {
		if l.raw == nil || l.told != 0 || l.held.Entry.progress {
			read = append(read, i)
			continue
		}
		batches[i] = s.batch(l, nil, nil)
	}
	if len(read) == 0 {
		return batches, nil
	}
	return batches, s.db.View(func(tx *bbolt.Tx) error {
		var webhooks, lanes *bbolt.Bucket // opening one costs as much as reading from it
		for _, i := range read {
			l := loads[i]
			e := l.held.Entry
			if l.raw == nil {
				if webhooks == nil {
					webhooks = tx.Bucket([]byte(webhooksBucket))
				}
				l.raw = slices.Clone(webhooks.Get(key(e.record.seq)))
			}
			var told, rest []byte
			if l.told != 0 {
				if lanes == nil {
					lanes = tx.Bucket([]byte(lanesBucket))
				}
				told = lanes.Get(key(l.told))
			}
			if e.progress {
				rest = tx.Bucket([]byte(progressBucket)).Get(progressKey(e))
			}
			batches[i] = s.batch(l, told, rest)
		}
		return nil
	})
}

// batch puts together what is handed out. What is damaged is handed out without a notification: deliver puts it aside, and
// nothing else waits for it.
func (s *Store) batch(l load, toldValue, progressValue []byte) outbox.Batch {
	b, err := assemble(l, toldValue, progressValue)
	if err == nil {
		return b
	}
	h := l.held
	s.options.Logger.Error("A stored notification cannot be read", "component", "outbox", "entry", h.Entry.id(), "err", err)
	return outbox.Batch{Lease: h.Lease, Limiter: h.Limiter, Lanes: []outbox.LaneBatch{{
		Lane: h.Lane, Attempt: h.Attempt, Crashes: h.Crashes,
		Items: []outbox.Item{{ID: h.Entry.id(), At: fromNanos(h.Entry.record.receivedAt)}},
	}}}
}

// assemble puts together what is sound. Only l.raw is kept in it, so the other values may be of a transaction.
func assemble(l load, toldValue, progressValue []byte) (outbox.Batch, error) {
	h := l.held
	e, body, err := decodeEntry(l.raw, h.Entry.position)
	if err != nil {
		return outbox.Batch{}, fmt.Errorf("webhook %s: %w", h.Entry.record.id, err)
	}
	lane := outbox.LaneBatch{
		Lane: h.Lane, Destination: e.destination, Attempt: h.Attempt, Crashes: h.Crashes,
		Items: []outbox.Item{{ID: h.Entry.id(), At: fromNanos(h.Entry.record.receivedAt), Notification: body}},
	}
	if toldValue != nil {
		t := decodeTold(toldValue)
		lane.Ref, lane.Told = t.ref, t.alerts
	}
	if progressValue != nil {
		p, err := decodeProgress(progressValue)
		if err != nil {
			return outbox.Batch{}, fmt.Errorf("progress of %s: %w", h.Entry.id(), err)
		}
		lane.Rest = p.rest
	}
	return outbox.Batch{Lease: h.Lease, Limiter: h.Limiter, Lanes: []outbox.LaneBatch{lane}}, nil
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
	rest    []relay.Message
}

func (p progress) encode() ([]byte, error) {
	var e encoder
	if p.done {
		e.uint(1)
		return e, nil
	}
	e.uint(0)
	e.int(p.attempt)
	e.time(p.due)
	var rest []byte
	if len(p.rest) > 0 {
		var err error
		if rest, err = json.Marshal(p.rest); err != nil {
			return nil, fmt.Errorf("encode rest: %w", err)
		}
	}
	e.bytes(rest)
	return e, nil
}

func decodeProgress(value []byte) (progress, error) {
	d := &decoder{rest: value}
	if d.uint() == 1 {
		return progress{done: true}, d.err()
	}
	p := progress{attempt: d.int(), due: d.time()}
	if rest := d.bytes(); len(rest) > 0 {
		if err := json.Unmarshal(rest, &p.rest); err != nil {
			return progress{}, fmt.Errorf("decode rest: %w", err)
		}
	}
	return p, d.err()
}

func progressKey(e *entry) []byte {
	return append(key(e.record.seq), byte(e.position>>24), byte(e.position>>16), byte(e.position>>8), byte(e.position))
}
