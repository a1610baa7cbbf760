package soak_test

import (
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	_ "github.com/alertrelay/relay/internal/app" // a change of the program makes results kept from before void
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/soak"
)

// A relay is the real program, at one address over all its lives.
type relay struct {
	process *parts.Process
	binary  string
	args    []string
	url     string
	kills   []soak.Kill
	turns   int
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

// disturb kills the program two times of three; else it asks it to end, or lets it stand still, in turns.
func (r *relay) disturb(t *testing.T, random *rand.Rand) {
	t.Helper()
	r.turns++
	switch r.turns % 6 {
	case 3:
		require.Zero(t, r.process.Stop(t))
		r.start(t)
	case 0:
		at := time.Now()
		r.process.Freeze()
		pause(t.Context(), upTo(random, sendTimeout*3/2))
		r.process.Signal(syscall.SIGCONT)
		r.kills = append(r.kills, soak.Kill{At: at, Back: time.Now(), Stall: true})
	default:
		r.kill(t, random)
	}
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
