package redis

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/alertrelay/relay/internal/redisdb"
	"github.com/alertrelay/relay/outbox"
)

var _ outbox.Store = (*Store)(nil)

// Options are the settings of a Store; the zero value has the defaults.
type Options struct {
	// Namespace keeps several stores in one Redis apart; default "relay".
	Namespace string
	// Retention is how long history, what was told in a lane, and what is saved with an alert not seen any more are
	// kept; default 7 days.
	Retention time.Duration
	// DeadRetention is how long dead letters are kept; default 30 days.
	DeadRetention time.Duration
	// MaxPending is how many entries may be pending before Accept answers ErrFull; default 100,000.
	MaxPending int
	// MaxBytes is how many bytes of entries may be pending before Accept answers ErrFull; default 512 MB.
	MaxBytes int
	// MaxHistory is about how many events are kept, if they are not older than the retention; default 200,000.
	MaxHistory int
	// SweepEvery is how often what is past its time is looked for; default 1 minute.
	SweepEvery time.Duration
	// Now is a clock in place of the server's, for tests.
	Now func() time.Time
	// Registerer takes the metrics; nil: nobody does.
	Registerer prometheus.Registerer
	// Logger is told what nobody asked for: lanes given up, data lost; default: nobody is.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	o.Namespace = cmp.Or(o.Namespace, "relay")
	o.Retention = cmp.Or(o.Retention, 7*24*time.Hour)
	o.DeadRetention = cmp.Or(o.DeadRetention, 30*24*time.Hour)
	o.MaxPending = cmp.Or(o.MaxPending, 100_000)
	o.MaxBytes = cmp.Or(o.MaxBytes, 512<<20)
	o.MaxHistory = cmp.Or(o.MaxHistory, 200_000)
	o.SweepEvery = cmp.Or(o.SweepEvery, time.Minute)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	return o
}

// A Store is the outbox in Redis. It is safe for concurrent use, by any number of processes.
type Store struct {
	options Options
	db      *redisdb.DB
	prefix  []string // the key of every script
	scripts scripts

	closing   chan struct{}
	sweeping  sync.WaitGroup
	closeOnce sync.Once

	id    string // of this process
	sends sends
	clock serverClock
	lost  prometheus.Counter

	claiming sync.Mutex // held during a claim: they go one after another
	last     string     // the nonce of the last that took something: a server that knows it knows all before it

	mu     sync.Mutex
	config *configuration // of the last claim
	born   string         // what the data is recognised by
}

// New returns the store in a Redis. Close leaves the connection open.
func New(db *redisdb.DB, options Options) *Store {
	s := &Store{options: options.withDefaults(), db: db, id: rand.Text(), closing: make(chan struct{})}
	s.sends.known = map[string]send{}
	s.lost = promauto.With(s.options.Registerer).NewCounter(prometheus.CounterOpts{
		Name: "relay_redis_data_lost_total",
		Help: "How often Redis was found to hold other data than before: it was flushed or restored.",
	})
	s.prefix = []string{Prefix(s.options.Namespace)}
	s.scripts = newScripts(db)
	s.sweeping.Go(s.sweep)
	return s
}

// Close implements outbox.Store. The leases of this process end in their time.
func (s *Store) Close() error {
	s.closeOnce.Do(func() { close(s.closing) })
	s.sweeping.Wait()
	return nil
}

// run runs a script. A durable one is with as many replicas as were asked for when run returns.
func (s *Store) run(ctx context.Context, script *redisdb.Script, durable bool, args []any) (any, error) {
	head := []any{"", s.options.MaxHistory}
	if s.options.Now != nil {
		head[0] = micros(s.options.Now())
	}
	answer, err := s.db.Run(ctx, redisdb.Call{Script: script, Keys: s.prefix, Head: head, Args: args, Durable: durable})
	switch {
	case errors.Is(err, redisdb.ErrFull):
		return nil, fmt.Errorf("%w: %w", outbox.ErrFull, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", outbox.ErrUnavailable, err) // which names the script
	default:
		return answer, nil
	}
}

func unavailable(operation string, err error) error {
	return fmt.Errorf("%w: %s: %w", outbox.ErrUnavailable, operation, err)
}

// now is the time in this process.
func (s *Store) now() time.Time {
	if s.options.Now != nil {
		return s.options.Now()
	}
	return time.Now()
}

// micros is a time as scripts know it.
func micros(t time.Time) string { return strconv.FormatInt(t.UnixMicro(), 10) }

// fromMicros reads a time from a script; what is none is the zero time.
func fromMicros(text string) time.Time {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// errAnswer is what a script answers that is not of this version.
var errAnswer = errors.New("unexpected answer of a script")

func unexpected(s *redisdb.Script) error {
	return fmt.Errorf("%w: %s: %w", outbox.ErrUnavailable, s.Name, errAnswer)
}

// list reads an answer that is a list of at least n.
func list(answer any, n int) ([]any, bool) {
	l, ok := answer.([]any)
	return l, ok && len(l) >= n
}

// text reads a text; nil is empty.
func text(v any) string {
	t, _ := v.(string)
	return t
}

// number reads a number, which may be a text.
func number(v any) int {
	switch v := v.(type) {
	case int64:
		return int(v)
	case string:
		n, _ := strconv.Atoi(v)
		return n
	default:
		return 0
	}
}
