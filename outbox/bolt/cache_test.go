package bolt_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/outbox"
)

func TestCacheLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newStore(t).Cache()
		unlock, err := c.Lock(t.Context(), "token", time.Minute)
		require.NoError(t, err)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.Lock(ctx, "token", time.Minute)
		require.ErrorIs(t, err, outbox.ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		other, err := c.Lock(t.Context(), "other", time.Minute)
		require.NoError(t, err)
		other()

		unlock()
		start := time.Now()
		_, err = c.Lock(t.Context(), "token", time.Minute) // never given back
		require.NoError(t, err)
		require.Zero(t, time.Since(start))
		second, err := c.Lock(t.Context(), "token", time.Minute)
		require.NoError(t, err)
		require.Equal(t, time.Minute, time.Since(start))
		unlock() // of somebody who does not hold it any more
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.Lock(ctx, "token", time.Minute)
		require.Error(t, err)
		second()
		second()
	})
}
