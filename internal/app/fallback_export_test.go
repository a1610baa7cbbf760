package app

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/outbox"
)

// Fallbacks returns what tells fallback receivers, over a store of the test, to run until its context ends.
func Fallbacks(t *testing.T, c *config.Config, store interface {
	outbox.Store
	outbox.Operations
},
) func(ctx context.Context) {
	t.Helper()
	logger, registry := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	p, err := newPipeline(c, surroundings{logger: logger, now: time.Now, cache: &memoryCache{}})
	require.NoError(t, err)
	f := &fallbacks{
		store: store, operations: store, pipeline: func() *pipeline { return p }, now: time.Now, logger: logger,
		told:   newFallbackMetric(registry),
		done:   map[string]bool{},
		intake: &intake{store: store, wake: func() {}, logger: logger, metrics: newIntakeMetrics(registry)},
	}
	return f.run
}
