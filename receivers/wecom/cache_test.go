package wecom_test

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/alertrelay/relay"
)

// sharedCache is the store's cache as several replicas see it.
type sharedCache struct {
	now    func() time.Time
	mu     sync.Mutex
	values map[string][]byte
	ends   map[string]time.Time
	lock   chan struct{}
}

var _ relay.Cache = (*sharedCache)(nil)

func newSharedCache(now func() time.Time) *sharedCache {
	return &sharedCache{now: now, values: map[string][]byte{}, ends: map[string]time.Time{}, lock: make(chan struct{}, 1)}
}

func (c *sharedCache) Get(_ context.Context, key string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.now().Before(c.ends[key]) {
		return nil, nil
	}
	return c.values[key], nil
}

func (c *sharedCache) Put(_ context.Context, key string, value []byte, ttl time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.values[key], c.ends[key] = value, c.now().Add(ttl)
	return nil
}

func (c *sharedCache) Lock(ctx context.Context, _ string, _ time.Duration) (func(), error) {
	select {
	case c.lock <- struct{}{}:
		return func() { <-c.lock }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range list {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}
