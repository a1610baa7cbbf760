package redis_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/outbox"
)

// TestAServerIsKilled in the middle of the traffic, with each of its fsync policies: what it was told is told by it again,
// because it was with the system before it was answered; and the relay goes on by itself.
func TestAServerIsKilled(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"always", "everysec", "no"} {
		t.Run("appendfsync "+policy, func(t *testing.T) {
			t.Parallel()
			server := parts.StartRedis(t, "--appendfsync", policy)
			f := startTraffic(t, open(t, server.Address))
			var kills []time.Time
			for range 2 {
				f.flow(t, 200)
				server.Kill()
				kills = append(kills, time.Now())
				server.Restart(t)
				f.flow(t, 100)
			}
			lost := f.settle(t)
			if policy != "everysec" {
				require.Empty(t, lost)
			}
			// If this disk was busy, the last of each group are, and nothing before them.
			for id, answered := range lost {
				kill := slices.IndexFunc(kills, answered.Before)
				require.NotEqual(t, -1, kill, "%s is lost without a reason", id)
				for later, at := range f.accepted {
					if group := len("group0"); later[:group] == id[:group] && later > id && at.Before(kills[kill]) {
						require.Contains(t, lost, later, "%s is lost, which came before", id)
					}
				}
			}
		})
	}
	t.Run("appendfsync everysec on a busy disk", func(t *testing.T) {
		t.Parallel()
		testBusyDisk(t)
	})
}

// testBusyDisk: while a sync takes long, writes are put off for up to two seconds. Those alone are lost with the server.
func testBusyDisk(t *testing.T) {
	t.Helper()
	v := newVictim(t, "--appendfsync", "everysec")
	tracer := parts.Start(t, parts.Binary(t, "strace"), "-f", "-o", "/dev/null", "-e", "trace=fdatasync",
		"-e", "inject=fdatasync:delay_enter=1000000000", "-p", strconv.Itoa(v.server.PID()))
	parts.WaitFor(t, "strace to attach", func() error {
		switch log := tracer.Log(); {
		case strings.Contains(log, "Operation not permitted"):
			t.Skipf("no tracing here: %s", log)
		case !strings.Contains(log, "attached"):
			return errors.New("it has not")
		}
		return nil
	})
	until := func(what, field, want string) (last outbox.Webhook) {
		parts.WaitFor(t, what, func() error {
			last = v.accept()
			if got := v.server.Info(t, "persistence", field); got != want {
				return errors.New(field + " is " + got)
			}
			return nil
		})
		return last
	}
	until("a sync to take long", "aof_pending_bio_fsync", "1")
	kept := until("what was put off to be written", "aof_buffer_length", "0")
	began := time.Now()
	putOff := v.accept()
	v.server.Signal(syscall.SIGKILL)
	took := time.Since(began)
	tracer.Kill() // which would hold on to the dead
	v.server.Kill()
	v.server.Restart(t)

	again := func(w outbox.Webhook) bool {
		w.ID += "again"
		a, err := v.Accept(t.Context(), w)
		require.NoError(t, err)
		return !a.Duplicate
	}
	require.False(t, again(kept), "it was with the system, although it was never synced")
	if took < time.Second { // else it was not put off any more
		require.True(t, again(putOff), "it is lost, so the next copy is accepted")
	}
	require.Equal(t, stats(t, v.Store).Pending, v.drain())
}

// TestTheEndOfTheAOFIsMissing, as after a loss of power: wherever it was cut off, the server forgets the step whose end is
// missing as a whole, and nothing of the steps before it. The relay goes on by itself.
func TestTheEndOfTheAOFIsMissing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	v := newVictim(t, "--dir", dir, "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0")
	var size int64
	aof := func() string {
		files, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))
		require.NoError(t, err)
		require.Len(t, files, 1)
		return files[0]
	}
	two := func() outbox.Webhook {
		w := v.webhook()
		w.Entries = append(w.Entries, w.Entries[0])
		w.Entries[1].Lane.Destination = "other"
		return w
	}
	before, last := two(), two()
	for _, w := range []outbox.Webhook{before, last} {
		info, err := os.Stat(aof())
		require.NoError(t, err)
		size = info.Size()
		_, err = v.Accept(t.Context(), w)
		require.NoError(t, err)
	}
	v.server.Kill()
	whole, err := os.ReadFile(aof())
	require.NoError(t, err)

	end := int64(len(whole))
	for _, cut := range []int64{end, end - 1, end - (end-size)/3, end - (end-size)/2, size + 1} {
		require.NoError(t, os.WriteFile(aof(), whole[:cut], 0o600))
		v.server.Restart(t)
		want := 4
		if cut < end {
			want = 2
		}
		require.Equal(t, want, stats(t, v.Store).Pending, "cut at %d of %d", cut, end)
		for w, known := range map[*outbox.Webhook]bool{&before: true, &last: cut == end} {
			a, err := v.Accept(t.Context(), *w)
			require.NoError(t, err)
			require.Equal(t, known, a.Duplicate, "cut at %d of %d", cut, end)
		}
		require.Equal(t, 4, v.drain())
		v.server.Kill()
	}
}
