package soak_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/soak"
)

// newSharedPlan is for three relays: what a dead one had leased is told by the others only after a while, so the short run
// is shorter.
func newSharedPlan() plan {
	p := newPlan()
	p.accepted, p.kills, p.groups, p.gap, p.deaf = 450, 3, 50, 500*time.Millisecond, true
	if *long {
		p.accepted, p.kills, p.groups, p.gap, p.rests = 12_000, 30, 480, 3200*time.Millisecond, false
	}
	return p
}

// TestNothingIsLostInRedis is the proof for three relays that share one Redis: relays are killed, and so is Redis, which
// keeps an AOF and syncs it before each answer. With everysec a disk that is busy at the moment of the kill loses what was
// answered meanwhile.
func TestNothingIsLostInRedis(t *testing.T) {
	if testing.Short() {
		t.Skip("takes most of a minute")
	}
	t.Parallel()
	server := parts.StartRedis(t, "--appendfsync", "always")
	f := &fleet{storage: fmt.Sprintf("{addresses: [%q]}", server.Address)}
	f.failure = func(t *testing.T, random *rand.Rand) {
		t.Helper()
		server.Kill()
		pause(t.Context(), upTo(random, 500*time.Millisecond))
		server.Restart(t)
	}
	f.prove(t, newSharedPlan())
}

// TestNothingIsLostInAFailover is the proof for three relays, a Redis and its replica, min_acks 1 and a Sentinel: the
// primary is killed in the middle of the load and the replica takes over.
func TestNothingIsLostInAFailover(t *testing.T) {
	if testing.Short() || !*long {
		t.Skip("takes minutes: make soak")
	}
	servers := []*parts.Redis{parts.StartRedis(t)}
	servers = append(servers, parts.StartRedisReplica(t, servers[0]))
	sentinel := parts.StartSentinel(t, "relay", servers[0])
	f := &fleet{storage: fmt.Sprintf("{addresses: [%q], master_name: relay, min_acks: 1}", sentinel.Address)}
	f.failure = func(t *testing.T, _ *rand.Rand) {
		t.Helper()
		at := time.Now()
		servers[0].Kill()
		parts.WaitFor(t, "the replica to take over", func() error {
			if primary := strings.Fields(sentinel.Do(t, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "relay")); len(primary) != 2 ||
				net.JoinHostPort(primary[0], primary[1]) != servers[1].Address {
				return fmt.Errorf("the sentinel names %s", primary)
			}
			if role := servers[1].Info(t, "replication", "role"); role != "master" {
				return fmt.Errorf("it is a %s", role)
			}
			return nil
		})
		// Settles of the last moment were acknowledged by nobody.
		f.kills = append(f.kills, soak.Kill{At: at, Back: time.Now().Add(time.Second)})
		servers[0].Restart(t)
		servers[0].Follow(t, servers[1])
		servers[0], servers[1] = servers[1], servers[0]
	}
	p := newSharedPlan()
	p.kills = 15
	f.prove(t, p)
}

// A fleet is three relays that share a store.
type fleet struct {
	storage string // in the form of storage.redis
	failure func(t *testing.T, random *rand.Rand)

	relays   []*relay
	kills    []soak.Kill
	turns    int
	failures int
}

// disturb kills a relay, three times of four; else what they share fails.
func (f *fleet) disturb(t *testing.T, random *rand.Rand) {
	t.Helper()
	if f.turns++; f.turns%4 == 2 {
		f.failures++
		f.failure(t, random)
		return
	}
	r := f.relays[random.IntN(len(f.relays))]
	r.kill(t, random)
	f.kills = append(f.kills, r.kills[len(r.kills)-1])
}

// prove runs the load and the disturbance and checks what came of it.
func (f *fleet) prove(t *testing.T, p plan) {
	t.Helper()
	t.Logf("seed %d", p.seed)
	ctx := t.Context()
	v := startVendors(t, p)
	config := fmt.Sprintf("storage: {redis: %s}\n%s", f.storage, v.config())
	var urls []string
	for range 3 {
		r := startRelay(t, config)
		f.relays, urls = append(f.relays, r), append(urls, r.url)
	}
	pair := newPair(p, urls...)
	watching := v.start(ctx)
	posting := make(chan struct{})
	go func() {
		defer close(posting)
		pair.run(ctx)
	}()
	random := rand.New(rand.NewPCG(p.seed, 1))
	for _, after := range moments(random, p) {
		for pair.accepted.Load() < after && !ended(posting) {
			pause(ctx, 5*time.Millisecond)
		}
		f.disturb(t, random)
	}
	<-posting
	watching.end()
	v.soothe()
	watching = v.start(ctx)
	r := f.relays[0]
	r.drain(t, p.patience)
	watching.end()

	log := &soak.Log{
		Attempts: pair.log(), Tellings: v.all(t), Dead: r.deadLetters(t, v), Calls: v.calls, Kills: f.kills,
		Destinations: v.destinations, Each: v.each, Limits: v.limits(), Unsettled: robotCalls, Window: window,
	}
	report := soak.Check(log)
	t.Logf("seed=%d failures=%d %s", p.seed, f.failures, report)
	if first := report.First; first.Destination != "" {
		t.Logf("around the first problem:\n%s", log.History(first.Group, first.Destination, first.At))
	}
	require.Zero(t, report.Broken, strings.Join(report.Problems, "\n"))
	require.GreaterOrEqual(t, report.Accepted, p.accepted)
	require.NotZero(t, f.failures)
	require.NotZero(t, report.Merged)
	require.NotZero(t, report.Duplicates)

	r.revive(t, v, log.Dead, p.patience)
	require.Zero(t, r.metric(t, "relay_dead_letters"))
	require.Zero(t, r.metric(t, "relay_pending_lanes"))
	require.Zero(t, r.metric(t, "relay_sends_in_flight"))
	for _, r := range f.relays {
		require.Zero(t, r.process.Stop(t))
	}
}
