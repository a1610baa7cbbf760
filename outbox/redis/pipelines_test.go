package redis_test

import (
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/redisdb"
	"github.com/alertrelay/relay/outbox/redis"
)

// TestCallersShareRoundTrips: what comes at the same time travels together, by the relay's own count and by the server's.
func TestCallersShareRoundTrips(t *testing.T) {
	t.Parallel()
	const webhooks = 512
	server := parts.StartRedis(t)
	registry := prometheus.NewRegistry()
	s := redis.New(connect(t, redisdb.Options{Addresses: []string{server.Address}, Registerer: registry}), redis.Options{})
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	v := &victim{Store: s, t: t, server: server}
	v.accept() // which connects
	reads := func() int {
		n, err := strconv.Atoi(server.Info(t, "stats", "total_reads_processed"))
		require.NoError(t, err)
		return n
	}
	scripts, trips := roundTrips(t, registry)
	read := reads()

	server.Freeze() // so that they come at the same time, however busy this machine is
	var called, all sync.WaitGroup
	for range webhooks {
		w := v.webhook()
		called.Add(1)
		all.Go(func() {
			called.Done()
			if _, err := s.Accept(t.Context(), w); err != nil {
				t.Error(err)
			}
		})
	}
	called.Wait()
	server.Signal(syscall.SIGCONT)
	all.Wait()

	read = reads() - read
	scriptsNow, tripsNow := roundTrips(t, registry)
	scripts, trips = scriptsNow-scripts, tripsNow-trips
	t.Logf("%d webhooks: %d scripts in %d round trips, which the server read in %d", webhooks, scripts, trips, read)
	require.Less(t, scripts, webhooks/8, "accepts share runs")
	require.Less(t, trips, webhooks/8)
	require.Less(t, read, webhooks/4, "a long one is read in pieces of 16 KB")
}

// roundTrips are how many scripts were sent, and in how many round trips.
func roundTrips(t *testing.T, registry *prometheus.Registry) (scripts, trips int) {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		switch f.GetName() {
		case "relay_redis_scripts_total":
			scripts = int(f.GetMetric()[0].GetCounter().GetValue())
		case "relay_redis_round_trip_seconds":
			trips = int(f.GetMetric()[0].GetHistogram().GetSampleCount())
		}
	}
	return scripts, trips
}
