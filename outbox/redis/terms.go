package redis

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

// termsKept is how long Redis keeps the terms of a configuration; then a claim brings them again.
const termsKept = 24 * time.Hour

// A configuration is the terms of a claim. Relays with the same terms share what Redis knows of them.
type configuration struct {
	id     string
	terms  map[relay.IntegrationID]outbox.Terms
	limits map[relay.LimiterID]relay.Limit
}

// configure returns the configuration of a claim. A caller that keeps one map for one configuration pays nothing.
func (s *Store) configure(terms map[relay.IntegrationID]outbox.Terms) *configuration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.config != nil && reflect.ValueOf(terms).Pointer() == reflect.ValueOf(s.config.terms).Pointer() {
		return s.config
	}
	var texts []string
	for _, id := range slices.Sorted(maps.Keys(terms)) {
		t := terms[id]
		texts = append(texts, string(id),
			fmt.Sprint(t.Limit.Messages, t.Limit.Per, t.MaxInFlight, t.Backlog, t.Digest, len(t.Limiters)))
		for _, l := range t.Limiters {
			texts = append(texts, string(l))
		}
	}
	s.config = &configuration{id: hashed(texts...), terms: terms, limits: outbox.Limits(terms)}
	return s.config
}

// bind writes down what a configuration says of the queues that there are, unless that is done. One that comes
// meanwhile is found by the next claim.
func (s *Store) bind(ctx context.Context, c *configuration) error {
	answer, err := s.run(ctx, s.scripts.queues, false, []any{c.id})
	if err != nil {
		return err
	}
	l, ok := list(answer, 3)
	if !ok {
		return unexpected(s.scripts.queues)
	}
	gen := text(l[0])
	if gen == text(l[1]) {
		return nil
	}
	pairs, _ := l[2].([]any)
	queues, err := decodeQueues(pairs)
	if err != nil {
		return err
	}
	args := []any{"gen", gen}
	for id := range c.terms {
		args = append(args, "i"+hashed(string(id)), 1)
	}
	serves, names := map[string]string{}, map[string]string{} // limiter → queues, and → name
	for key, q := range queues {
		t, known := c.terms[q.integration]
		limiters := q.limiters
		var value strings.Builder
		value.WriteString(hashed(string(q.integration)))
		if known {
			limiters = t.Bound(limiters)
			fmt.Fprintf(&value, " %d %d %d %d %d", t.Limit.Messages, t.Limit.Per.Microseconds(), t.MaxInFlight, merges(t), t.Digest)
		}
		value.WriteByte(' ')
		for _, id := range limiters {
			l := hashed(string(id))
			value.WriteString(l)
			if known {
				serves[l] += key
				names[l] = string(id)
			}
		}
		args = append(args, "q"+key, value.String())
	}
	for l, queues := range serves {
		args = append(args, "l"+l, queues)
	}
	header := []any{c.id, termsKept.Milliseconds(), len(names)}
	for l, name := range names {
		header = append(header, l, name)
	}
	_, err = s.run(ctx, s.scripts.bind, false, append(header, args...))
	return err
}

// decodeQueues reads pairs of key and definition.
func decodeQueues(pairs []any) (map[string]queue, error) {
	queues := make(map[string]queue, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		q, err := decodeQueue(text(pairs[i+1]))
		if err != nil {
			return nil, fmt.Errorf("%w: queue %s: %w", outbox.ErrUnavailable, text(pairs[i]), err)
		}
		queues[text(pairs[i])] = q
	}
	return queues, nil
}

func merges(t outbox.Terms) int {
	if t.Backlog == relay.BacklogMerge {
		return 1
	}
	return 0
}
