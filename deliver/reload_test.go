package deliver_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/deliver"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/outboxtest"
)

// TestAReloadTriesAtOnce what a person has mended; what was mended wrongly is told again.
func TestAReloadTriesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := outboxtest.NewMemory(time.Now)
		var mended atomic.Bool
		f := &fake{send: func(context.Context, relay.Message) (relay.Receipt, error) {
			working := mended.Load()
			time.Sleep(time.Second)
			if working {
				return relay.Receipt{}, nil
			}
			return relay.Receipt{}, relay.AsMisconfigured(errors.New("sign not match"))
		}}
		for i := range 3 {
			acceptGroup(t, store, i)
		}
		var logs bytes.Buffer
		setups := []relay.Setup{setup("a", f)}
		d, stop := run(t, deliver.Options{Store: store, Setups: setups, Logger: slog.New(slog.NewTextHandler(&logs, nil))})
		reloaded := func() outbox.Stats {
			d.Replace(setups)
			time.Sleep(3 * time.Second)
			synctest.Wait()
			stats, err := store.Stats(t.Context())
			require.NoError(t, err)
			return stats
		}
		time.Sleep(time.Minute)
		require.Len(t, f.messages(), 2, "as many as may be under way")
		require.Equal(t, 3, reloaded().Pending)
		require.Len(t, f.messages(), 3, "one tries")
		mended.Store(true)
		require.Zero(t, reloaded().Pending)
		stop()
		require.Equal(t, 2, strings.Count(logs.String(), "level=ERROR"), "once after the start, once after the reload")
	})
}

// TestAReloadWhileSending: what the old configuration says of its last sends holds up the new one for nothing.
func TestAReloadWhileSending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := outboxtest.NewMemory(time.Now)
		wrong := &fake{send: func(context.Context, relay.Message) (relay.Receipt, error) {
			time.Sleep(2 * time.Second)
			return relay.Receipt{}, relay.AsMisconfigured(errors.New("sign not match"))
		}}
		right := new(fake)
		acceptGroup(t, store, 0)
		d, stop := run(t, deliver.Options{Store: store, Setups: []relay.Setup{setup("a", wrong)}})
		time.Sleep(time.Second)
		d.Replace([]relay.Setup{setup("a", right)})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Len(t, right.messages(), 1)
		stop()
	})
}

// TestWhatAReloadRemovesIsCounted once it is given up.
func TestWhatAReloadRemovesIsCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, registry := outboxtest.NewMemory(time.Now), prometheus.NewRegistry()
		acceptGroup(t, store, 0)
		acceptGroup(t, store, 1)
		_, stop := run(t, deliver.Options{Store: store, Setups: []relay.Setup{setup("b", new(fake))}, Registerer: registry})
		time.Sleep(outbox.RemovedGrace + time.Second)
		synctest.Wait()
		stop()
		require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP relay_notifications_dead_total Notifications that ended in the dead letters, by reason.
# TYPE relay_notifications_dead_total counter
relay_notifications_dead_total{integration="fake",reason="crashed",receiver="ops"} 0
relay_notifications_dead_total{integration="fake",reason="destination_removed",receiver="ops"} 2
relay_notifications_dead_total{integration="fake",reason="max_age",receiver="ops"} 0
relay_notifications_dead_total{integration="fake",reason="refused",receiver="ops"} 0
relay_notifications_dead_total{integration="fake",reason="undecodable",receiver="ops"} 0
`), "relay_notifications_dead_total"))
	})
}
