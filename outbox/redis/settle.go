package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

var errDigestRest = errors.New("a digest is one message")

// Settle implements outbox.Store.
func (s *Store) Settle(ctx context.Context, l outbox.Lease, o outbox.Outcome) error {
	var rest []byte
	if len(o.Rest) > 0 {
		var err error
		if rest, err = json.Marshal(o.Rest); err != nil {
			return fmt.Errorf("%w: settle: encode rest: %w", outbox.ErrUnavailable, err)
		}
	}
	args := make([]any, 0, 16+len(o.Items))
	args = append(args, l.Nonce, string(o.Result), flag(o.Ends()), flag(o.Counts()), o.After.Microseconds(),
		o.Hold.Microseconds(), string(o.HeldFor()), string(o.Ref), string(o.Reason), o.Detail, flag(o.Apart), rest,
		encodeOutcome(o), s.options.Retention.Milliseconds(), flag(o.Slot()), o.Notification)
	for _, id := range o.Items {
		args = append(args, id)
	}
	answer, err := s.run(ctx, s.scripts.settle, false, args)
	switch {
	case err != nil:
		return err
	case answer == int64(0):
		if now := s.now(); now.Before(l.Until) {
			s.sends.endUnknown(now, l.Nonce, o)
		}
		return outbox.ErrStale
	case answer == int64(2):
		return fmt.Errorf("%w: settle: %w", outbox.ErrUnavailable, errDigestRest)
	default:
		s.sends.end(s.now(), l.Nonce, o)
		return nil
	}
}

// Lift implements outbox.Store.
func (s *Store) Lift(ctx context.Context, reason relay.Kind) error {
	_, err := s.run(ctx, s.scripts.lift, true, []any{string(reason)})
	return err
}

func flag(set bool) int {
	if set {
		return 1
	}
	return 0
}
