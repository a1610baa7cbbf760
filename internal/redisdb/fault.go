package redisdb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	goredis "github.com/redis/go-redis/v9"
)

// The errors that count. A retry later may succeed after each.
var (
	// ErrUnavailable means that Redis could not be reached, did not answer in time, or refuses: it is loading, a replica,
	// or cannot persist. What was sent may have been done.
	ErrUnavailable = errors.New("redis is unavailable")
	// ErrFull means that Redis has no memory for what was sent: nothing was done.
	ErrFull = errors.New("redis has reached its maxmemory")
	// ErrNotRun means that a script was not sent, and will not be. It is an ErrUnavailable.
	ErrNotRun = fmt.Errorf("%w: not sent", ErrUnavailable)
)

// A ShortError says that something was written, but by fewer replicas than min_acks asks for. It stays written, and is an
// ErrUnavailable.
type ShortError struct{ Acks, MinAcks int }

// Error tells how many replicas have the write.
func (e *ShortError) Error() string {
	return fmt.Sprintf("%d of %d replicas of redis have the write", e.Acks, e.MinAcks)
}

// Unwrap returns ErrUnavailable.
func (e *ShortError) Unwrap() error { return ErrUnavailable }

// Fault turns an error of the client into one of this package, and remembers what it says about Redis. It returns nil for
// nil and for goredis.Nil. When ctx has ended that is the reason, and says nothing about Redis.
func (db *DB) Fault(ctx context.Context, err error) error {
	switch {
	case err == nil || errors.Is(err, goredis.Nil):
		db.health.good(ctx)
		return nil
	case past(ctx):
		return fmt.Errorf("%w: %w", ErrUnavailable, cmp.Or(context.Cause(ctx), context.DeadlineExceeded))
	case goredis.HasErrorPrefix(err, "OOM "):
		db.health.good(ctx)
		db.metrics.errors.WithLabelValues(reasonFull).Inc()
		return ErrFull
	}
	if cluster, ok := db.client.(*goredis.ClusterClient); ok {
		cluster.ReloadState(ctx) // the slot may have moved, or its server have died
	}
	err = db.conceal.error(err)
	db.metrics.errors.WithLabelValues(reasonUnavailable).Inc()
	db.health.bad(ctx, err)
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// past tells whether ctx has ended, or is about to: a connection that has its deadline may be first to know.
func past(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(deadline)
}

// health knows whether Redis answered the last time, and tells the log when that changes.
type health struct {
	logger *slog.Logger
	up     prometheus.Gauge

	mu     sync.Mutex
	cause  error
	since  time.Time
	denied bool // whether cause is what the server itself says against this client
}

func (h *health) err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cause
}

func (h *health) good(ctx context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.up.Set(1)
	if h.cause == nil {
		return
	}
	h.cause, h.denied = nil, false
	h.logger.InfoContext(ctx, "Redis is available again", "down", time.Since(h.since).Round(time.Millisecond))
}

func (h *health) bad(ctx context.Context, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.up.Set(0)
	if h.cause == nil {
		h.since = time.Now()
	} else if h.denied || !denied(err) {
		return
	}
	h.cause, h.denied = err, denied(err)
	h.logger.ErrorContext(ctx, "Redis is unavailable: what needs it is refused or left out until it is back", "err", err)
}

// denied tells whether the server said why it does not speak with this client: it does not take its certificate, for
// example. TLS 1.3 tells a client only after its first words, when a connection that breaks may come first.
func denied(err error) bool {
	var alert *net.OpError
	return errors.As(err, &alert) && alert.Op == "remote error" // which is how crypto/tls calls one
}
