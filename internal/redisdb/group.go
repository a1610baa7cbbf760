package redisdb

import (
	"context"
	"errors"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// Bounds of what travels together.
const (
	// pipelines is how many groups are under way at the same time, of durable calls and of others. One would leave Redis
	// idle while the relay reads and sends; with more the groups are smaller, and each costs both a trip.
	pipelines     = 2
	maxGroup      = 128
	maxGroupBytes = 1 << 20
)

// A pending call of a script, or some commands for one server, wait for their answer.
type pending struct {
	Call
	commands []Command // instead of the script, or none

	ctx    context.Context // the caller's
	done   chan struct{}
	answer any
	err    error
}

func (p *pending) end(answer any, err error) {
	p.answer, p.err = answer, err
	close(p.done)
}

// put has a call sent with those that come at the same time.
func (db *DB) put(ctx context.Context, queue chan<- *pending, p *pending) error {
	select {
	case queue <- p:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrNotRun, ctx.Err())
	case <-db.done:
		return fmt.Errorf("%w: %w", ErrNotRun, goredis.ErrClosed)
	}
}

// wait returns the answer once it is there.
func (p *pending) wait(ctx context.Context) (any, error) {
	select {
	case <-p.done:
		return p.answer, p.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
}

// size is about what the call takes on the wire.
func (p *pending) size() int {
	n := 16 * len(p.commands) // which are short, as the head is
	for _, arg := range p.Args {
		switch v := arg.(type) {
		case string:
			n += len(v)
		case []byte:
			n += len(v)
		default:
			n += 8
		}
	}
	return n
}

// work starts those who send groups of calls. Durable ones have their own, so that nothing else waits for replicas.
func (db *DB) work() {
	for range pipelines {
		db.working.Go(func() { db.send(db.durable, true) })
		db.working.Go(func() { db.send(db.other, false) })
	}
}

// send takes what waits at the moment and sends it as one group, again and again.
func (db *DB) send(queue <-chan *pending, durable bool) {
	for {
		select {
		case p := <-queue:
			db.exec(gather(p, queue), durable)
		case <-db.done:
			return
		}
	}
}

// gather adds to a call those that wait behind it.
func gather(first *pending, queue <-chan *pending) []*pending {
	group, size := []*pending{first}, first.size()
	for len(group) < maxGroup && size < maxGroupBytes {
		select {
		case p := <-queue:
			group = append(group, p)
			size += p.size()
		default:
			return group
		}
	}
	return group
}

// exec runs a group and gives each call its answer. Those that a server did not know the script of did not run: they are
// sent again with its text.
func (db *DB) exec(group []*pending, durable bool) {
	ctx, cancel := context.WithTimeout(context.Background(), db.options.Timeout)
	defer cancel()
	for client, calls := range db.nodes(ctx, group) {
		if unknown := db.pipe(ctx, client, calls, durable, bySHA); len(unknown) > 0 {
			db.pipe(ctx, client, unknown, durable, bySource)
		}
	}
}

// nodes tells which server each call goes to. Calls whose caller has gone, or whose server cannot be told, end here.
func (db *DB) nodes(ctx context.Context, group []*pending) map[*goredis.Client][]*pending {
	nodes := make(map[*goredis.Client][]*pending, 1)
	for _, p := range group {
		if err := p.ctx.Err(); err != nil {
			p.end(nil, fmt.Errorf("%w: %w", ErrNotRun, err))
			continue
		}
		client, err := db.nodeOf(ctx, p)
		if err != nil {
			p.end(nil, fmt.Errorf("%w: %w", ErrNotRun, db.Fault(context.WithoutCancel(ctx), err)))
			continue
		}
		nodes[client] = append(nodes[client], p)
	}
	return nodes
}

// nodeOf is the server that a call goes to. Commands are for the only one that there is.
func (db *DB) nodeOf(ctx context.Context, p *pending) (*goredis.Client, error) {
	if p.commands != nil {
		return db.client.(*goredis.Client), nil
	}
	return db.node(ctx, p.Keys[0])
}

// node is the server that a key belongs to.
func (db *DB) node(ctx context.Context, key string) (*goredis.Client, error) {
	switch c := db.client.(type) {
	case *goredis.ClusterClient:
		return c.MasterForKey(ctx, key)
	case *goredis.Client:
		return c, nil
	default:
		return nil, errors.New("unknown kind of client")
	}
}

// pipe sends calls down one connection and gives each its answer, but for those whose script the server does not know.
func (db *DB) pipe(
	ctx context.Context, client *goredis.Client, calls []*pending, durable bool,
	eval evaluator,
) (unknown []*pending) {
	pipeline, runs := client.Pipeline(), runsOf(calls)
	for _, r := range runs {
		if r.commands() {
			r.sent = send(ctx, pipeline, r.calls[0].commands)
		} else {
			r.sent = append(r.sent, eval(ctx, pipeline, r))
		}
	}
	var acks *goredis.Cmd
	if durable { // on this very connection: it counts what was written by it
		acks = pipeline.Do(ctx, "wait", db.options.MinAcks, db.patience(ctx).Milliseconds())
	}
	began := time.Now()
	_, err := pipeline.Exec(ctx)
	db.metrics.sent(scripts(runs), time.Since(began))
	if err != nil && !anyFailed(sentBy(runs, acks)) { // there was no connection, because the server refused it
		err = fmt.Errorf("%w: %w", ErrNotRun, db.Fault(context.WithoutCancel(ctx), err))
		for _, p := range calls {
			p.end(nil, err)
		}
		return nil
	}
	short := db.short(ctx, acks)
	for _, r := range runs {
		r.each(func(p *pending, answer any, err error) {
			switch {
			case err == nil:
				if db.health.good(ctx); short != nil {
					p.end(nil, short)
				} else {
					p.end(answer, nil)
				}
			case goredis.HasErrorPrefix(err, "NOSCRIPT"):
				unknown = append(unknown, p)
			default:
				p.end(nil, db.Fault(context.WithoutCancel(ctx), err))
			}
		})
	}
	return unknown
}

// patience is how long replicas may take, so that the answer arrives before ctx ends.
func (db *DB) patience(ctx context.Context) time.Duration {
	deadline, _ := ctx.Deadline()
	return max(time.Until(deadline)*3/4, time.Millisecond)
}

// short is the error of calls that too few replicas have; nil when enough have, or none are asked for.
func (db *DB) short(ctx context.Context, acks *goredis.Cmd) error {
	if acks == nil {
		return nil
	}
	n, err := acks.Int()
	switch {
	case err != nil:
		return db.Fault(context.WithoutCancel(ctx), err)
	case n < db.options.MinAcks:
		db.metrics.errors.WithLabelValues(reasonUnacknowledged).Inc()
		return &ShortError{Acks: n, MinAcks: db.options.MinAcks}
	default:
		return nil
	}
}
