package recorder

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"time"
)

// A Config says what is recorded, and where it goes. Sink and Labels are required.
type Config struct {
	// Sink takes what is recorded: Relay, Redis, or one of your own.
	Sink Sink
	// Labels are those under which the relay looks for the context of an alert. Their names are one of its sets of
	// snapshots.lookup, {service, instance} or {service} by default, and their values those that alerts have.
	Labels map[string]string

	// Room returns the room of a request; empty when it has none. It is called after the request has ended, for requests
	// that are recorded only: path values are known by then, the body is read.
	Room func(*http.Request) string
	// TraceID returns the trace of a request. Where it is nil or returns nothing, the header traceparent is read, and
	// then TraceHeader. See OpenTelemetry.
	TraceID func(*http.Request) string
	// TraceHeader is a header that holds a trace id: X-Request-Id. Empty means none.
	TraceHeader string
	// Slow is how long a request may take until it is recorded although it succeeded; 0 means for ever. A streamed answer
	// counts to its end; hijacked connections, such as WebSocket's, are never slow.
	Slow time.Duration

	// Queue is how many snapshots may wait; default 100. The queue is sent once in Interval, so the two together bound
	// what an application sends.
	Queue int
	// Interval is how long the first snapshot waits for others; default 1 s. While the sink fails it grows to 32 times as
	// long.
	Interval time.Duration
	// Logger is told when the sink begins to fail and when it works again; nil means nobody is.
	Logger *slog.Logger
}

// A Sink takes snapshots, oldest first.
type Sink interface {
	// Put stores all snapshots. After an error they are put again later, together with newer ones, so a snapshot may be
	// put twice; after one that is ErrRefused they are dropped. It returns when ctx ends.
	Put(ctx context.Context, snapshots []Snapshot) error
}

// A checker is a Sink that says at once what will not work.
type checker interface {
	check(labels map[string]string) error
}

// ErrRefused is in the chain of a Sink's error when the same snapshots would be refused again.
var ErrRefused = errors.New("snapshots refused")

// errClosed is what Flush answers after Close.
var errClosed = errors.New("recorder: closed")

const (
	defaultQueue    = 100
	defaultInterval = time.Second
	maxBackoff      = 32 // intervals
	putTime         = 10 * time.Second
)

// A Recorder records the context of requests. It is safe for concurrent use.
type Recorder struct {
	cfg Config

	wake    chan struct{}      // the queue is not empty any more
	stop    context.CancelFunc // ends the goroutine
	done    chan struct{}      // it has ended
	sending chan struct{}      // held by who sends

	mu      sync.Mutex
	queue   []Snapshot
	closed  bool
	failing bool
	stats   Stats
}

// Stats count what became of snapshots since the start.
type Stats struct {
	Sent     uint64 // taken by the sink
	Dropped  uint64 // lost: the queue was full, Room or TraceID panicked, the sink refused them, or after Close
	Failures uint64 // calls of the sink that failed
}

