package soak_test

import (
	"flag"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/parts"
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
	kills    int
	patience time.Duration // for the backlog to drain
}

func (p plan) team(group int) int { return group % p.teams }

func newPlan() plan {
	p := plan{
		seed: *seed, teams: 4, groups: 60, accepted: 1500, gap: 900 * time.Millisecond, kills: 5, patience: 2 * time.Minute,
	}
	if *long {
		p.teams, p.groups, p.accepted, p.gap, p.kills, p.patience = 8, 240, 50_000, 1600*time.Millisecond, 40, 20*time.Minute
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
	pair := newPair(r.url, p)
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
		r.kill(t, random)
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
		Attempts: pair.log(), Tellings: v.all(t), Calls: v.calls, Kills: r.kills,
		Destinations: v.destinations, Limits: v.limits(), Unsettled: robotCalls, Window: window,
	}
	report := soak.Check(log)
	t.Logf("seed=%d %s", p.seed, report)
	if first := report.First; first.Destination != "" {
		t.Logf("around the first problem:\n%s", log.History(first.Group, first.Destination, first.At))
	}
	require.Zero(t, report.Broken, strings.Join(report.Problems, "\n"))
	require.GreaterOrEqual(t, report.Accepted, p.accepted)
	require.GreaterOrEqual(t, report.Kills, p.kills)
	require.NotZero(t, report.Duplicates)
	require.NotZero(t, report.Refused)
	require.NotZero(t, report.Repeats, "nothing was in flight when it was killed")

	require.Zero(t, r.metric(t, "relay_dead_letters"))
	require.Zero(t, r.metric(t, "relay_pending_lanes"))
	require.Zero(t, r.metric(t, "relay_sends_in_flight"))
	require.Zero(t, r.process.Stop(t))
	require.Empty(t, r.leftovers(t))
}

// moments are the numbers of accepted notifications after which the program is killed, in order.
func moments(random *rand.Rand, p plan) []int64 {
	list := make([]int64, p.kills)
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

// A relay is the real program, at one address over all its lives.
type relay struct {
	process *parts.Process
	binary  string
	args    []string
	url     string
	kills   []soak.Kill
}

func startRelay(t *testing.T, config string) *relay {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	address := parts.FreeAddress(t)
	r := &relay{binary: parts.RelayBinary(t), url: "http://" + address, args: []string{
		"--config.file=" + file, "--storage.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + address,
		"--log.level=error",
	}}
	r.start(t)
	return r
}

func (r *relay) start(t *testing.T) {
	t.Helper()
	r.process = parts.Start(t, r.binary, r.args...)
	r.process.Ready(t, r.url+"/-/ready")
}

// kill kills the program as a crash would, at a random moment, and starts it again.
func (r *relay) kill(t *testing.T, random *rand.Rand) {
	t.Helper()
	pause(t.Context(), upTo(random, 200*time.Millisecond))
	at := time.Now()
	r.process.Kill()
	pause(t.Context(), upTo(random, 300*time.Millisecond))
	r.start(t)
	r.kills = append(r.kills, soak.Kill{At: at, Back: time.Now()})
}

// drain waits until nothing is pending.
func (r *relay) drain(t *testing.T, patience time.Duration) {
	t.Helper()
	pending := -1.0
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); pause(t.Context(), 100*time.Millisecond) {
		if pending = r.metric(t, "relay_pending_notifications"); pending == 0 {
			return
		}
	}
	require.Zerof(t, pending, "entries pending after %s", patience)
}

// metric is the sum of a metric's values.
func (r *relay) metric(t *testing.T, name string) float64 {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/metrics", nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	require.NoError(t, err)
	require.Contains(t, families, name)
	sum := 0.0
	for _, m := range families[name].GetMetric() {
		sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
	}
	return sum
}

// leftovers are the processes that still run the program.
func (r *relay) leftovers(t *testing.T) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	require.NoError(t, err)
	var left []string
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && target == r.binary {
			left = append(left, link)
		}
	}
	return left
}
