package bolt_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/outbox"
)

// lines is a log that may be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// TestDiskNearlyFull: what needs room is refused, what was accepted is settled, and room ends it.
func TestDiskNearlyFull(t *testing.T) {
	t.Parallel()
	const gigabyte = 1 << 30
	var free, total atomic.Int64
	var log lines
	s := newStore(t)
	s.options.SweepEvery = time.Millisecond
	s.options.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s.options.Disk = func(string) (uint64, uint64, error) {
		if total.Load() == 0 {
			return 0, 0, errors.ErrUnsupported
		}
		return uint64(free.Load()), uint64(total.Load()), nil
	}
	s.restart()
	disk := func(freeBytes, totalBytes int64, full bool) {
		t.Helper()
		free.Store(freeBytes)
		total.Store(totalBytes)
		require.Eventually(t, func() bool {
			st, err := s.Stats(t.Context())
			require.NoError(t, err)
			return st.Full == full
		}, 20*time.Second, time.Millisecond)
	}
	s.accept(s.webhook(1, "g"))
	b := s.claimOne()

	disk(gigabyte/10, 10*gigabyte, true)
	w := s.webhook(2, "h")
	_, err := s.Accept(t.Context(), w)
	require.ErrorIs(t, err, outbox.ErrFull)
	require.EqualError(t, err, "store is full: the disk is nearly full")
	require.True(t, s.accept(s.webhook(1, "g")).Duplicate, "that needs no room")
	s.settle(b, outbox.Outcome{Result: outbox.Sent})
	disk(gigabyte, 10*gigabyte, false)
	require.False(t, s.accept(w).Duplicate)
	disk(gigabyte-64<<20, 1000*gigabyte, true)
	disk(gigabyte, 1000*gigabyte, false)
	require.Equal(t, 2, log.count("level=ERROR"))
	require.Equal(t, 2, log.count("level=INFO"))
}
