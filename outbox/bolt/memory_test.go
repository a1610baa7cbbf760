package bolt_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/outbox/bolt"
)

// BenchmarkBacklog says how much memory a backlog of 100,000 webhooks of 2 KB takes, and how long it takes to start with it.
func BenchmarkBacklog(b *testing.B) {
	const pending = 100_000
	path := filepath.Join(b.TempDir(), "relay.db")
	s, err := bolt.Open(path, bolt.Options{MaxPending: pending})
	require.NoError(b, err)
	parallel(64, pending, func(n int64) { accept(b, s, n) })
	live := heap()
	peak := status(b, "VmHWM:")
	require.NoError(b, s.Close())
	for b.Loop() {
		s, err = bolt.Open(path, bolt.Options{MaxPending: pending})
		require.NoError(b, err)
		require.NoError(b, s.Close())
	}
	b.ReportMetric(float64(live)/1e6, "heap-MB")
	b.ReportMetric(float64(peak)/1e3, "peak-MB")
	b.ReportMetric(float64(status(b, "VmHWM:"))/1e3, "peak-after-start-MB")
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// status reads a line of /proc/self/status, in kB; zero where there is none.
func status(b *testing.B, name string) int {
	b.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name); ok {
			kb, _ := strconv.Atoi(strings.Fields(value)[0])
			return kb
		}
	}
	return 0
}
