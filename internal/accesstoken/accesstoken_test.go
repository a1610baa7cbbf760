package accesstoken_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/accesstoken"
	"github.com/alertrelay/relay/internal/wiretap"
	"github.com/alertrelay/relay/receivers/receiverstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func env() relay.Env {
	return relay.Env{Now: time.Now, Logger: slog.New(slog.DiscardHandler), Cache: receiverstest.NewCache(time.Now)}
}

func TestATokenServesUntilShortlyBeforeItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fetched := 0
		s := accesstoken.New(env(), "app", func(context.Context) (string, time.Duration, error) {
			fetched++
			return "t" + string(rune('0'+fetched)), 2 * time.Hour, nil
		})
		token := func() string {
			got, err := s.Token(t.Context())
			require.NoError(t, err)
			return got
		}
		require.Equal(t, "t1", token())
		time.Sleep(2*time.Hour - 2*time.Minute - time.Second)
		require.Equal(t, "t1", token())
		time.Sleep(time.Second)
		require.Equal(t, "t2", token())
		s.Refused("t1")
		require.Equal(t, "t2", token(), "that one was gone already")
		s.Refused("t2")
		require.Equal(t, "t3", token())
	})
}

func TestManyCallersCostOneFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fetched atomic.Int32
		s := accesstoken.New(env(), "app", func(context.Context) (string, time.Duration, error) {
			time.Sleep(time.Second)
			fetched.Add(1)
			return "t", time.Hour, nil
		})
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				token, err := s.Token(t.Context())
				if err != nil || token != "t" {
					t.Error(token, err)
				}
			})
		}
		all.Wait()
		require.EqualValues(t, 1, fetched.Load())
	})
}

func TestAnEndpointThatFailsIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fetched := 0
		down := relay.AsMisconfigured(errors.New("wrong secret"))
		s := accesstoken.New(env(), "app", func(context.Context) (string, time.Duration, error) {
			fetched++
			return "", 0, down
		})
		for range 60 {
			_, err := s.Token(t.Context())
			require.ErrorIs(t, err, down)
			require.Equal(t, relay.Misconfigured, relay.KindOf(err))
			time.Sleep(time.Second)
		}
		require.Equal(t, 6, fetched)
	})
}

func TestACallerWhoLeavesIsNoFailure(t *testing.T) {
	t.Parallel()
	s := accesstoken.New(env(), "app", func(ctx context.Context) (string, time.Duration, error) {
		return "t", time.Hour, ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Token(ctx)
	require.ErrorIs(t, err, context.Canceled)
	token, err := s.Token(t.Context())
	require.NoError(t, err)
	require.Equal(t, "t", token)
}

func TestAnEmptyTokenIsNone(t *testing.T) {
	t.Parallel()
	s := accesstoken.New(env(), "app", func(context.Context) (string, time.Duration, error) { return "", time.Hour, nil })
	_, err := s.Token(t.Context())
	require.Equal(t, relay.Transient, relay.KindOf(err))
}

// TestAPreviewGoesOn: nothing is sent, nothing is kept, and nothing is said to have failed.
func TestAPreviewGoesOn(t *testing.T) {
	t.Parallel()
	preview := true
	s := accesstoken.New(env(), "app", func(context.Context) (string, time.Duration, error) {
		if preview {
			return "", 0, relay.AsTransient(wiretap.ErrNotSent)
		}
		return "t", time.Hour, nil
	})
	token, err := s.Token(t.Context())
	require.NoError(t, err)
	require.Equal(t, "preview", token)
	preview = false
	token, err = s.Token(t.Context())
	require.NoError(t, err)
	require.Equal(t, "t", token)
}

// What is counted goes on when a reload makes another source of the same application.
func TestTokensAreCounted(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	for _, down := range []bool{false, true} {
		e := env()
		e.Registerer = registry
		_, err := accesstoken.New(e, "app", func(context.Context) (string, time.Duration, error) {
			if down {
				return "", 0, errors.New("down")
			}
			return "t", time.Hour, nil
		}).Token(t.Context())
		require.Equal(t, down, err != nil)
		require.Equal(t, down, relay.Told(err), "the log has it")
	}
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP relay_access_token_requests_failed_total Access tokens asked for and not given: what needs one waits.
# TYPE relay_access_token_requests_failed_total counter
relay_access_token_requests_failed_total{limiter="app"} 1
# HELP relay_access_token_requests_total Access tokens asked for.
# TYPE relay_access_token_requests_total counter
relay_access_token_requests_total{limiter="app"} 2
`)))
}
