package redisdb_test

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/accesstoken"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/redisdb"
)

func TestCache(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t)
	one := redisdb.NewCache(open(t, redisdb.Options{Addresses: []string{server.Address}}), "{relay}:")
	other := redisdb.NewCache(open(t, redisdb.Options{Addresses: []string{server.Address}}), "{relay}:")

	value, err := one.Get(t.Context(), "token")
	require.NoError(t, err)
	require.Nil(t, value)
	require.NoError(t, one.Put(t.Context(), "token", []byte("t0k3n"), time.Hour))
	value, err = other.Get(t.Context(), "token")
	require.NoError(t, err)
	require.Equal(t, []byte("t0k3n"), value)

	require.NoError(t, one.Put(t.Context(), "short", []byte("x"), time.Millisecond))
	parts.WaitFor(t, "the value to expire", func() error {
		value, err := other.Get(t.Context(), "short")
		if err == nil && value != nil {
			return context.DeadlineExceeded
		}
		return err
	})
}

// TestAFullRedisTakesTokens: without them, what fills it could not be told.
func TestAFullRedisTakesTokens(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t)
	cache := redisdb.NewCache(open(t, redisdb.Options{Addresses: []string{server.Address}}), "{relay}:")
	server.Do(t, "CONFIG", "SET", "maxmemory", "1")
	unlock, err := cache.Lock(t.Context(), "token", time.Minute)
	require.NoError(t, err)
	require.NoError(t, cache.Put(t.Context(), "token", []byte("t0k3n"), time.Hour))
	unlock()
	value, err := cache.Get(t.Context(), "token")
	require.NoError(t, err)
	require.Equal(t, []byte("t0k3n"), value)
}

func TestOneRelayAtATimeHoldsALock(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t)
	var mu sync.Mutex
	var holders, most, times int
	var all sync.WaitGroup
	for range 3 {
		cache := redisdb.NewCache(open(t, redisdb.Options{Addresses: []string{server.Address}}), "{relay}:")
		for range 2 {
			all.Go(func() {
				unlock, err := cache.Lock(t.Context(), "k", time.Minute)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				holders, times = holders+1, times+1
				most = max(most, holders)
				mu.Unlock()
				_, _ = cache.Get(t.Context(), "k")
				mu.Lock()
				holders--
				mu.Unlock()
				unlock()
				unlock() // it is given back once
			})
		}
	}
	all.Wait()
	require.Equal(t, 1, most)
	require.Equal(t, 6, times)
}

// Twenty relays, each with connections of its own, meet a token that has expired, or that the vendor takes no more: one of
// them fetches another, and all have it.
func TestTwentyRelaysFetchATokenOnce(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t)
	for name, refused := range map[string]bool{"expired": false, "refused": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var fetched atomic.Int32
			fetch := func(context.Context) (string, time.Duration, error) {
				return "token-" + strconv.Itoa(int(fetched.Add(1))), time.Hour, nil
			}
			relays := make([]*accesstoken.Source, 20)
			caches := make([]*redisdb.Cache, len(relays))
			for i := range relays {
				caches[i] = redisdb.NewCache(open(t, redisdb.Options{Addresses: []string{server.Address}}), "{relay-"+name+"}:")
				env := relay.Env{Cache: caches[i], Now: time.Now, Logger: slog.New(slog.DiscardHandler)}
				relays[i] = accesstoken.New(env, "app", fetch)
			}
			old, err := relays[0].Token(t.Context())
			require.NoError(t, err)
			require.Equal(t, "token-1", old)
			if !refused {
				require.NoError(t, caches[0].Put(t.Context(), "token/app", []byte(old), time.Millisecond))
				parts.WaitFor(t, "the token to expire", func() error {
					value, err := caches[1].Get(t.Context(), "token/app")
					if err == nil && value != nil {
						return context.DeadlineExceeded
					}
					return err
				})
			}
			var all sync.WaitGroup
			got, errs := make([]string, len(relays)), make([]error, len(relays))
			for i, source := range relays {
				all.Go(func() {
					if refused {
						source.Refused(old)
					}
					got[i], errs[i] = source.Token(t.Context())
				})
			}
			all.Wait()
			for i := range relays {
				require.NoError(t, errs[i])
				require.Equal(t, "token-2", got[i])
			}
			require.EqualValues(t, 2, fetched.Load(), "the first and one refresh")
		})
	}
}

func TestALockOfADeadRelayEnds(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t)
	cache := redisdb.NewCache(open(t, redisdb.Options{Addresses: []string{server.Address}}), "{relay}:")
	_, err := cache.Lock(t.Context(), "k", 200*time.Millisecond)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = cache.Lock(ctx, "k", time.Minute)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	unlock, err := cache.Lock(t.Context(), "k", time.Minute)
	require.NoError(t, err)
	unlock()
}
