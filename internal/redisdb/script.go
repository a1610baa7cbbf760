package redisdb

import (
	"context"
	"crypto/sha1" //nolint:gosec // Redis names scripts by it
	"encoding/hex"
	"fmt"

	goredis "github.com/redis/go-redis/v9"
)

// A Script is a Lua script that Redis runs as one step.
type Script struct {
	// Name is for errors.
	Name   string
	source string
	sha    string
	joint  bool
}

// NewScript returns a script. Its source is not changed.
func NewScript(name, source string) *Script {
	sum := sha1.Sum([]byte(source)) //nolint:gosec // Redis names scripts by it
	return &Script{Name: name, source: source, sha: hex.EncodeToString(sum[:])}
}

// NewJointScript returns a script that takes several calls in one run, those that come at the same time with the same
// keys and head. After the head its arguments are of each call the number of its Args and those; it answers a list, for
// each call what that is answered, or the text of its error. An error itself is not to be in the list: the client stops
// reading there, and takes what is left for the answer of the next command.
func NewJointScript(name, source string) *Script {
	s := NewScript(name, source)
	s.joint = true
	return s
}

// A Call is one run of a script.
type Call struct {
	Script *Script
	// Keys are of one hash slot, at least one.
	Keys []string
	// Head are the first arguments: texts and numbers, which several calls may have in common. Args are the others.
	Head, Args []any
	// Durable asks that Options.MinAcks replicas have what the script wrote, and all that was written before it on its
	// connection, when Run returns nil. For a server before 7.2 that is all that was written at all; from then on a script
	// that writes nothing waits for nothing, so one that finds the work of another and vouches for it must write too.
	Durable bool
}

// Prepare names scripts that every new connection loads, so that the first run of each sends its name alone.
func (db *DB) Prepare(scripts ...*Script) {
	for _, s := range scripts {
		db.scripts.Store(s.sha, s)
	}
}

// Run runs a script once and returns what it answers: a string, an int64, nil, or a []any of such. Calls that come at the
// same time travel together. An error wraps ErrFull, in which case the script did nothing, or ErrUnavailable, in which
// case it may have run, or runs yet, unless the error is ErrNotRun too.
func (db *DB) Run(ctx context.Context, c Call) (any, error) {
	p := &pending{Call: c, ctx: ctx, done: make(chan struct{})}
	queue := db.other
	if c.Durable && db.options.MinAcks > 0 {
		queue = db.durable
	}
	err := db.put(ctx, queue, p)
	var answer any
	if err == nil {
		answer, err = p.wait(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("redis: %s: %w", c.Script.Name, err)
	}
	return answer, nil
}

// load makes the scripts known to a server. It is a courtesy: what fails here is a NOSCRIPT later, or an error of the
// connection itself. A Sentinel, which is connected to in the same way, knows no scripts.
func (db *DB) load(ctx context.Context, conn *goredis.Conn) error {
	var scripts []*Script
	var names []string
	db.scripts.Range(func(_, s any) bool {
		scripts = append(scripts, s.(*Script))
		names = append(names, s.(*Script).sha)
		return true
	})
	if len(scripts) == 0 {
		return nil
	}
	known, err := conn.ScriptExists(ctx, names...).Result()
	if err != nil {
		return nil //nolint:nilerr // a courtesy
	}
	pipeline := conn.Pipeline()
	for i, s := range scripts {
		if !known[i] {
			pipeline.ScriptLoad(ctx, s.source)
		}
	}
	if pipeline.Len() > 0 {
		_, _ = pipeline.Exec(ctx)
	}
	return nil
}
