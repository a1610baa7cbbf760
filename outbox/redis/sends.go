package redis

import (
	"context"
	"sync"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

// sends are those of this process that a limit counts, for as long as it does. A server that was promoted in a failover
// may not have heard of the last of them; then it is told again.
type sends struct {
	mu    sync.Mutex
	known map[string]send // by nonce
	swept time.Time
}

type send struct {
	limiter string    // its key
	kept    time.Time // until when it may count
	ended   time.Time // zero while it is under way
}

// leastKept is how long a send is remembered at least: limits may change meanwhile.
const leastKept = time.Minute

// began remembers the sends of a claim that a limit counts.
func (s *sends) began(now time.Time, batches []outbox.Batch, limits map[relay.LimiterID]relay.Limit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range batches {
		if limit, limited := limits[b.Limiter]; limited {
			kept := b.Lease.Until.Add(max(limit.Per, leastKept))
			s.known[b.Lease.Nonce] = send{limiter: hashed(string(b.Limiter)), kept: kept}
		}
	}
	if now.Sub(s.swept) < leastKept {
		return
	}
	s.swept = now
	for nonce, send := range s.known {
		if send.kept.Before(now) {
			delete(s.known, nonce)
		}
	}
}

// end notes when a send ended.
func (s *sends) end(now time.Time, nonce string, o outbox.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.known[nonce]
	switch {
	case !ok:
	case !o.Slot():
		delete(s.known, nonce)
	default:
		known.ended = now
		s.known[nonce] = known
	}
}

// all are the arguments of the script that counts them: limiter, nonce, and how long ago each ended. What is under way
// counts from now on.
func (s *sends) all(now time.Time) []any {
	s.mu.Lock()
	defer s.mu.Unlock()
	var args []any
	for nonce, known := range s.known {
		var ago time.Duration
		if !known.ended.IsZero() {
			ago = now.Sub(known.ended)
		}
		args = append(args, known.limiter, nonce, ago.Microseconds())
	}
	return args
}

// A meeting is with which server this process talks.
type meeting struct {
	connections int64 // how many there were made until then
	runID       string
}

// meet finds out whether there is another server since the last time, and tells it of this process' own sends. It asks
// only when a connection was made since.
func (s *Store) meet(ctx context.Context) (another bool, err error) {
	connections := s.db.Connections()
	s.mu.Lock()
	met := s.met
	s.mu.Unlock()
	if connections == met.connections {
		return false, nil
	}
	server, err := s.db.Look(ctx, s.prefix[0])
	if err != nil {
		return false, nil //nolint:nilerr // a server that may not be asked is taken for the one it was
	}
	if another = met.runID != "" && server.RunID != met.runID; another {
		s.options.Logger.WarnContext(ctx, "Redis is another server than before",
			"component", "outbox", "run_id", server.RunID)
		if args := s.sends.all(s.now()); len(args) > 0 {
			if _, err := s.run(ctx, s.scripts.restamp, false, args); err != nil {
				return false, err
			}
		}
	}
	s.mu.Lock()
	s.met = meeting{connections, server.RunID}
	s.mu.Unlock()
	return another, nil
}

// recognise tells when the server does not hold any more what it held before.
func (s *Store) recognise(ctx context.Context, born string) {
	s.mu.Lock()
	before := s.born
	s.born = born
	s.mu.Unlock()
	if before != "" && before != born {
		s.lost.Inc()
		s.options.Logger.ErrorContext(ctx, "Redis has lost what it held: what was accepted and not yet told is gone",
			"component", "outbox", "namespace", s.options.Namespace)
	}
}
