package bolt

import (
	"bytes"
	"context"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/alertrelay/relay"
)

var _ relay.Cache = (*Cache)(nil)

// A Cache keeps short-lived values in the file of a store. Its locks are those of one process, which has the file alone.
type Cache struct {
	store *Store
	mu    sync.Mutex
	locks map[string]chan struct{} // closed when the lock is given back
}

// Get implements relay.Cache.
func (c *Cache) Get(_ context.Context, key string) ([]byte, error) {
	var value []byte
	err := c.store.db.View(func(tx *bbolt.Tx) error {
		d := &decoder{rest: tx.Bucket([]byte(cacheBucket)).Get([]byte(key))}
		if len(d.rest) > 0 && d.time().After(c.store.options.Now()) {
			value = append([]byte{}, d.rest...)
		}
		return nil
	})
	if err != nil {
		return nil, unavailable("cache get", err)
	}
	return value, nil
}

// Put implements relay.Cache.
func (c *Cache) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	value = bytes.Clone(value)
	return c.store.submit(&change{ctx: ctx, stage: func(g *group) error {
		g.write(func(t *tables) error {
			var e encoder
			e.time(g.now.Add(ttl))
			e.raw(value)
			return t.cache.Put([]byte(key), e)
		})
		return nil
	}})
}

// Lock implements relay.Cache.
func (c *Cache) Lock(ctx context.Context, key string, ttl time.Duration) (func(), error) {
	for {
		c.mu.Lock()
		held, taken := c.locks[key]
		if !taken {
			mine := make(chan struct{})
			c.locks[key] = mine
			c.mu.Unlock()
			unlock := func() { c.unlock(key, mine) }
			timer := time.AfterFunc(ttl, unlock)
			return func() {
				timer.Stop()
				unlock()
			}, nil
		}
		c.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return nil, unavailable("cache lock", context.Cause(ctx))
		}
	}
}

// unlock gives a lock back, unless somebody else holds it by now.
func (c *Cache) unlock(key string, mine chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.locks[key] == mine {
		delete(c.locks, key)
		close(mine)
	}
}
