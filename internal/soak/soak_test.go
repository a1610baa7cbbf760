package soak_test

import (
	"flag"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/soak"
)

var (
	long = flag.Bool("soak.long", false, "the long run of make soak")
	seed = flag.Uint64("soak.seed", 0, "what the dice start from; 0: something new")
)

// A plan says how much there is to do.
type plan struct {
	seed     uint64
	teams    int           // each with a destination at each vendor
	groups   int           // of alerts, in all
	accepted int           // notifications, in all
	gap      time.Duration // between two notifications of a group, on average
	kills    int           // and half as many times it is asked to end, or stands still
	deaf     bool          // the two Alertmanagers never hear each other: each notification is posted by both
	rests    bool          // WeCom asks for a minute of silence: too long for the short run
	patience time.Duration // for the backlog to drain
}

func (p plan) team(group int) int { return group % p.teams }

func newPlan() plan {
	p := plan{
		seed: *seed, teams: 4, groups: 60, accepted: 1500, gap: 900 * time.Millisecond, kills: 5, patience: 2 * time.Minute,
	}
	if *long {
		p.teams, p.groups, p.accepted, p.gap, p.kills, p.patience = 8, 240, 50_000, 1600*time.Millisecond, 40, 20*time.Minute
		p.rests = true
	}
	if p.seed == 0 {
		p.seed = uint64(time.Now().UnixNano())
	}
	return p
}

// TestNothingIsLost is the proof: whatever the vendors do and whenever the program is killed, what was answered 200 is
// told to each of its destinations, in order, within the limits, and nothing else is.
func TestNothingIsLost(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	p := newPlan()
	t.Logf("seed %d", p.seed)
	ctx := t.Context()
	v := startVendors(t, p)
	r := startRelay(t, v.config())
	pair := newPair(p, r.url)
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
		r.disturb(t, random)
	}
	<-posting
	for range max(1, p.kills/10) { // also while the rest is told
		pause(ctx, upTo(random, time.Second))
		r.kill(t, random)
	}
	watching.end()
	v.soothe()
	watching = v.start(ctx)
	r.drain(t, p.patience)
	watching.end()

	log := &soak.Log{
		Attempts: pair.log(), Tellings: v.all(t), Dead: r.deadLetters(t, v), Calls: v.calls, Kills: r.kills,
		Destinations: v.destinations, Each: v.each, Limits: v.limits(), Unsettled: robotCalls, Window: window,
	}
	report := soak.Check(log)
	t.Logf("seed=%d %s", p.seed, report)
	if first := report.First; first.Destination != "" {
		t.Logf("around the first problem:\n%s", log.History(first.Group, first.Destination, first.At))
	}
	require.Zero(t, report.Broken, strings.Join(report.Problems, "\n"))
	require.GreaterOrEqual(t, report.Accepted, p.accepted)
	require.GreaterOrEqual(t, report.Kills, p.kills)
	require.NotZero(t, report.Merged)
	require.NotZero(t, report.Duplicates)
	require.NotZero(t, report.Refused)
	require.NotZero(t, report.Repeats, "nothing was in flight when it was killed")

	r.revive(t, v, log.Dead, p.patience)
	require.Zero(t, r.metric(t, "relay_dead_letters"))
	require.Zero(t, r.metric(t, "relay_pending_lanes"))
	require.Zero(t, r.metric(t, "relay_sends_in_flight"))
	require.Zero(t, r.process.Stop(t))
	require.Empty(t, r.leftovers(t))
}

// moments are the numbers of accepted notifications after which the program is disturbed, in order.
func moments(random *rand.Rand, p plan) []int64 {
	list := make([]int64, p.kills*3/2)
	for i := range list {
		list[i] = int64(p.accepted/50) + random.Int64N(int64(p.accepted)*9/10)
	}
	slices.Sort(list)
	return list
}

func ended(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}
