package snapshots

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	goredis "github.com/redis/go-redis/v9"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/redisdb"
)

// RedisOptions are the settings of a Redis.
type RedisOptions struct {
	// Namespace begins every key.
	Namespace string
	// Registerer gets the metrics; default: nobody does.
	Registerer prometheus.Registerer
}

// A Redis is the form that applications can write to themselves.
type Redis struct {
	db      *redisdb.DB
	prefix  string
	metrics metrics
}

var _ Store = (*Redis)(nil)

// NewRedis returns the store in db, which others may use as well and which the caller closes.
func NewRedis(db *redisdb.DB, options RedisOptions) *Redis {
	return &Redis{db, options.Namespace + ":snapshot:", newMetrics(options.Registerer)}
}

// Record implements Store: one round trip for each node.
func (r *Redis) Record(ctx context.Context, entries []Entry, ttl time.Duration) error {
	if len(entries) == 0 {
		return nil
	}
	pipeline := r.db.Client().Pipeline()
	for _, e := range entries {
		value, err := Encode(e.Snapshot)
		if err != nil {
			return err
		}
		pipeline.Set(ctx, r.prefix+string(e.Key), value, ttl)
	}
	_, err := pipeline.Exec(ctx)
	if err := r.db.Fault(ctx, err); err != nil {
		return fmt.Errorf("record snapshots: %w", err)
	}
	r.metrics.recorded.Add(float64(len(entries)))
	return nil
}

// Find implements Store: one round trip for each node. With a single server there is another one before, which asks whether
// anything at all was recorded under so many keys; mostly nothing was. A value is read no further than it may be long,
// because anybody may have written it.
func (r *Redis) Find(ctx context.Context, keys []Key) ([]relay.Snapshot, error) {
	found := make([]relay.Snapshot, len(keys))
	keys = keys[:min(len(keys), MaxKeys)]
	if len(keys) == 0 {
		return found, nil
	}
	some, err := r.some(ctx, keys)
	if err != nil || !some {
		return found, err
	}
	commands := make([]redisdb.Command, len(keys))
	for i, key := range keys {
		commands[i] = redisdb.Command{"getrange", r.prefix + string(key), 0, MaxValue}
	}
	answers, err := r.db.Do(ctx, commands)
	if err != nil {
		return nil, fmt.Errorf("find snapshots: %w", err)
	}
	for i, answer := range answers {
		switch value := answer.(type) {
		case error:
			if !ofOneKey(value) {
				return nil, fmt.Errorf("find snapshots: %w", r.db.Fault(ctx, value))
			}
			r.metrics.unreadable.Inc()
		case string:
			if value != "" {
				found[i] = r.metrics.read([]byte(value))
			}
		}
	}
	return found, nil
}

// some tells whether there may be something under any of the keys. One command asks for keys of one server alone.
func (r *Redis) some(ctx context.Context, keys []Key) (bool, error) {
	if !r.db.Single() {
		return true, nil
	}
	exists := make(redisdb.Command, 1, 1+len(keys))
	exists[0] = "exists"
	for _, key := range keys {
		exists = append(exists, r.prefix+string(key))
	}
	answers, err := r.db.Do(ctx, []redisdb.Command{exists})
	if err != nil {
		return false, fmt.Errorf("find snapshots: %w", err)
	}
	if err, refused := answers[0].(error); refused {
		return false, fmt.Errorf("find snapshots: %w", r.db.Fault(ctx, err))
	}
	return answers[0] != int64(0), nil
}

// ofOneKey reports whether an error is about what somebody has put under one key, and not about Redis.
func ofOneKey(err error) bool { return goredis.HasErrorPrefix(err, "WRONGTYPE") }
