package email

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// idleTimeout is how long a connection waits for the next mail. Servers close idle ones after five minutes at the
	// earliest (RFC 5321 §4.5.3.2.7), providers sooner.
	idleTimeout = 5 * time.Second
	// maxMails bounds the mails of one connection: providers do too, without saying where.
	maxMails = 50
)

// A pool keeps connections for the next mails: the greeting, TLS and the password cost more than a mail. It holds no more
// than were in use at once.
type pool struct {
	mu   sync.Mutex
	idle []*session
}

// take returns the connection that was used last, bound to ctx; nil when there is none.
func (p *pool) take(ctx context.Context) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		last := len(p.idle) - 1
		s := p.idle[last]
		p.idle = slices.Delete(p.idle, last, last+1)
		if s.idle.Stop() {
			s.bind(ctx)
			return s
		}
	}
	return nil
}

// give keeps a connection that took a mail, unless it has taken enough or its context has ended.
func (p *pool) give(s *session) {
	if s.mails++; s.mails >= maxMails || !s.stop() {
		s.close()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.idle = time.AfterFunc(idleTimeout, func() { p.drop(s) })
	p.idle = append(p.idle, s)
}

// drop ends a connection that has waited long enough.
func (p *pool) drop(s *session) {
	p.mu.Lock()
	if at := slices.Index(p.idle, s); at >= 0 {
		p.idle = slices.Delete(p.idle, at, at+1)
	}
	p.mu.Unlock()
	s.close()
}
