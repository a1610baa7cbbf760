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
	unlock *Script
}

// NewCache returns the cache whose keys begin with prefix. What is in them is only hashed.
func NewCache(db *DB, prefix string) *Cache {
	c := &Cache{db: db, prefix: prefix, unlock: NewScript("unlock",
		"if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return false")}
	db.Prepare(c.unlock)
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
	err := c.db.client.Set(ctx, c.key("cache:", key), value, ttl).Err()
	if err = c.db.Fault(ctx, err); err != nil {
		return fmt.Errorf("redis: cache put: %w", err)
	}
	return nil
}

// Lock implements relay.Cache. A relay that dies with a lock keeps it from the others for the rest of ttl.
func (c *Cache) Lock(ctx context.Context, key string, ttl time.Duration) (func(), error) {
	name, nonce := c.key("lock:", key), rand.Text()
	for {
		mine, err := c.db.client.SetNX(ctx, name, nonce, ttl).Result()
		if err = c.db.Fault(ctx, err); err != nil {
			return nil, fmt.Errorf("redis: cache lock: %w", err)
		}
		if mine {
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

func (c *Cache) key(kind, key string) string {
	sum := sha256.Sum256([]byte(key))
	return c.prefix + kind + base64.RawURLEncoding.EncodeToString(sum[:16])
}
