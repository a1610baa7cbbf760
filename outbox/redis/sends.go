package redis

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

// sends are those of this process that a limit counts, for as long as it does. A server that was promoted in a failover, or
// came back without its last writes, may know nothing of the last of them; then it is told again.
type sends struct {
	mu    sync.Mutex
	known map[string]send // by nonce
	swept time.Time
	// unknown says that one ended of which the server did not know any more that it was under way: it may count there from
	// when the server was told of it, which is too early.
	unknown bool
}

type send struct {
	limiter string    // its key
	kept    time.Time // until when it may count
	until   time.Time // when its lease is over
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
			s.known[b.Lease.Nonce] = send{limiter: hashed(string(b.Limiter)), kept: kept, until: b.Lease.Until}
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

// endUnknown notes when a send ended whose lease the server has forgotten.
func (s *sends) endUnknown(now time.Time, nonce string, o outbox.Outcome) {
	s.end(now, nonce, o)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, limited := s.known[nonce]; limited {
		s.unknown = true
	}
}

// takeUnknown tells whether one ended so since it was last asked.
func (s *sends) takeUnknown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	unknown := s.unknown
	s.unknown = false
	return unknown
}

// sendArgs is how many arguments tell of a send.
const sendArgs = 3

// all are the arguments of the script that counts them: limiter, nonce, and how long ago each ended, or its lease was over.
// What is under way counts from now on.
func (s *sends) all(now time.Time) []any {
	s.mu.Lock()
	defer s.mu.Unlock()
	var args []any
	for nonce, known := range s.known {
		if known.kept.Before(now) {
			continue
		}
		var ago time.Duration
		switch {
		case !known.ended.IsZero():
			ago = now.Sub(known.ended)
		case known.until.Before(now): // and nobody settled it
			ago = now.Sub(known.until)
		}
		args = append(args, known.limiter, nonce, ago.Microseconds())
	}
	return args
}

// unsure is what a server never knows as the nonce of a claim.
const unsure = "?"

// tell tells the server of this process' sends, because it does not know what was claimed last: it was promoted in a
// failover or came back without its last writes, or it is the answer that was lost. From then on it knows all.
func (s *Store) tell(ctx context.Context) error {
	nonce, args := rand.Text(), s.sends.all(s.now())
	if _, err := s.run(ctx, s.scripts.restamp, false, append([]any{s.id, nonce}, args...)); err != nil {
		return err
	}
	s.last = nonce
	if len(args) > 0 {
		s.options.Logger.InfoContext(ctx, "Told Redis of this relay's last sends once more, which it may have forgotten",
			"component", "outbox", "sends", len(args)/sendArgs)
	}
	return nil
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
