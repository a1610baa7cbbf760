package deliver_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/deliver"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/outboxtest"
)

// TestWhatTheMetricsSay reads the figures while a robot rests, and after it: two notifications of one group became one
// message, and the vendor has limited the next.
func TestWhatTheMetricsSay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, registry := outboxtest.NewMemory(time.Now), prometheus.NewPedanticRegistry()
		limited := errors.New("send too fast")
		f := new(fake)
		f.send = func(context.Context, relay.Message) (relay.Receipt, error) {
			if len(f.messages()) == 2 {
				return relay.Receipt{}, relay.AsRateLimited(limited, 40*time.Second)
			}
			return relay.Receipt{}, nil
		}
		robot := setup("a", f)
		robot.Backlog, robot.Limit = relay.BacklogMerge, relay.Limit{Messages: 5, Per: time.Minute}
		acceptGroup(t, store, 0)
		_, err := store.Accept(t.Context(), outbox.Webhook{
			ID: "w0-again", ReceivedAt: time.Now(), GroupKey: "w0", Slot: dedupe.Slot{0, 0, 1}, State: dedupe.State{2},
			Entries: []outbox.Entry{{
				Lane:        outbox.Lane{Integration: "ops/fake/a", Destination: "a", GroupKey: "w0"},
				Destination: relay.Destination{Key: "a"}, Limiters: robot.Limiters, State: dedupe.State{2},
				Notification: []byte(body(t, alert("g", relay.StatusFiring, time.Now()))),
			}},
		})
		require.NoError(t, err)
		d, stop := run(t, deliver.Options{Store: store, Setups: []relay.Setup{robot}, Registerer: registry})
		synctest.Wait()
		require.Len(t, f.messages(), 1)
		acceptGroup(t, store, 1)
		d.Wake()
		synctest.Wait()
		require.Len(t, f.messages(), 2)

		time.Sleep(10 * time.Second)
		require.Equal(t, map[string]float64{
			"relay_notifications_total":                     2,
			"relay_notifications_failed_total rate_limited": 1,
			"relay_notifications_merged_total":              1,
			"relay_notification_requests_total":             2,
			"relay_notification_requests_failed_total":      1,
			"relay_pending_notifications":                   1,
			"relay_pending_lanes":                           1,
			"relay_pending_oldest_age_seconds":              10,
			"relay_limiter_pending_notifications robot-a":   1,
			"relay_limiter_hold_seconds robot-a":            30,
			"relay_limiter_window_used robot-a":             2,
			"relay_limiter_window_limit robot-a":            5,
		}, figures(t, registry))

		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, map[string]float64{
			"relay_notifications_total":                     3,
			"relay_notifications_failed_total rate_limited": 1,
			"relay_notifications_merged_total":              1,
			"relay_notification_requests_total":             3,
			"relay_notification_requests_failed_total":      1,
			"relay_limiter_window_limit robot-a":            5,
		}, figures(t, registry))
		stop()
	})
}

// figures are the counters and gauges that are not zero, by name and the label that is not of the integration.
func figures(t *testing.T, registry prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			words := []string{family.GetName()}
			for _, l := range m.GetLabel() {
				if l.GetName() != "receiver" && l.GetName() != "integration" {
					words = append(words, l.GetValue())
				}
			}
			if v := m.GetCounter().GetValue() + m.GetGauge().GetValue(); v != 0 {
				values[strings.Join(words, " ")] = v
			}
		}
	}
	return values
}
