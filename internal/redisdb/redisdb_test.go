package redisdb_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/redisdb"
	"github.com/alertrelay/relay/internal/secret"
)

func TestMain(m *testing.M) {
	// It starts the programs, and stays as long as they may.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/alertrelay/relay/internal/parts.onMainThread.func1.1"))
}

var (
	increment = redisdb.NewScript("increment", "return redis.call('INCRBY', KEYS[1], ARGV[1])")
	echo      = redisdb.NewScript("echo", "return {ARGV[1], #KEYS, false}")
	grow      = redisdb.NewScript("grow", "return redis.call('SET', KEYS[1], ARGV[1])")
	shrink    = redisdb.NewScript("shrink", "redis.call('DEL', KEYS[1]); return redis.call('SET', KEYS[1], 'x')")
)

// open returns a client, by default one that is patient with a server on a busy disk.
func open(t *testing.T, o redisdb.Options) *redisdb.DB {
	t.Helper()
	o.Timeout = cmp.Or(o.Timeout, time.Minute)
	db, err := redisdb.New(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func run(t *testing.T, db *redisdb.DB, s *redisdb.Script, args ...any) (any, error) {
	t.Helper()
	return db.Run(t.Context(), redisdb.Call{Script: s, Keys: []string{"{k}"}, Args: args, Durable: true})
}

func TestScriptsAnswer(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t)
	registry := prometheus.NewRegistry()
	db := open(t, redisdb.Options{Addresses: []string{server.Address}, Registerer: registry})
	db.Prepare(increment, echo)
	require.NoError(t, db.Err())

	answer, err := run(t, db, echo, "one")
	require.NoError(t, err)
	require.Equal(t, []any{"one", int64(1), nil}, answer)

	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for range 20 {
				if _, err := run(t, db, increment, 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	answer, err = run(t, db, increment, 0)
	require.NoError(t, err)
	require.Equal(t, int64(64*20), answer)
	require.Empty(t, server.Info(t, "commandstats", "cmdstat_eval"), "scripts were loaded when connecting")
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP relay_redis_up 1 if Redis answered the last time it was asked.
# TYPE relay_redis_up gauge
relay_redis_up 1
`), "relay_redis_up"))
}

// TestJointScript: calls of one head share runs, each gets its own answer, and the failure of one is its own.
func TestJointScript(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t)
	db := open(t, redisdb.Options{Addresses: []string{server.Address}})
	joint := redisdb.NewJointScript("joint", `
		local answers, at = {}, 2
		while at <= #ARGV do
			local n = tonumber(ARGV[at])
			redis.call('INCRBY', KEYS[1], n)
			answers[#answers + 1] = n == 0 and 'OOM nothing' or {ARGV[1], ARGV[at + n], false}
			at = at + n + 1
		end
		return answers`)
	call := func(head string, args ...any) (any, error) {
		return db.Run(t.Context(), redisdb.Call{Script: joint, Keys: []string{"{k}"}, Head: []any{head}, Args: args})
	}
	_, err := call("none")
	require.ErrorIs(t, err, redisdb.ErrFull)

	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			head, last := []string{"a", "b"}[i%2], strconv.Itoa(i)
			for n := range 20 {
				if n == 10 {
					if _, err := call(head); !errors.Is(err, redisdb.ErrFull) {
						t.Error("the failure of another", err)
					}
				}
				answer, err := call(head, "x", last)
				if err != nil || !reflect.DeepEqual(answer, []any{head, last, nil}) {
					t.Error("the answer of another", answer, err)
				}
			}
		})
	}
	all.Wait()
	require.Equal(t, strconv.Itoa(64*20*2), server.Do(t, "GET", "{k}"))
	runs, calls := server.Info(t, "commandstats", "cmdstat_evalsha"), 64*21+1
	require.Regexp(t, `^calls=\d+,`, runs)
	n, err := strconv.Atoi(strings.TrimPrefix(strings.Split(runs, ",")[0], "calls="))
	require.NoError(t, err)
	require.Less(t, n, calls, "some travelled together")
}

func TestForgottenScriptsAreSentAgain(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t)
	db := open(t, redisdb.Options{Addresses: []string{server.Address}})
	db.Prepare(increment, echo)
	_, err := run(t, db, increment, 1)
	require.NoError(t, err)
	server.Do(t, "SCRIPT", "FLUSH")

	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			if _, err := run(t, db, increment, 1); err != nil {
				t.Error(err)
			}
			if _, err := run(t, db, echo, 1); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	answer, err := run(t, db, increment, 0)
	require.NoError(t, err)
	require.Equal(t, int64(33), answer)
}

func TestAFullRedis(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t, "--maxmemory", "1kb", "--maxmemory-policy", "noeviction")
	db := open(t, redisdb.Options{Addresses: []string{server.Address}})
	_, err := run(t, db, grow, "x")
	require.ErrorIs(t, err, redisdb.ErrFull)
	require.NotErrorIs(t, err, redisdb.ErrUnavailable)
	require.NoError(t, db.Err(), "it answers")
	_, err = run(t, db, shrink)
	require.NoError(t, err, "what frees memory first may go on")
}

func TestARedisThatRefuses(t *testing.T) {
	t.Parallel()
	t.Run("a replica", func(t *testing.T) {
		t.Parallel()
		primary := parts.StartRedis(t)
		replica := parts.StartRedisReplica(t, primary)
		db := open(t, redisdb.Options{Addresses: []string{replica.Address}})
		_, err := run(t, db, increment, 1)
		require.ErrorIs(t, err, redisdb.ErrUnavailable)
		require.ErrorContains(t, err, "READONLY")
		replica.Promote(t)
		_, err = run(t, db, increment, 1)
		require.NoError(t, err)
	})
	t.Run("a disk that cannot be written", func(t *testing.T) {
		t.Parallel()
		server := parts.StartRedis(t, "--appendonly", "no", "--save", "3600 1", "--enable-protected-configs", "yes")
		db := open(t, redisdb.Options{Addresses: []string{server.Address}})
		server.Do(t, "CONFIG", "SET", "dbfilename", strings.Repeat("x", 300))
		server.Do(t, "BGSAVE")
		parts.WaitFor(t, "the save to fail", func() error {
			if server.Info(t, "persistence", "rdb_last_bgsave_status") == "ok" {
				return context.DeadlineExceeded
			}
			return nil
		})
		_, err := run(t, db, increment, 1)
		require.ErrorIs(t, err, redisdb.ErrUnavailable)
		require.ErrorContains(t, err, "MISCONF")
	})
}

func TestADurableCallWaitsForReplicas(t *testing.T) {
	t.Parallel()
	primary := parts.StartRedis(t)
	replica := parts.StartRedisReplica(t, primary)
	registry := prometheus.NewRegistry()
	db := open(t, redisdb.Options{
		Addresses: []string{primary.Address}, MinAcks: 1, Timeout: 2 * time.Second, Registerer: registry,
	})
	_, err := run(t, db, increment, 1)
	require.NoError(t, err)
	require.Equal(t, "1", replica.Do(t, "GET", "{k}"))

	replica.Freeze()
	defer replica.Signal(syscall.SIGCONT)
	_, err = run(t, db, increment, 1)
	var short *redisdb.ShortError
	require.ErrorAs(t, err, &short)
	require.ErrorIs(t, err, redisdb.ErrUnavailable)
	require.Equal(t, redisdb.ShortError{Acks: 0, MinAcks: 1}, *short)
	require.NoError(t, db.Err(), "the primary answers")
	answer, err := db.Run(t.Context(), redisdb.Call{Script: increment, Keys: []string{"{k}"}, Args: []any{0}})
	require.NoError(t, err, "what is not durable waits for nobody")
	require.Equal(t, int64(2), answer, "what was written stays")
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP relay_redis_errors_total Calls of Redis that failed: it was unavailable, full, or too few replicas had the write in time.
# TYPE relay_redis_errors_total counter
relay_redis_errors_total{reason="full"} 0
relay_redis_errors_total{reason="unacknowledged"} 1
relay_redis_errors_total{reason="unavailable"} 0
`), "relay_redis_errors_total"))
}

func TestAStallEndsInTime(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t)
	db := open(t, redisdb.Options{Addresses: []string{server.Address}, Timeout: 100 * time.Millisecond})
	parts.WaitFor(t, "Redis to be used", func() error {
		_, err := run(t, db, increment, 1)
		return err
	})

	server.Freeze()
	_, err := run(t, db, increment, 1)
	require.ErrorIs(t, err, redisdb.ErrUnavailable)
	require.NotErrorIs(t, err, redisdb.ErrNotRun, "it may have run")
	require.Error(t, db.Err())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = db.Run(ctx, redisdb.Call{Script: increment, Keys: []string{"{k}"}, Args: []any{1}})
	require.ErrorIs(t, err, context.Canceled)
	server.Signal(syscall.SIGCONT)

	parts.WaitFor(t, "Redis to be used again", func() error {
		_, err := run(t, db, increment, 0)
		return err
	})
	require.NoError(t, db.Err())
}

