package bolt

import (
	"context"
	"time"

	"github.com/alertrelay/relay"
)

// Lift implements outbox.Store.
func (s *Store) Lift(ctx context.Context, reason relay.Kind) error {
	var lifted map[relay.LimiterID]time.Time
	return s.submit(&change{
		ctx: ctx,
		stage: func(g *group) error {
			lifted = s.schedule.Lift(g.now, reason)
			for id := range lifted {
				g.limiters[id] = max(0, g.limiters[id])
			}
			return nil
		},
		revert: func() {
			for id, until := range lifted {
				s.schedule.Hold(id, until, reason)
			}
		},
	})
}
