package redisdb

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"sync"
	"time"

	"github.com/alertrelay/relay"
)

var _ relay.Cache = (*Cache)(nil)

// lockPause is how often a lock that another has is asked for.
const lockPause = 50 * time.Millisecond

// A Cache keeps short-lived values that all relays of a namespace share.
type Cache struct {
	db     *DB
	prefix string

	put, lock, unlock *Script
}

// NewCache returns the cache whose keys begin with prefix. What is in them is only hashed. A full Redis takes values and
// locks all the same, because the first write of each script is a removal: without a token that is kept here, what fills
// it could not be told.
func NewCache(db *DB, prefix string) *Cache {
	c := &Cache{
		db: db, prefix: prefix,
		put: NewScript("cache put",
			"redis.call('DEL', KEYS[1]) redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return false"),
		lock: NewScript("cache lock", "if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end "+
			"redis.call('DEL', KEYS[1]) redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1"),
		unlock: NewScript("cache unlock",
			"if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return false"),
	}
	db.Prepare(c.put, c.lock, c.unlock)
	return c
}

// Get implements relay.Cache.
func (c *Cache) Get(ctx context.Context, key string) ([]byte, error) {
	value, err := c.db.client.Get(ctx, c.key("cache:", key)).Bytes()
	if err = c.db.Fault(ctx, err); err != nil {
		return nil, fmt.Errorf("redis: cache get: %w", err)
	}
	return value, nil
}

// Put implements relay.Cache.
func (c *Cache) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	_, err := c.run(ctx, c.put, c.key("cache:", key), value, ttl)
	return err
}

// Lock implements relay.Cache. A relay that dies with a lock keeps it from the others for the rest of ttl.
func (c *Cache) Lock(ctx context.Context, key string, ttl time.Duration) (func(), error) {
	name, nonce := c.key("lock:", key), rand.Text()
	for {
		mine, err := c.run(ctx, c.lock, name, nonce, ttl)
		if err != nil {
			return nil, err
		}
		if mine == int64(1) {
			break
		}
		select {
		case <-time.After(lockPause):
		case <-ctx.Done():
			return nil, fmt.Errorf("redis: cache lock: %w: %w", ErrUnavailable, context.Cause(ctx))
		}
	}
	return sync.OnceFunc(func() {
		// When this fails the lock ends with its ttl.
		_, _ = c.db.Run(context.WithoutCancel(ctx), Call{Script: c.unlock, Keys: []string{name}, Args: []any{nonce}})
	}), nil
}

// run keeps something under a name for ttl, at least a millisecond.
func (c *Cache) run(ctx context.Context, s *Script, name string, value any, ttl time.Duration) (any, error) {
	return c.db.Run(ctx, Call{Script: s, Keys: []string{name}, Args: []any{value, max(ttl.Milliseconds(), 1)}})
}

func (c *Cache) key(kind, key string) string {
	sum := sha256.Sum256([]byte(key))
	return c.prefix + kind + base64.RawURLEncoding.EncodeToString(sum[:16])
}