func TestTheLogTellsOnceThatRedisIsDown(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t)
	server.Kill()
	var log syncBuffer
	db := open(t, redisdb.Options{
		Addresses: []string{server.Address}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	for range 10 {
		_, err := run(t, db, increment, 1)
		require.ErrorIs(t, err, redisdb.ErrUnavailable)
	}
	server.Restart(t)
	for range 10 {
		_, err := run(t, db, increment, 1)
		require.NoError(t, err)
	}
	require.Equal(t, 1, strings.Count(log.String(), "Redis is unavailable"), log.String())
	require.Equal(t, 1, strings.Count(log.String(), "Redis is available again"), log.String())
	require.Equal(t, 2, strings.Count(log.String(), "\n"), log.String())
}

func TestPasswords(t *testing.T) {
	t.Parallel()
	const old, rotated = "s3cr3t-old", "s3cr3t-new"
	server := parts.StartRedis(t, "--requirepass", old)
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte(old+"\n"), 0o600))
	var log syncBuffer
	db := open(t, redisdb.Options{
		Addresses: []string{server.Address}, Password: secret.Of(secret.String{}, secret.File(file)),
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	_, err := run(t, db, increment, 1)
	require.NoError(t, err)

	server.Do(t, "-a", old, "CONFIG", "SET", "requirepass", rotated)
	server.Do(t, "-a", rotated, "CLIENT", "KILL", "TYPE", "normal")
	_, err = run(t, db, increment, 1)
	require.ErrorIs(t, err, redisdb.ErrUnavailable)
	require.NoError(t, os.WriteFile(file, []byte(rotated), 0o600))
	parts.WaitFor(t, "the new password to be used", func() error {
		_, err := run(t, db, increment, 1)
		return err
	})
	require.NotContains(t, log.String(), "s3cr3t")
}

// A server of the kind that stands before some managed ones: it knows no HELLO, and repeats what it was told.
func TestAnErrorThatRepeatsThePassword(t *testing.T) {
	t.Parallel()
	address := serve(t, func(line string) string { return "-ERR unknown command, with args beginning with: " + line + "\r\n" })
	var log syncBuffer
	db := open(t, redisdb.Options{
		Addresses: []string{address}, Password: secret.Of(secret.New("s3cr3t"), ""),
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	_, err := run(t, db, increment, 1)
	require.ErrorIs(t, err, redisdb.ErrNotRun)
	require.NotContains(t, err.Error(), "s3cr3t")
	require.Contains(t, err.Error(), "<secret>")
	require.NotContains(t, log.String(), "s3cr3t")
}

func TestSentinelLeadsToThePrimary(t *testing.T) {
	t.Parallel()
	primary := parts.StartRedis(t)
	replica := parts.StartRedisReplica(t, primary)
	sentinel := parts.StartSentinel(t, "relay", primary)
	parts.WaitFor(t, "the Sentinel to know the replica", func() error {
		if !strings.Contains(sentinel.Do(t, "SENTINEL", "REPLICAS", "relay"), strings.Split(replica.Address, ":")[1]) {
			return context.DeadlineExceeded
		}
		return nil
	})
	db := open(t, redisdb.Options{Addresses: []string{sentinel.Address}, MasterName: "relay", MinAcks: 1})
	db.Prepare(increment)
	_, err := run(t, db, increment, 1)
	require.NoError(t, err)

	primary.Kill()
	parts.WaitFor(t, "the replica to be the primary", func() error {
		_, err := db.Run(t.Context(), redisdb.Call{Script: increment, Keys: []string{"{k}"}, Args: []any{1}})
		return err
	})
	require.Equal(t, "2", replica.Do(t, "GET", "{k}"))
}

func TestACluster(t *testing.T) {
	t.Parallel()
	nodes := parts.StartRedisCluster(t, 3)
	db := open(t, redisdb.Options{Addresses: []string{nodes[0].Address, nodes[1].Address}})
	db.Prepare(increment)
	for _, key := range []string{"{a}", "{b}", "{c}", "{d}", "{e}"} {
		answer, err := db.Run(t.Context(), redisdb.Call{Script: increment, Keys: []string{key}, Args: []any{1}, Durable: true})
		require.NoError(t, err)
		require.Equal(t, int64(1), answer)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