// New returns a Recorder that works until Close.
func New(cfg Config) (*Recorder, error) {
	if cfg.Sink == nil {
		return nil, errors.New("recorder: Config.Sink is required")
	}
	if len(cfg.Labels) == 0 {
		return nil, errors.New("recorder: Config.Labels is required: without labels no alert finds what is recorded")
	}
	for name, value := range cfg.Labels {
		if name == "" || value == "" {
			return nil, errors.New("recorder: Config.Labels: a label needs a name and a value")
		}
	}
	if c, ok := cfg.Sink.(checker); ok {
		if err := c.check(cfg.Labels); err != nil {
			return nil, err
		}
	}
	cfg.Labels = maps.Clone(cfg.Labels)
	if cfg.Queue <= 0 {
		cfg.Queue = defaultQueue
	}
	if cfg.Interval <= 0 {
		cfg.Interval = defaultInterval
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &Recorder{
		cfg: cfg, wake: make(chan struct{}, 1), stop: stop, done: make(chan struct{}), sending: make(chan struct{}, 1),
	}
	go r.run(ctx)
	return r, nil
}

// Observe looks at a request that has ended with a status, after some time, and records it when it ended in a 5xx or was
// slow. It is for frameworks that Middleware does not fit. A panic is a 500; of a hijacked connection the time is 0.
func (r *Recorder) Observe(req *http.Request, status int, took time.Duration) {
	if status < http.StatusInternalServerError && (r.cfg.Slow <= 0 || took < r.cfg.Slow) {
		return
	}
	if r.full() { // what is not kept need not be found out
		return
	}
	if s, ok := r.about(req); ok {
		r.Record(s)
	}
}

// about is what there is to record about a request. A panic of the application's own functions must not become one of
// the request, which is answered: nothing is recorded then.
func (r *Recorder) about(req *http.Request) (s Snapshot, ok bool) {
	defer func() {
		if recover() != nil {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.stats.Dropped++
		}
	}()
	s = Snapshot{TraceID: r.traceID(req), UserAgent: req.UserAgent()}
	if r.cfg.Room != nil {
		s.RoomID = r.cfg.Room(req)
	}
	return s, true
}

// Record records a snapshot of something else than an HTTP request: a job, a message, a call of another protocol.
// Labels and Time are Config's and the present when not given. One of which nothing is known is left out.
func (r *Recorder) Record(s Snapshot) {
	if s.TraceID == "" && s.RoomID == "" && s.UserAgent == "" && len(s.Extra) == 0 {
		return
	}
	if len(s.Labels) == 0 {
		s.Labels = r.cfg.Labels
	}
	if s.Time.IsZero() {
		s.Time = time.Now().UTC()
	}
	s = s.bounded()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || len(r.queue) >= r.cfg.Queue {
		r.stats.Dropped++
		return
	}
	r.queue = append(r.queue, s)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Stats returns what became of the snapshots so far.
func (r *Recorder) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

// Flush sends what waits, now. It returns when that is done, or ctx ends.
func (r *Recorder) Flush(ctx context.Context) error {
	r.mu.Lock()
	closed := r.closed
	r.mu.Unlock()
	if closed {
		return errClosed
	}
	return r.send(ctx)
}

// Close sends what waits and ends the recorder. It returns when that is done, or ctx ends; what could not be sent by then
// is dropped. The middleware stays usable and records nothing any more.
func (r *Recorder) Close(ctx context.Context) error {
	r.mu.Lock()
	closed := r.closed
	r.closed = true
	r.mu.Unlock()
	if closed {
		return nil
	}
	r.stop()
	<-r.done
	err := r.send(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Dropped += uint64(len(r.queue))
	r.queue = nil
	return err
}

// full counts and reports a snapshot for which there is no room.
func (r *Recorder) full() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed && len(r.queue) < r.cfg.Queue {
		return false
	}
	r.stats.Dropped++
	return true
}

func (r *Recorder) traceID(req *http.Request) string {
	if r.cfg.TraceID != nil {
		if id := r.cfg.TraceID(req); id != "" {
			return id
		}
	}
	if id := traceparent(req); id != "" || r.cfg.TraceHeader == "" {
		return id
	}
	return req.Header.Get(r.cfg.TraceHeader)
}

// run sends the queue an interval after its first snapshot came, and less often while the sink fails.
func (r *Recorder) run(ctx context.Context) {
	defer close(r.done)
	for wait := r.cfg.Interval; ; {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		put, cancel := context.WithTimeout(ctx, putTime)
		if r.send(put) == nil {
			wait = r.cfg.Interval
		} else {
			wait = min(2*wait, maxBackoff*r.cfg.Interval)
		}
		cancel()
	}
}

// send hands the queue to the sink, and takes it back when the sink fails: the newest first, as many as there is room
// for. One call at a time.
func (r *Recorder) send(ctx context.Context) error {
	select {
	case r.sending <- struct{}{}:
		defer func() { <-r.sending }()
	case <-ctx.Done():
		return ctx.Err()
	}
	r.mu.Lock()
	batch := r.queue
	r.queue = nil
	r.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	err := r.cfg.Sink.Put(ctx, batch)
	r.mu.Lock()
	defer r.mu.Unlock()
	began, ended := err != nil && !r.failing, err == nil && r.failing
	r.failing = err != nil
	switch {
	case err == nil:
		r.stats.Sent += uint64(len(batch))
	case errors.Is(err, ErrRefused):
		r.stats.Failures++
		r.stats.Dropped += uint64(len(batch))
	default:
		r.stats.Failures++
		r.takeBack(batch)
	}
	switch {
	case began:
		r.cfg.Logger.WarnContext(ctx, "Cannot record the context of requests", "err", err)
	case ended:
		r.cfg.Logger.InfoContext(ctx, "Records the context of requests again")
	}
	return err
}

// takeBack puts a batch before what came meanwhile. What there is no room for is dropped, the oldest first.
func (r *Recorder) takeBack(batch []Snapshot) {
	r.queue = append(batch, r.queue...)
	if over := len(r.queue) - r.cfg.Queue; over > 0 {
		r.stats.Dropped += uint64(over)
		r.queue = r.queue[over:]
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
