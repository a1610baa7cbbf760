package redis

import (
	"context"
	"fmt"

	"github.com/alertrelay/relay/internal/redisdb"
	"github.com/alertrelay/relay/outbox"
)

// Requeue implements outbox.Operations.
func (s *Store) Requeue(ctx context.Context, r outbox.RequeueRequest) ([]outbox.Decision, error) {
	return s.decide(ctx, s.scripts.requeue, r.IDs,
		s.options.DeadRetention.Microseconds(), s.options.Retention.Microseconds(), flag(r.Force), s.options.MaxPending,
		s.options.MaxBytes)
}

// Drop implements outbox.Operations.
func (s *Store) Drop(ctx context.Context, ids []string) ([]outbox.Decision, error) {
	return s.decide(ctx, s.scripts.drop, ids, s.options.DeadRetention.Microseconds())
}

// decide runs a script that answers of each id why nothing was done.
func (s *Store) decide(
	ctx context.Context, script *redisdb.Script, ids []string, args ...any,
) ([]outbox.Decision, error) {
	if len(ids) > outbox.MaxIDs {
		err := fmt.Errorf("%d ids are more than %d", len(ids), outbox.MaxIDs)
		return nil, unavailable(script.Name, err)
	}
	for _, id := range ids {
		args = append(args, id)
	}
	answer, err := s.run(ctx, script, true, args)
	if err != nil {
		return nil, err
	}
	if answer == nil && len(ids) > 0 {
		return nil, outbox.ErrFull
	}
	l, ok := list(answer, len(ids))
	if !ok {
		return nil, unexpected(script)
	}
	decisions := make([]outbox.Decision, len(ids))
	for i, id := range ids {
		decisions[i] = outbox.Decision{ID: id, Refusal: outbox.Refusal(text(l[i]))}
	}
	return decisions, nil
}
