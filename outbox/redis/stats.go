package redis

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

// Stats implements outbox.Store. What limiters are pending for is said under the terms of this process' last claim.
func (s *Store) Stats(ctx context.Context) (outbox.Stats, error) {
	var terms map[relay.IntegrationID]outbox.Terms
	s.mu.Lock()
	if s.config != nil {
		terms = s.config.terms
	}
	s.mu.Unlock()
	limits := outbox.Limits(terms)
	limiters := slices.Sorted(maps.Keys(limits))
	args := []any{s.options.MaxPending, s.options.MaxBytes}
	for _, id := range limiters {
		args = append(args, hashed(string(id)), limits[id].Per.Microseconds())
	}
	answer, err := s.run(ctx, s.scripts.stats, false, args)
	if err != nil {
		return outbox.Stats{}, err
	}
	l, ok := list(answer, 10)
	if !ok {
		return outbox.Stats{}, unexpected(s.scripts.stats)
	}
	st := outbox.Stats{
		Full: number(l[0]) == 1, Pending: number(l[1]), Lanes: number(l[2]), InFlight: number(l[3]), Dead: number(l[4]),
		Oldest:   fromMicros(text(l[5])),
		Limiters: map[relay.LimiterID]int{}, Holds: map[relay.LimiterID]time.Time{},
		Windows: map[relay.LimiterID]outbox.Window{},
	}
	pending, _ := l[6].([]any)
	definitions, _ := l[7].([]any)
	for i, v := range definitions {
		q, err := decodeQueue(text(v))
		if err != nil || 2*i+1 >= len(pending) {
			return outbox.Stats{}, unexpected(s.scripts.stats)
		}
		for _, id := range terms[q.integration].Bound(q.limiters) {
			st.Limiters[id] += number(pending[2*i+1])
		}
	}
	used, _ := l[9].([]any)
	for i, id := range limiters[:min(len(limiters), len(used))] {
		st.Windows[id] = outbox.Window{Used: number(used[i]), Limit: limits[id]}
	}
	holds, _ := l[8].([]any)
	for i := 0; i+1 < len(holds); i += 2 {
		st.Holds[relay.LimiterID(text(holds[i]))] = fromMicros(text(holds[i+1]))
	}
	return st, nil
}
