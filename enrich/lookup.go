package enrich

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/alertrelay/relay"
)

const (
	// lookupTime bounds all look-ups of one notification together.
	lookupTime = time.Second
	// restAfter is how many failures in a row make a source rest, restFor how long: then one notification asks it again,
	// and it rests on if that fails too.
	restAfter = 5
	restFor   = 30 * time.Second
)

// lookUp asks the look-ups side by side, for lookupTime at most, and adds to found what they know. A look-up that outranks
// the one that found a trace is asked once more: with the trace it may know the rest.
func (e *Enricher) lookUp(ctx context.Context, alerts relay.Alerts, found []relay.Snapshot, wanted []int) {
	if len(e.lookups) == 0 || len(wanted) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	e.ask(ctx, e.lookups, alerts, found, wanted)
	for i := range e.lookups[1:] {
		source := e.lookups[i+1].Name()
		traced := slices.DeleteFunc(slices.Clone(wanted), func(at int) bool {
			return found[at].Sources[TraceID] != source || complete(found[at])
		})
		if len(traced) > 0 {
			e.ask(ctx, e.lookups[:i+1], alerts, found, traced)
		}
	}
}

// complete reports whether no look-up could add a field that every snapshot has.
func complete(s relay.Snapshot) bool { return s.TraceID != "" && s.RoomID != "" && s.UserAgent != "" }

// ask asks lookups about the alerts at the indexes wanted. Each gets a copy of its own, which it may still read when nobody
// waits for it any more.
func (e *Enricher) ask(
	ctx context.Context, lookups []*lookup, alerts relay.Alerts, found []relay.Snapshot, wanted []int,
) {
	answers := make([][]relay.Snapshot, len(lookups))
	var all sync.WaitGroup
	for i, l := range lookups {
		asked := make(relay.Alerts, len(wanted))
		for j, at := range wanted {
			asked[j] = alerts[at]
			known := &found[at]
			asked[j].Snapshot = relay.Snapshot{TraceID: known.TraceID, RoomID: known.RoomID, UserAgent: known.UserAgent}
		}
		if i == len(lookups)-1 { // the last one here: with a single one nobody has to be waited for
			answers[i] = l.find(ctx, asked)
			break
		}
		all.Go(func() { answers[i] = l.find(ctx, asked) })
	}
	all.Wait()
	for i, l := range lookups {
		for j := range min(len(answers[i]), len(wanted)) {
			e.add(&found[wanted[j]], l.Name(), answers[i][j])
		}
	}
}

// A lookup is a Source that rests when it fails too often in a row.
type lookup struct {
	Source
	metrics *Metrics
	logger  *slog.Logger

	mu       sync.Mutex
	failures int // in a row
	until    time.Time
}

// find asks the source, unless it rests.
func (l *lookup) find(ctx context.Context, alerts relay.Alerts) []relay.Snapshot {
	began := time.Now()
	name := string(l.Name())
	if !l.awake(began) {
		l.metrics.lookups.WithLabelValues(name, outcomeRested).Inc()
		return nil
	}
	known, err := l.try(ctx, alerts)
	l.metrics.duration.WithLabelValues(name).Observe(time.Since(began).Seconds())
	if err != nil {
		l.metrics.lookups.WithLabelValues(name, outcomeFailed).Inc()
		l.failed(ctx, err)
		return nil
	}
	l.metrics.lookups.WithLabelValues(name, outcomeAnswered).Inc()
	l.answered(ctx)
	return known
}

// awake reports whether the source may be asked: it does not rest, or it is time for one to see whether it is well again.
func (l *lookup) awake(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failures < restAfter {
		return true
	}
	if now.Before(l.until) {
		return false
	}
	l.until = now.Add(restFor)
	return true
}

// try asks the source and does not wait beyond the end of ctx, whatever the source does.
func (l *lookup) try(ctx context.Context, alerts relay.Alerts) ([]relay.Snapshot, error) {
	type answer struct {
		known []relay.Snapshot
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		known, err := l.ask(ctx, alerts)
		answers <- answer{known, err}
	}()
	select {
	case a := <-answers:
		return a.known, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// ask asks the source. A panic is an error: the context of an alert is not worth losing it.
func (l *lookup) ask(ctx context.Context, alerts relay.Alerts) (known []relay.Snapshot, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("bug in the source: panic of type %T", cause)
		}
	}()
	return l.Find(ctx, alerts)
}

func (l *lookup) failed(ctx context.Context, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures++
	if l.failures < restAfter {
		return
	}
	l.until = time.Now().Add(restFor)
	if l.failures == restAfter {
		l.logger.LogAttrs(ctx, slog.LevelError, "A source of the context of alerts fails, so alerts are told without it",
			slog.String("source", string(l.Name())), slog.Duration("rest", restFor), slog.Any("err", err))
	}
}

func (l *lookup) answered(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failures >= restAfter {
		l.logger.LogAttrs(ctx, slog.LevelInfo, "A source of the context of alerts answers again",
			slog.String("source", string(l.Name())))
	}
	l.failures = 0
}
