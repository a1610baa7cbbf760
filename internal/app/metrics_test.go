package app_test

import (
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/app"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/sandbox"
)

// TestTheReferenceHasEveryMetric holds docs/reference/metrics.md and what a relay shows in step: names, types and labels.
func TestTheReferenceHasEveryMetric(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/reference/metrics.md")
	require.NoError(t, err)
	documented := regexp.MustCompile("(?m)^\\| `(relay_[a-z_]+)` \\| ([a-z]+) \\| ([^|]*) \\|").FindAllStringSubmatch(string(page), -1)
	var want []string
	for _, row := range documented {
		want = append(want, strings.Join(row[1:], " "))
	}

	registry := prometheus.NewRegistry()
	box, text := vendors(t)
	box.Slack.Break("", sandbox.FaultStatus(http.StatusTooManyRequests)) // so that a limiter rests and something waits
	text = strings.Replace(text, "{messages: 0}", "{messages: 20}", 1)   // so that a window has a limit
	text = strings.Replace(text, "- name: ops", "- name: last\n  - name: ops\n    fallback: last", 1)
	text += "    wechat_configs: [{corp_id: ww1, agent_id: '7', api_secret: s, to_user: alice}]\n" // so that a token is asked for
	p := start(t, t.TempDir(), text, func(o *app.Options) { o.Registry = registry })
	p.accept(t, "accepted", notification("HighLatency", firing("checkout")))
	shared := prometheus.NewRegistry()
	start(t, t.TempDir(), inRedis(text, parts.StartRedis(t)), func(o *app.Options) { o.Registry = shared })
	found := map[string]bool{}
	require.Eventually(t, func() bool {
		families, err := registry.Gather()
		require.NoError(t, err)
		more, err := shared.Gather()
		require.NoError(t, err)
		families = append(families, more...)
		for _, f := range families {
			if !strings.HasPrefix(f.GetName(), "relay_") {
				continue
			}
			var labels []string
			for _, l := range f.GetMetric()[0].GetLabel() {
				labels = append(labels, "`"+l.GetName()+"`")
			}
			found[f.GetName()+" "+strings.ToLower(f.GetType().String())+" "+strings.Join(labels, ", ")] = true
		}
		return len(found) >= len(want)
	}, wait, tick)
	for _, metric := range want {
		require.True(t, found[metric], "documented but not there: %s", metric)
	}
	for metric := range found {
		require.True(t, slices.Contains(want, metric), "not documented: %s", metric)
	}
}
