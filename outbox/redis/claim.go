package redis

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

const (
	// maxTries bounds how often a claim begins anew because something changes under it.
	maxTries = 10
	// maxOrphans is how many lanes one script gives up.
	maxOrphans = 64
)

// Claim implements outbox.Store. It is sent once: when its answer is lost, what it leased is free again when the lease
// is over.
func (s *Store) Claim(ctx context.Context, c outbox.ClaimRequest) ([]outbox.Batch, time.Duration, error) {
	config := s.configure(c.Integrations)
	s.claiming.Lock()
	defer s.claiming.Unlock()
	if s.sends.takeUnknown() {
		s.last = unsure
	}
	for range maxTries {
		until, nonce := s.now().Add(c.Lease), rand.Text()
		answer, err := s.run(ctx, s.scripts.claim, false, []any{
			config.id, c.Max, c.Lease.Microseconds(), nonce, outbox.RemovedGrace.Microseconds(), rand.Text(), s.id, s.last,
		})
		if err != nil {
			s.last = unsure
			return nil, 0, err
		}
		l, ok := list(answer, 1)
		switch {
		case ok && text(l[0]) == "ok" && len(l) == 5:
			s.recognise(ctx, text(l[1]))
			batches, wait, err := s.claimed(ctx, l, until)
			if len(batches) > 0 {
				s.last = nonce
			}
			s.sends.began(s.now(), batches, config.limits)
			return batches, wait, err
		case ok && text(l[0]) == "forgot":
			err = s.tell(ctx)
		case ok && text(l[0]) == "bind":
			err = s.bind(ctx, config)
		case ok && text(l[0]) == "gone" && len(l) == 2:
			err = s.giveUp(ctx, c.Removed, l[1])
		default:
			err = unexpected(s.scripts.claim)
		}
		if err != nil {
			return nil, 0, err
		}
	}
	return nil, 0, fmt.Errorf("%w: claim: what it depends on keeps changing", outbox.ErrUnavailable)
}

// giveUp puts into the dead letters what has waited too long for an integration that is configured no more.
func (s *Store) giveUp(ctx context.Context, removed func(relay.IntegrationID, int), queues any) error {
	gone, _ := queues.([]any)
	outcome := outbox.Outcome{Reason: outbox.ReasonRemoved, Detail: "the integration is configured no more"}
	args := append([]any{
		outbox.RemovedGrace.Microseconds(), s.options.Retention.Milliseconds(), encodeOutcome(outcome), maxOrphans,
	}, gone...)
	for {
		answer, err := s.run(ctx, s.scripts.giveup, false, args)
		if err != nil {
			return err
		}
		l, ok := list(answer, 3)
		if !ok {
			return unexpected(s.scripts.giveup)
		}
		entries := map[relay.IntegrationID]int{}
		ended, _ := l[2].([]any)
		for _, definition := range ended {
			if q, err := decodeQueue(text(definition)); err == nil {
				entries[q.integration]++
			}
		}
		for id, n := range entries {
			s.options.Logger.WarnContext(ctx, "Moved what waited for a removed integration to the dead letters",
				"component", "outbox", "integration", id, "entries", n)
			if removed != nil {
				removed(id, n)
			}
		}
		if number(l[0]) == 0 || number(l[1]) == 0 {
			return nil
		}
	}
}

// claimed reads the answer of a claim.
func (s *Store) claimed(
	ctx context.Context, answer []any, until time.Time,
) ([]outbox.Batch, time.Duration, error) {
	var wait time.Duration
	now := fromMicros(text(answer[2]))
	s.clock.set(now, s.now())
	if due := fromMicros(text(answer[3])); !due.IsZero() {
		if s.options.Now != nil {
			now = s.options.Now()
		}
		wait = max(due.Sub(now), 1)
	}
	raw, _ := answer[4].([]any)
	if len(raw) == 0 {
		return nil, wait, nil
	}
	batches := make([]outbox.Batch, len(raw))
	for i, v := range raw {
		b, ok := list(v, 3)
		if !ok {
			return nil, 0, unexpected(s.scripts.claim)
		}
		lanes, _ := b[2].([]any)
		batches[i] = outbox.Batch{
			Lease: outbox.Lease{Nonce: text(b[0]), Until: until}, Limiter: relay.LimiterID(text(b[1])),
			Lanes: make([]outbox.LaneBatch, 0, len(lanes)),
		}
		batches[i].Fold = batches[i].Limiter == ""
		for _, v := range lanes {
			lane, ok := list(v, 7)
			if !ok {
				return nil, 0, unexpected(s.scripts.claim)
			}
			told := s.laneBatch(ctx, lane)
			if batches[i].Fold {
				told.Attempt = 0
			}
			batches[i].Lanes = append(batches[i].Lanes, told)
		}
	}
	return batches, wait, nil
}

// laneBatch puts together what is handed out of a lane. What is damaged is handed out without a notification: deliver
// puts it aside, and nothing else waits for it.
func (s *Store) laneBatch(ctx context.Context, v []any) outbox.LaneBatch {
	lane := outbox.LaneBatch{Attempt: number(v[0]) + 1, Crashes: number(v[1]), Ref: relay.Ref(text(v[2]))}
	damaged := func(err error) {
		s.options.Logger.ErrorContext(ctx, "What was stored of a group cannot be read", "component", "outbox",
			"group_key", lane.Lane.GroupKey, "err", err)
	}
	if before := text(v[3]); before != "" {
		told, err := decodeTelling(before)
		if err != nil {
			damaged(err)
		}
		lane.Told, lane.ToldAt = told.told, fromMicros(text(v[4]))
	}
	items, _ := v[6].([]any)
	lane.Items = make([]outbox.Item, 0, len(items))
	for _, item := range items {
		it, ok := list(item, 7)
		if !ok {
			damaged(errDamaged)
			continue
		}
		at, err := decodeAbout(text(it[2]))
		if err != nil {
			damaged(err)
		}
		lane.Lane = at.lane
		body, _ := it[4].(string)
		i := outbox.Item{
			ID: text(it[0]), At: at.receivedAt, Requeued: fromMicros(text(it[1])), Folded: number(it[5]),
			Since: fromMicros(text(it[6])),
		}
		if body != "" {
			i.Notification = []byte(body)
		}
		if to := text(it[3]); to != "" { // the newest
			t, err := decodeTelling(to)
			if err != nil {
				damaged(err)
			}
			lane.Destination = t.destination
		}
		lane.Items = append(lane.Items, i)
	}
	if rest := text(v[5]); rest != "" {
		if err := json.Unmarshal([]byte(rest), &lane.Rest); err != nil {
			damaged(err)
			lane.Items[0].Notification = nil
		}
	}
	return lane
}
