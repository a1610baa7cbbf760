package app

import (
	"context"
	"sync"
	"time"

	"github.com/alertrelay/relay"
)

// A cache is the relay.Cache of a process that has its store for itself: nobody else needs the tokens, and after a restart
// they are fetched anew.
type cache struct {
	now func() time.Time

	mu     sync.Mutex
	values map[string]cached
	locks  map[string]chan struct{} // closed when the lock is given back
}

type cached struct {
	value []byte
	until time.Time
}

var _ relay.Cache = (*cache)(nil)

func newCache(now func() time.Time) *cache {
	return &cache{now: now, values: make(map[string]cached), locks: make(map[string]chan struct{})}
}

// Get implements relay.Cache.
func (c *cache) Get(_ context.Context, key string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.values[key]
	if !ok || !c.now().Before(v.until) {
		delete(c.values, key)
		return nil, nil
	}
	return v.value, nil
}

// Put implements relay.Cache.
func (c *cache) Put(_ context.Context, key string, value []byte, ttl time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.values[key] = cached{value, c.now().Add(ttl)}
	return nil
}

// Lock implements relay.Cache.
func (c *cache) Lock(ctx context.Context, key string, ttl time.Duration) (unlock func(), err error) {
	for {
		held, mine := c.tryLock(key)
		if mine {
			expiry := time.AfterFunc(ttl, func() { c.unlock(key, held) })
			return func() { expiry.Stop(); c.unlock(key, held) }, nil
		}
		select {
		case <-held:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// tryLock returns the lock of key and whether the caller holds it now.
func (c *cache) tryLock(key string) (lock chan struct{}, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if held, ok := c.locks[key]; ok {
		return held, false
	}
	lock = make(chan struct{})
	c.locks[key] = lock
	return lock, true
}

// unlock gives a lock back, once.
func (c *cache) unlock(key string, lock chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.locks[key] == lock {
		delete(c.locks, key)
		close(lock)
	}
}
