package app

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/snapshots"
	"github.com/alertrelay/relay/webhook"
)

// CloseStore makes the store fail from now on.
func (a *App) CloseStore() error { return a.stores.outbox.Close() }

// NewIntake returns what takes the notifications of a configuration into a store: all that there is between the way in and
// the outbox.
func NewIntake(
	c *config.Config, store outbox.Store, recorded snapshots.Store, now func() time.Time,
) (webhook.Intake, error) {
	logger := slog.New(slog.DiscardHandler)
	return newPipeline(c, surroundings{
		logger: logger, now: now, cache: &memoryCache{}, snapshots: recorded,
		intake: &intake{
			store: store, wake: func() {}, logger: logger,
			usable: func() error { return nil }, differ: func() bool { return false },
			metrics: newIntakeMetrics(prometheus.NewRegistry()),
		},
		webhook: webhook.Options{Metrics: webhook.NewMetrics(prometheus.NewRegistry()), Logger: logger},
	})
}
