package acceptance_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/parts"
)

const alertmanagerConfig = `
route: {receiver: relay, group_by: [alertname], group_wait: 0s, group_interval: %s, repeat_interval: %s}
receivers:
  - name: relay
    webhook_configs: [{url: '%s/webhook', send_resolved: true}]
`

// shopAlert fires in one room, behind one trace, for one client.
func shopAlert(instance string) parts.Alert {
	return parts.Alert{
		Labels: map[string]string{
			"alertname": "PaymentErrors", "severity": "critical", "service": "pay", "instance": instance, "room_id": "10086",
		},
		Annotations: map[string]string{
			"summary": "支付接口错误率过高 on " + instance, "description": "5% of the requests fail",
			"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "user_agent": "RoomClient/3.2 (Android 15)",
		},
		StartsAt:     time.Now().Add(-3 * time.Minute).UTC(),
		GeneratorURL: "http://prometheus.example.org/graph?g0.expr=rate",
	}
}

func ended(a parts.Alert) parts.Alert {
	a.EndsAt = time.Now().UTC()
	return a
}

func TestAlertmanager(t *testing.T) {
	t.Parallel()
	for _, version := range parts.Alertmanagers() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			parts.Binary(t, version)

			t.Run("firing, one more alert, resolved", func(t *testing.T) {
				t.Parallel()
				relay := startRelay(t, 10*time.Minute)
				am := parts.StartAlertmanager(t, version, fmt.Sprintf(alertmanagerConfig, "1s", "1h", relay.url))

				first, second := shopAlert("pay-1:8080"), shopAlert("pay-2:8080")
				am.Post(t, first)
				for name, m := range relay.await(t, 1) {
					text := m.Title + m.Text
					for _, want := range []string{
						"PaymentErrors", "支付接口错误率过高", "pay-1", "10086", "http://jaeger.example.org/trace/4bf92f3577b34da6a3ce929d0e0e4736",
						"RoomClient/3.2",
					} {
						require.Containsf(t, text, want, "firing message in %s", name)
					}
				}

				am.Post(t, first, second)
				for name, m := range relay.await(t, 2) {
					require.Containsf(t, m.Title+m.Text, "pay-2", "second message in %s", name)
				}

				am.Post(t, ended(first), ended(second))
				for name, m := range relay.await(t, 3) {
					text := strings.ToLower(m.Title + m.Text)
					require.Containsf(t, text, "resolved", "last message in %s", name)
					require.Containsf(t, text, "10086", "resolved shows the room firing showed, in %s", name)
				}
				require.Zero(t, relay.Stop(t))
			})

			t.Run("reminders get through", func(t *testing.T) {
				t.Parallel()
				// Older versions do not say that a notification is a reminder: the window must be shorter than repeat_interval.
				relay := startRelay(t, time.Second)
				am := parts.StartAlertmanager(t, version, fmt.Sprintf(alertmanagerConfig, "1s", "2s", relay.url))
				am.Post(t, shopAlert("pay-1:8080"))
				relay.await(t, 3)
			})

			t.Run("a pair sends each notification once", func(t *testing.T) {
				t.Parallel()
				relay := startRelay(t, 10*time.Minute)
				pair := startPair(t, version, fmt.Sprintf(alertmanagerConfig, "1s", "1h", relay.url))
				alert := shopAlert("pay-1:8080")
				for _, am := range pair {
					am.Post(t, alert)
				}
				relay.await(t, 1)
				relay.awaitDuplicates(t, "1") // of the other's, which may still be waiting for gossip
				for _, am := range pair {
					am.Post(t, ended(alert))
				}
				relay.await(t, 2)
				relay.awaitDuplicates(t, "2")
				relay.await(t, 2)
			})
		})
	}
}

// awaitDuplicates waits until so many notifications were suppressed.
func (r *relayProcess) awaitDuplicates(t *testing.T, want string) {
	t.Helper()
	parts.WaitFor(t, "both copies of each notification to arrive", func() error {
		if n := metric(t, r.url, `relay_notifications_deduplicated_total`); n != want {
			return fmt.Errorf("%s duplicates", n)
		}
		return nil
	})
}

// startPair starts two Alertmanagers that form a cluster, but neither wait for each other nor tell each other in time what
// they have sent, so that both send everything.
func startPair(t *testing.T, version, config string) []*parts.Alertmanager {
	t.Helper()
	a, b := parts.FreeAddress(t), parts.FreeAddress(t)
	flags := func(own, peer string) []string {
		return []string{
			"--cluster.listen-address=" + own, "--cluster.peer=" + peer, "--cluster.settle-timeout=2s",
			"--cluster.peer-timeout=1ms", "--cluster.gossip-interval=1m", "--cluster.pushpull-interval=10m", "--cluster.probe-interval=1m",
		}
	}
	return []*parts.Alertmanager{
		parts.StartAlertmanager(t, version, config, append(flags(a, b), "--web.external-url=http://am-1.example.org")...),
		parts.StartAlertmanager(t, version, config, append(flags(b, a), "--web.external-url=http://am-2.example.org")...),
	}
}

// metric returns the value of a metric without labels, or the sum of those with, as the text of an integer.
func metric(t *testing.T, url, name string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/metrics", nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	sum := 0.0
	for line := range strings.Lines(string(body)) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		var value float64
		_, err := fmt.Sscan(rest[strings.LastIndex(rest, " ")+1:], &value)
		require.NoError(t, err)
		sum += value
	}
	return fmt.Sprint(sum)
}
