package redis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/redisdb"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/outboxtest"
	"github.com/alertrelay/relay/outbox/redis"
)

// A victim is a store whose server the test hurts.
type victim struct {
	*redis.Store
	t      *testing.T
	server *parts.Redis
	count  int
	first  outbox.Webhook
}

func newVictim(t *testing.T, args ...string) *victim {
	t.Helper()
	server := parts.StartRedis(t, args...)
	return &victim{Store: open(t, server.Address), t: t, server: server}
}

func open(t *testing.T, address string) *redis.Store {
	t.Helper()
	return openWith(t, address, redis.Options{})
}

func openWith(t *testing.T, address string, o redis.Options) *redis.Store {
	t.Helper()
	s := redis.New(connect(t, redisdb.Options{Addresses: []string{address}}), o)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// webhook is a new one, of a group of its own.
func (v *victim) webhook() outbox.Webhook {
	v.count++
	group := fmt.Sprint("g", v.count)
	return outbox.Webhook{
		ID: fmt.Sprintf("01ARZ3NDEKTSV4RRFFQ69G%04d", v.count), ReceivedAt: time.Now(), GroupKey: group,
		Slot: dedupe.Slot{byte(v.count), byte(v.count >> 8)}, State: dedupe.State{1}, Window: time.Minute,
		Entries: []outbox.Entry{{
			Lane: outbox.Lane{Integration: mail, Destination: "ops", GroupKey: group}, State: dedupe.State{1},
			Limiters: []relay.LimiterID{mailbox}, Notification: []byte(`{"version":"4"}`),
		}},
	}
}

func (v *victim) accept() outbox.Webhook {
	v.t.Helper()
	w := v.webhook()
	_, err := v.Accept(v.t.Context(), w)
	require.NoError(v.t, err)
	if v.first.ID == "" {
		v.first = w
	}
	return w
}

func (v *victim) claim(lease time.Duration) []outbox.Batch {
	v.t.Helper()
	batches, _, err := v.Claim(v.t.Context(), outbox.ClaimRequest{Max: 10, Lease: lease, Integrations: benchTerms})
	require.NoError(v.t, err)
	return batches
}

func (v *victim) drain() int {
	v.t.Helper()
	n := 0
	for batches := v.claim(time.Minute); len(batches) > 0; batches = v.claim(time.Minute) {
		for _, b := range batches {
			require.NoError(v.t, v.Settle(v.t.Context(), b.Lease, done(b)))
			n++
		}
	}
	return n
}

func done(b outbox.Batch) outbox.Outcome {
	o := outbox.Outcome{Result: outbox.Sent}
	for _, item := range b.Lanes[0].Items {
		o.Items = append(o.Items, item.ID)
	}
	return o
}

// unavailable checks that nothing can be accepted, claimed or settled.
func (v *victim) unavailable(held outbox.Batch) {
	v.t.Helper()
	_, err := v.Accept(v.t.Context(), v.webhook())
	require.ErrorIs(v.t, err, outbox.ErrUnavailable)
	_, err = v.Recall(v.t.Context(), outbox.Query{Slot: v.first.Slot, State: v.first.State, Window: time.Hour})
	require.ErrorIs(v.t, err, outbox.ErrUnavailable)
	_, _, err = v.Claim(v.t.Context(), outbox.ClaimRequest{Max: 1, Lease: time.Minute, Integrations: benchTerms})
	require.ErrorIs(v.t, err, outbox.ErrUnavailable)
	require.ErrorIs(v.t, v.Settle(v.t.Context(), held.Lease, done(held)), outbox.ErrUnavailable)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T){
		"LOADING":                              testLoading,
		"READONLY":                             testReadOnly,
		"OOM":                                  testOOM,
		"OOM for many at once":                 testOOMTogether,
		"MISCONF":                              testMisconf,
		"NOSCRIPT":                             testNoScript,
		"a stall longer than the client waits": testStall,
		"the answer is lost after the script ran":            testAnswerLost,
		"the answer to bind is lost":                         testBindLost,
		"the answer to giveup is lost":                       testGiveUpLost,
		"the answer to sweep is lost":                        testSweepLost,
		"the server is killed and keeps an AOF":              testKilled,
		"a server that stands still for longer than a lease": testStopped,
		"a relay that stands still for longer than a lease":  testRelayStopped,
		"FLUSHALL":                               testFlushed,
		"a clock that jumps":                     testClock,
		"a failover that forgets the last sends": testFailover,
		"a server that forgets the last sends":   testForgotten,
		"a server that forgets sends under way":  testForgottenUnderWay,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// testLoading: while the server reads its data nothing works, then everything does.
func testLoading(t *testing.T) {
	t.Helper()
	v := newVictim(t, "--loading-process-events-interval-bytes", "1024")
	v.accept()
	held := v.claim(time.Minute)[0]
	for range 100 {
		v.accept()
	}
	v.server.Do(t, "CONFIG", "SET", "key-load-delay", "10000")
	reloaded := make(chan error, 1)
	conn, err := net.Dial("tcp", v.server.Address)
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("DEBUG RELOAD\r\n"))
	require.NoError(t, err)
	go func() {
		_, err := conn.Read(make([]byte, 64))
		reloaded <- err
	}()
	parts.WaitFor(t, "the server to load", func() error {
		if v.server.Info(t, "persistence", "loading") != "1" {
			return errors.New("not loading")
		}
		return nil
	})
	v.unavailable(held)
	v.server.Do(t, "CONFIG", "SET", "key-load-delay", "0")
	require.NoError(t, <-reloaded)
	require.NoError(t, v.Settle(t.Context(), held.Lease, done(held)))
	require.Equal(t, 100, v.drain())
}

// testReadOnly: a primary that became a replica takes nothing, and keeps all.
func testReadOnly(t *testing.T) {
	t.Helper()
	v := newVictim(t)
	v.accept()
	held := v.claim(time.Minute)[0]
	replica := parts.StartRedisReplica(t, v.server)
	v.server.Do(t, "CONFIG", "SET", "repl-timeout", "2")
	replica.Promote(t)
	v.server.Do(t, "REPLICAOF", "127.0.0.1", strconv.Itoa(replica.Port()))
	v.unavailable(held)
	v.server.Promote(t)
	require.NoError(t, v.Settle(t.Context(), held.Lease, done(held)))
	v.accept()
	require.Equal(t, 1, v.drain())
}

// testOOM: a full server refuses what is new, and what is there can be told, so that it becomes less full.
func testOOM(t *testing.T) {
	t.Helper()
	v := newVictim(t)
	for range 5 {
		v.accept()
	}
	w := v.accept()
	v.drain()
	for range 5 {
		v.accept()
	}
	v.server.Do(t, "CONFIG", "SET", "maxmemory", "1")
	refused := v.webhook()
	_, err := v.Accept(t.Context(), refused)
	require.ErrorIs(t, err, outbox.ErrFull)
	again := w
	again.ID = "01ARZ3NDEKTSV4RRFFQ69G9999"
	_, err = v.Accept(t.Context(), again)
	require.ErrorIs(t, err, outbox.ErrFull, "a duplicate cannot be counted, and is sent again")
	require.Equal(t, 5, v.drain())
	v.server.Do(t, "CONFIG", "SET", "maxmemory", "0")
	a, err := v.Accept(t.Context(), refused)
	require.NoError(t, err)
	require.False(t, a.Duplicate, "of what was refused there is no mark")
	require.Equal(t, 1, v.drain())
}

// testOOMTogether: what is refused travels with what is not, and neither is answered for the other.
func testOOMTogether(t *testing.T) {
	t.Helper()
	v := newVictim(t)
	for range 100 {
		v.accept()
	}
	for range 10 {
		var refused []outbox.Webhook
		for range 20 {
			refused = append(refused, v.webhook())
		}
		batches := v.claim(time.Minute)
		require.Len(t, batches, 10)
		v.server.Do(t, "CONFIG", "SET", "maxmemory", "1")
		var all sync.WaitGroup
		for _, w := range refused {
			all.Go(func() {
				if a, err := v.Accept(t.Context(), w); !errors.Is(err, outbox.ErrFull) {
					t.Error("accepted", a, err)
				}
			})
			all.Go(func() {
				known, err := v.Recall(t.Context(), outbox.Query{Slot: w.Slot, State: w.State, Window: w.Window})
				if err != nil || known.Duplicate {
					t.Error("known", known, err)
				}
			})
		}
		for _, b := range batches {
			all.Go(func() {
				if err := v.Settle(t.Context(), b.Lease, done(b)); err != nil {
					t.Error("settled", err)
				}
			})
		}
		all.Wait()
		v.server.Do(t, "CONFIG", "SET", "maxmemory", "0")
	}
	require.Zero(t, stats(t, v.Store).Pending)
}

// testMisconf: a server that cannot save takes nothing.
func testMisconf(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	v := newVictim(t, "--dir", dir)
	v.accept()
	held := v.claim(time.Minute)[0]
	require.NoError(t, os.Mkdir(filepath.Join(dir, "dump.rdb"), 0o700)) // which cannot be replaced by a file
	v.server.Do(t, "CONFIG", "SET", "save", "3600 1")
	v.server.Do(t, "BGSAVE")
	parts.WaitFor(t, "the save to fail", func() error {
		if v.server.Info(t, "persistence", "rdb_last_bgsave_status") != "err" {
			return errors.New("not yet")
		}
		return nil
	})
	v.unavailable(held)
	v.server.Do(t, "CONFIG", "SET", "save", "")
	require.NoError(t, v.Settle(t.Context(), held.Lease, done(held)))
	v.accept()
	require.Equal(t, 1, v.drain())
}

// testNoScript: a server that has forgotten its scripts gets them again, also those that travel together.
func testNoScript(t *testing.T) {
	t.Helper()
	v := newVictim(t)
	for range 5 {
		var all sync.WaitGroup
		for range 40 {
			w := v.webhook()
			all.Go(func() {
				_, err := v.Accept(t.Context(), w)
				require.NoError(t, err)
			})
		}
		v.server.Do(t, "SCRIPT", "FLUSH")
		all.Wait()
		require.Equal(t, 40, v.drain())
	}
}

// testStall: a call that takes too long fails. What it did counts, so its copy is a duplicate.
func testStall(t *testing.T) {
	t.Helper()
	server := parts.StartRedis(t)
	s := redis.New(connect(t, redisdb.Options{Addresses: []string{server.Address}, Timeout: 2 * time.Second}), redis.Options{})
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	v := &victim{Store: s, t: t, server: server}
	w := v.webhook()
	v.accept()
	v.server.Freeze()
	began := time.Now()
	_, err := v.Accept(t.Context(), w)
	require.ErrorIs(t, err, outbox.ErrUnavailable)
	require.Less(t, time.Since(began), time.Minute)
	time.AfterFunc(3*time.Second, func() { v.server.Signal(syscall.SIGCONT) })
	copied := w
	copied.ID = "01ARZ3NDEKTSV4RRFFQ69G9999"
	var a outbox.Accepted
	parts.WaitFor(t, "the server", func() error {
		a, err = v.Accept(t.Context(), copied)
		return err
	})
	require.Contains(t, []string{w.ID, copied.ID}, a.ID)
	require.Equal(t, 2, v.drain(), "each group once")
}

// testKilled: what was accepted survives a killed server, and what was leased is told again once the lease is over.
func testKilled(t *testing.T) {
	t.Helper()
	v := newVictim(t, "--appendfsync", "always")
	v.accept()
	held := v.claim(time.Minute)[0]
	for range 20 {
		v.accept()
	}
	v.server.Kill()
	v.unavailable(held)
	v.server.Restart(t)
	require.NoError(t, v.Settle(t.Context(), held.Lease, done(held)), "the lease survives as well")
	require.Equal(t, 20, v.drain())
}

// testStopped: after a server stood still for longer than a lease, the lease has ended.
func testStopped(t *testing.T) {
	t.Helper()
	v := newVictim(t)
	w := v.accept()
	held := v.claim(500 * time.Millisecond)[0]
	v.server.Freeze()
	stopped := time.NewTimer(time.Second)
	<-stopped.C
	v.server.Signal(syscall.SIGCONT)
	require.ErrorIs(t, v.Settle(t.Context(), held.Lease, done(held)), outbox.ErrStale)
	again := v.claim(time.Minute)
	require.Len(t, again, 1)
	require.Equal(t, w.ID+"-0", again[0].Lanes[0].Items[0].ID)
	require.Equal(t, 1, again[0].Lanes[0].Crashes)
}

// testRelayStopped: what a relay settles once its lease is over is not heard; another one tells it once more, together with
// what came after it in its lane.
func testRelayStopped(t *testing.T) {
	t.Helper()
	clock := outboxtest.NewClock()
	server := parts.StartRedis(t)
	v := &victim{Store: openWith(t, server.Address, redis.Options{Now: clock.Now}), t: t, server: server}
	other := &victim{Store: openWith(t, server.Address, redis.Options{Now: clock.Now}), t: t, server: server}
	first := v.accept()
	held := v.claim(time.Minute)[0]
	second := v.webhook()
	second.GroupKey, second.Entries[0].Lane = first.GroupKey, first.Entries[0].Lane
	second.Entries[0].State = dedupe.State{2}
	_, err := other.Accept(t.Context(), second)
	require.NoError(t, err)
	require.Empty(t, other.claim(time.Minute), "what is under way is told by one relay alone")

	// Meanwhile the relay is stopped, as SIGSTOP does it, and sends no word to Redis.
	clock.Advance(time.Minute)
	again := other.claim(time.Minute)
	require.ErrorIs(t, v.Settle(t.Context(), held.Lease, done(held)), outbox.ErrStale)
	require.Len(t, again, 1)
	require.Equal(t, []string{first.ID + "-0", second.ID + "-0"}, done(again[0]).Items)
	require.NoError(t, other.Settle(t.Context(), again[0].Lease, done(again[0])))
	require.Zero(t, stats(t, v.Store).Pending)
}

// testBindLost: when the answer to bind is lost nothing is claimed, and the next claim goes on from there.
func testBindLost(t *testing.T) {
	t.Helper()
	v := newVictim(t)
	proxy := newCutter(t, v.server.Address)
	through := &victim{Store: open(t, proxy.address), t: t, server: v.server}
	v.accept()
	_, _, err := through.Claim(t.Context(), outbox.ClaimRequest{Lease: time.Minute}) // which loads the scripts
	require.NoError(t, err)
	// The first script asks for the bind, the second for the queues, and the third binds.
	proxy.after.Store(2)
	proxy.cut.Store(true)
	_, _, err = through.Claim(t.Context(), outbox.ClaimRequest{Max: 1, Lease: time.Minute, Integrations: benchTerms})
	require.ErrorIs(t, err, outbox.ErrUnavailable)
	proxy.cut.Store(false)
	require.Equal(t, 1, through.drain())
}

// testGiveUpLost: when the answer to giveup is lost, what nobody knows is in the dead letters all the same, and once.
func testGiveUpLost(t *testing.T) {
	t.Helper()
	clock := outboxtest.NewClock()
	server := parts.StartRedis(t)
	proxy := newCutter(t, server.Address)
	s := openWith(t, proxy.address, redis.Options{Now: clock.Now})
	v := &victim{Store: s, t: t, server: server}
	w := v.accept()
	v.accept()
	nobody := outbox.ClaimRequest{
		Max: 1, Lease: time.Minute, Integrations: map[relay.IntegrationID]outbox.Terms{"ops/slack/main": {}},
	}
	require.Empty(t, v.claimOnce(nobody))
	clock.Advance(outbox.RemovedGrace)
	proxy.after.Store(1) // the first script finds what is to be given up
	proxy.cut.Store(true)
	_, _, err := v.Claim(t.Context(), nobody)
	require.ErrorIs(t, err, outbox.ErrUnavailable)
	proxy.cut.Store(false)
	require.Equal(t, 2, stats(t, s).Dead)
	require.Empty(t, v.claimOnce(nobody))
	require.Equal(t, 2, stats(t, s).Dead)
	require.Zero(t, stats(t, s).Pending)

	decisions, err := v.Requeue(t.Context(), outbox.RequeueRequest{IDs: []string{w.ID + "-0"}})
	require.NoError(t, err)
	require.Empty(t, decisions[0].Refusal)
	require.Equal(t, 1, v.drain())
}

// testSweepLost: what is past its time is gone, whether or not the answer arrives, and the rest stays.
func testSweepLost(t *testing.T) {
	t.Helper()
	clock := outboxtest.NewClock()
	server := parts.StartRedis(t)
	v := &victim{Store: openWith(t, server.Address, redis.Options{Now: clock.Now}), t: t, server: server}
	bury := func() {
		v.accept()
		batch := v.claim(time.Minute)[0]
		o := outbox.Outcome{Result: outbox.Dead, Items: []string{batch.Lanes[0].Items[0].ID}, Reason: relay.Refused}
		require.NoError(t, v.Settle(t.Context(), batch.Lease, o))
	}
	bury()
	clock.Advance(31 * 24 * time.Hour)
	bury()
	letters := server.Do(t, "ZCARD", redis.Prefix("relay")+"dead")
	require.Equal(t, "2", letters)

	proxy := newCutter(t, server.Address)
	proxy.cut.Store(true)
	openWith(t, proxy.address, redis.Options{Now: clock.Now, SweepEvery: time.Millisecond})
	parts.WaitFor(t, "a sweep", func() error {
		if letters = server.Do(t, "ZCARD", redis.Prefix("relay")+"dead"); letters == "2" {
			return errors.New("there was none")
		}
		return nil
	})
	require.Equal(t, "1", letters)
	require.Equal(t, 1, stats(t, v.Store).Dead)
}

// testAnswerLost: whatever script's answer is lost, it has happened once, and nothing is lost or told out of order.
func testAnswerLost(t *testing.T) {
	t.Helper()
	clock := outboxtest.NewClock()
	server := parts.StartRedis(t)
	proxy := newCutter(t, server.Address)
	v := &victim{Store: openWith(t, server.Address, redis.Options{Now: clock.Now}), t: t, server: server}
	through := openWith(t, proxy.address, redis.Options{Now: clock.Now})
	ctx := t.Context()
	lost := func(err error) {
		t.Helper()
		require.ErrorIs(t, err, outbox.ErrUnavailable)
		proxy.cut.Store(false)
	}
	w := v.webhook()
	proxy.cut.Store(true)
	_, err := through.Accept(ctx, w)
	lost(err)
	a, err := through.Accept(ctx, w)
	require.NoError(t, err)
	require.Equal(t, outbox.Accepted{ID: w.ID, Duplicate: true}, a)

	proxy.cut.Store(true)
	_, err = through.Recall(ctx, outbox.Query{Slot: w.Slot, State: w.State, Window: w.Window})
	lost(err)
	known, err := through.Recall(ctx, outbox.Query{Slot: w.Slot, State: w.State, Window: w.Window})
	require.NoError(t, err)
	require.True(t, known.Duplicate)

	c := outbox.ClaimRequest{Max: 1, Lease: time.Minute, Integrations: benchTerms}
	require.Empty(t, v.claimOnce(outbox.ClaimRequest{Lease: time.Minute, Integrations: benchTerms})) // which binds
	proxy.cut.Store(true)
	_, _, err = through.Claim(ctx, c)
	lost(err)
	batches, wait, err := through.Claim(ctx, c)
	require.NoError(t, err)
	require.Empty(t, batches, "it is leased to whom nobody knows")
	require.LessOrEqual(t, wait, time.Minute)
	clock.Advance(time.Minute)
	batches, _, err = through.Claim(ctx, c)
	require.NoError(t, err)
	require.Len(t, batches, 1)

	proxy.cut.Store(true)
	o := outbox.Outcome{Result: outbox.Dead, Items: []string{w.ID + "-0"}, Reason: relay.Refused, Hold: time.Hour}
	lost(through.Settle(ctx, batches[0].Lease, o))
	require.ErrorIs(t, through.Settle(ctx, batches[0].Lease, o), outbox.ErrStale)
	require.Equal(t, 1, stats(t, v.Store).Dead)

	proxy.cut.Store(true)
	lost(through.Lift(ctx, relay.Refused))
	require.NoError(t, through.Lift(ctx, relay.Refused))
	require.Empty(t, stats(t, v.Store).Holds)

	proxy.cut.Store(true)
	_, err = through.Requeue(ctx, outbox.RequeueRequest{IDs: []string{w.ID + "-0"}})
	lost(err)
	decisions, err := through.Requeue(ctx, outbox.RequeueRequest{IDs: []string{w.ID + "-0"}})
	require.NoError(t, err)
	require.Equal(t, outbox.RefusedNotFound, decisions[0].Refusal)
	require.Equal(t, 1, stats(t, v.Store).Pending)

	batches = v.claimOnce(outbox.ClaimRequest{Max: 1, Lease: time.Minute, Integrations: benchTerms})
	require.NoError(t, v.Settle(ctx, batches[0].Lease, o))
	proxy.cut.Store(true)
	_, err = through.Drop(ctx, []string{w.ID + "-0"})
	lost(err)
	require.Zero(t, stats(t, v.Store).Dead)
}

func (v *victim) claimOnce(c outbox.ClaimRequest) []outbox.Batch {
	v.t.Helper()
	batches, _, err := v.Claim(v.t.Context(), c)
	require.NoError(v.t, err)
	return batches
}

// A cutter stands before a server. While it cuts, it hands on what is asked, and closes the connection instead of
// handing back the answer to a script.
type cutter struct {
	address string
	cut     atomic.Bool
	after   atomic.Int64 // answers to scripts that it hands back before it cuts

	mu     sync.Mutex
	server string
	open   []net.Conn
}

// turn closes all connections, and makes the next ones to another server.
func (c *cutter) turn(server string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server = server
	for _, conn := range c.open {
		_ = conn.Close()
	}
	c.open = nil
}

// route notes a connection, and returns where it goes.
func (c *cutter) route(conn net.Conn) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = append(c.open, conn)
	return c.server
}

