package bolt_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/bolt"
	"github.com/alertrelay/relay/outbox/outboxtest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	outboxtest.Run(t, func(t *testing.T, now func() time.Time) outbox.Store {
		t.Helper()
		s, err := bolt.Open(filepath.Join(t.TempDir(), "relay.db"), bolt.Options{Now: now})
		require.NoError(t, err)
		return s
	})
}

func TestCloseAnswersEveryCaller(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	answers := make(chan error)
	const callers = 100
	for i := range callers {
		w := s.webhook(i, fmt.Sprint("g", i))
		go func() {
			_, err := s.Accept(t.Context(), w)
			answers <- err
		}()
	}
	require.NoError(t, <-answers)
	require.NoError(t, s.Close())
	accepted := 1
	for range callers - 1 {
		if err := <-answers; err == nil {
			accepted++
		} else {
			require.ErrorIs(t, err, outbox.ErrUnavailable)
		}
	}
	s.start()
	st, err := s.Stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, accepted, st.Pending, "what was accepted, and no more, is there")
}
