package redis

import (
	"context"
	"time"
)

// What one sweep does at most.
const (
	maxQueues  = 1000 // remembered, also without anything pending
	sweepStep  = 500  // dead letters removed in one step
	sweepBound = 10 * time.Second
)

// sweep removes what is past its time, now and then, until the store is closed. Every relay does; what one has removed,
// the others do not find.
func (s *Store) sweep() {
	ticker := time.NewTicker(s.options.SweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.sweepOnce()
		case <-s.closing:
			return
		}
	}
}

// sweepOnce gives up on an error: the client has told it, and the next sweep comes.
func (s *Store) sweepOnce() {
	ctx, cancel := context.WithTimeout(context.Background(), sweepBound)
	defer cancel()
	for {
		answer, err := s.run(ctx, s.scripts.sweep, false, []any{
			s.options.Retention.Milliseconds(), s.options.DeadRetention.Microseconds(), maxQueues, sweepStep,
		})
		if err != nil || number(answer) < sweepStep {
			return
		}
	}
}
