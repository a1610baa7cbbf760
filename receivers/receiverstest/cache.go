package receiverstest

import (
	"context"
	"sync"
	"time"

	"github.com/alertrelay/relay"
)

// Cache is the store's cache as several replicas see it.
type Cache struct {
	now    func() time.Time
	mu     sync.Mutex
	values map[string][]byte
	ends   map[string]time.Time
	lock   chan struct{}
}

var _ relay.Cache = (*Cache)(nil)

// NewCache makes an empty cache that goes by a clock.
func NewCache(now func() time.Time) *Cache {
	return &Cache{now: now, values: map[string][]byte{}, ends: map[string]time.Time{}, lock: make(chan struct{}, 1)}
}

// Get implements relay.Cache.
func (c *Cache) Get(_ context.Context, key string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.now().Before(c.ends[key]) {
		return nil, nil
	}
	return c.values[key], nil
}

// Put implements relay.Cache.
func (c *Cache) Put(_ context.Context, key string, value []byte, ttl time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.values[key], c.ends[key] = value, c.now().Add(ttl)
	return nil
}

// Lock implements relay.Cache: one lock for all keys.
func (c *Cache) Lock(ctx context.Context, _ string, _ time.Duration) (func(), error) {
	select {
	case c.lock <- struct{}{}:
		return func() { <-c.lock }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
