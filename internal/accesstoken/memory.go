package accesstoken

import (
	"context"
	"sync"
	"time"

	"github.com/alertrelay/relay"
)

var _ relay.Cache = (*memory)(nil)

// memory is a cache of one process, for a source that shares its token with nobody: a test, a preview.
type memory struct {
	now func() time.Time

	mu     sync.Mutex
	values map[string]value
	lock   chan struct{} // holds one when free
}

type value struct {
	content []byte
	end     time.Time
}

func newMemory(now func() time.Time) *memory {
	m := &memory{now: now, values: map[string]value{}, lock: make(chan struct{}, 1)}
	m.lock <- struct{}{}
	return m
}

// Get implements relay.Cache.
func (m *memory) Get(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.values[key]; ok && m.now().Before(v.end) {
		return v.content, nil
	}
	return nil, nil
}

// Put implements relay.Cache.
func (m *memory) Put(_ context.Context, key string, content []byte, ttl time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[key] = value{content, m.now().Add(ttl)}
	return nil
}

// Lock implements relay.Cache. There is one key, so there is one lock; its holder gives it back.
func (m *memory) Lock(ctx context.Context, _ string, _ time.Duration) (func(), error) {
	select {
	case <-m.lock:
		return sync.OnceFunc(func() { m.lock <- struct{}{} }), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