func newCutter(t *testing.T, server string) *cutter {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cutter{address: l.Addr().String(), server: server}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
	})
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go c.serve(ctx, client)
		}
	}()
	return c
}

func containsScript(command []byte) bool {
	return bytes.Contains(bytes.ToLower(command), []byte("evalsha"))
}

func (c *cutter) serve(ctx context.Context, client net.Conn) {
	defer client.Close()
	upstream, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.route(client))
	if err != nil {
		return
	}
	defer upstream.Close()
	var scripts atomic.Bool
	go func() {
		defer upstream.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := client.Read(buffer)
			if err != nil {
				return
			}
			scripts.Store(c.cut.Load() && containsScript(buffer[:n]) && c.after.Add(-1) < 0)
			if _, err := upstream.Write(buffer[:n]); err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := upstream.Read(buffer)
		if err != nil || scripts.Load() {
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// testFlushed: a server that has lost all is told about once, and the work goes on.
func testFlushed(t *testing.T) {
	t.Helper()
	server := parts.StartRedis(t)
	log := &lines{}
	registry := prometheus.NewPedanticRegistry()
	s := redis.New(connect(t, redisdb.Options{Addresses: []string{server.Address}}), redis.Options{
		Logger: slog.New(slog.NewTextHandler(log, nil)), Registerer: registry,
	})
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	v := &victim{Store: s, t: t, server: server}
	v.accept()
	held := v.claim(time.Minute)[0]
	v.accept()
	server.Do(t, "FLUSHALL")
	for range 5 {
		require.Empty(t, v.claim(time.Minute))
	}
	require.ErrorIs(t, v.Settle(t.Context(), held.Lease, done(held)), outbox.ErrStale)
	require.Equal(t, 1, strings.Count(log.String(), "level=ERROR"), log.String())
	metrics, err := registry.Gather()
	require.NoError(t, err)
	require.InDelta(t, 1, metrics[0].GetMetric()[0].GetCounter().GetValue(), 0)
	v.accept()
	require.Equal(t, 1, v.drain())
}

// lines is a log that may be written to by many.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// testClock: whatever the clock does, what waits is due in its time, and the limit holds.
func testClock(t *testing.T) {
	t.Helper()
	clock := outboxtest.NewClock()
	server := parts.StartRedis(t)
	s := openWith(t, server.Address, redis.Options{Now: clock.Now})
	v := &victim{Store: s, t: t, server: server}
	limited := map[relay.IntegrationID]outbox.Terms{mail: {
		Limit: relay.Limit{Messages: 3, Per: time.Minute}, Limiters: []relay.LimiterID{mailbox},
	}}
	claim := func() ([]outbox.Batch, time.Duration) {
		t.Helper()
		c := outbox.ClaimRequest{Max: 10, Lease: 2 * time.Minute, Integrations: limited}
		batches, wait, err := s.Claim(t.Context(), c)
		require.NoError(t, err)
		return batches, wait
	}
	for range 5 {
		v.accept()
	}
	batches, _ := claim()
	require.Len(t, batches, 3)
	retry := outbox.Outcome{Result: outbox.Retry, After: 5 * time.Minute}
	require.NoError(t, s.Settle(t.Context(), batches[0].Lease, retry))
	require.NoError(t, s.Settle(t.Context(), batches[1].Lease, done(batches[1])))
	crashed := batches[2]

	clock.Advance(-time.Hour)
	none, wait := claim()
	require.Empty(t, none, "the sends of the last minute count")
	require.LessOrEqual(t, wait, time.Minute)
	clock.Advance(time.Minute)
	batches, _ = claim()
	require.Len(t, batches, 2)
	for _, b := range batches {
		require.NoError(t, s.Settle(t.Context(), b.Lease, done(b)))
	}
	clock.Advance(time.Minute)
	batches, _ = claim()
	require.Len(t, batches, 1, "the lease has ended in its time")
	require.Equal(t, crashed.Lanes, func() []outbox.LaneBatch {
		batches[0].Lanes[0].Crashes--
		return batches[0].Lanes
	}())
	require.NoError(t, s.Settle(t.Context(), batches[0].Lease, done(batches[0])))
	clock.Advance(3 * time.Minute)
	batches, _ = claim()
	require.Len(t, batches, 1, "the retry is due in its time")

	clock.Advance(time.Hour)
	require.ErrorIs(t, s.Settle(t.Context(), batches[0].Lease, done(batches[0])), outbox.ErrStale)
	batches, _ = claim()
	require.Len(t, batches, 1, "a clock that is set forward ends what is under way")
}

// testFailover: a replica that did not hear of the last sends is told of them before anything else is sent, also a full
// one.
func testFailover(t *testing.T) {
	t.Helper()
	primary := parts.StartRedis(t)
	proxy := newCutter(t, primary.Address)
	v := &victim{Store: open(t, proxy.address), t: t, server: primary}
	limited := map[relay.IntegrationID]outbox.Terms{mail: {
		Limit: relay.Limit{Messages: 3, Per: time.Hour}, Limiters: []relay.LimiterID{mailbox},
	}}
	claim := func(most int) []outbox.Batch {
		return v.claimOnce(outbox.ClaimRequest{Max: most, Lease: time.Minute, Integrations: limited})
	}
	for range 6 {
		v.accept()
	}
	require.Empty(t, claim(0))
	replica := parts.StartRedisReplica(t, primary)
	replica.Promote(t) // before the sends
	replica.Do(t, "CONFIG", "SET", "maxmemory", "1")
	batches := claim(10)
	require.Len(t, batches, 3)
	require.NoError(t, v.Settle(t.Context(), batches[0].Lease, done(batches[0])))

	proxy.turn(replica.Address)
	proxy.cut.Store(true)
	_, _, err := v.Claim(t.Context(), outbox.ClaimRequest{Max: 10, Lease: time.Minute, Integrations: limited})
	require.ErrorIs(t, err, outbox.ErrUnavailable, "the answer to restamp is lost")
	proxy.cut.Store(false)
	require.Empty(t, claim(10), "the window is full, whatever the new server knew")
	require.ErrorIs(t, v.Settle(t.Context(), batches[1].Lease, done(batches[1])), outbox.ErrStale)
	require.Equal(t, 6, stats(t, v.Store).Pending, "what was not heard of is told again")
}

// testForgottenUnderWay: a send that a server forgot while it was under way counts from its end, as any other does.
func testForgottenUnderWay(t *testing.T) {
	t.Helper()
	clock := outboxtest.NewClock()
	server := parts.StartRedis(t, "--appendonly", "no")
	v := &victim{t: t, server: server, Store: openWith(t, server.Address, redis.Options{Now: clock.Now})}
	limited := map[relay.IntegrationID]outbox.Terms{mail: {
		Limit: relay.Limit{Messages: 3, Per: time.Minute}, Limiters: []relay.LimiterID{mailbox},
	}}
	claim := func() []outbox.Batch {
		return v.claimOnce(outbox.ClaimRequest{Max: 10, Lease: 30 * time.Second, Integrations: limited})
	}
	for range 6 {
		v.accept()
	}
	server.Do(t, "SAVE")
	sending := claim()
	require.Len(t, sending, 3)
	server.Do(t, "DEBUG", "RELOAD", "NOSAVE")
	require.Empty(t, claim(), "they are under way")
	clock.Advance(14 * time.Second)
	for _, b := range sending {
		require.ErrorIs(t, v.Settle(t.Context(), b.Lease, done(b)), outbox.ErrStale)
	}
	clock.Advance(time.Minute - time.Millisecond)
	require.Empty(t, claim(), "a minute since they ended is not over")
	clock.Advance(time.Millisecond)
	require.Len(t, claim(), 3)
}

// testForgotten: a server that loses its last writes is told of the sends among them before anything else is sent, also
// when it is the same process, over the same connection.
func testForgotten(t *testing.T) {
	t.Helper()
	v := newVictim(t, "--appendonly", "no")
	limited := map[relay.IntegrationID]outbox.Terms{mail: {
		Limit: relay.Limit{Messages: 3, Per: time.Hour}, Limiters: []relay.LimiterID{mailbox},
	}}
	claim := func(most int) []outbox.Batch {
		return v.claimOnce(outbox.ClaimRequest{Max: most, Lease: time.Minute, Integrations: limited})
	}
	for range 6 {
		v.accept()
	}
	forget := func() {
		v.server.Do(t, "DEBUG", "RELOAD", "NOSAVE")
		require.Empty(t, v.server.Do(t, "KEYS", "*leases"), "the claims are forgotten")
	}
	require.Empty(t, claim(0))
	v.server.Do(t, "SAVE") // before the sends
	runID := v.server.Info(t, "server", "run_id")
	require.Len(t, claim(2), 2)
	forget()
	require.Len(t, claim(10), 1, "two of three slots are in use")
	forget()
	require.Empty(t, claim(10), "all of them are")
	require.Equal(t, runID, v.server.Info(t, "server", "run_id"))
	require.Equal(t, 6, stats(t, v.Store).Pending, "what was forgotten is told again")
}
