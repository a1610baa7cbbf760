package app

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alertrelay/relay/config"
)

// Reload reads the configuration file again, builds everything anew and puts it in the place of the old. When anything is
// wrong the old configuration goes on, and the error says what to mend. Storage, listeners and the bounds of delivery
// are taken from the flags and the configuration at start and stay.
func (a *App) Reload(ctx context.Context) error {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	file := a.pipeline.Load().config.File()
	a.logger.InfoContext(ctx, "Loading configuration file", "file", file)
	c, err := config.Load(file)
	if err == nil {
		err = a.use(ctx, c)
	}
	if err != nil {
		a.reloadMetrics.successful.Set(0)
		return fmt.Errorf("reload: %w", err)
	}
	a.logger.InfoContext(ctx, "Loaded configuration file", "file", file)
	return nil
}

// tryReload is Reload where nobody waits for its error.
func (a *App) tryReload(ctx context.Context) {
	if err := a.Reload(ctx); err != nil {
		a.logger.ErrorContext(ctx, "Cannot reload, the configuration in use stays", "err", err)
	}
}

// use builds a configuration and puts it in the place of the one in use.
func (a *App) use(ctx context.Context, c *config.Config) error {
	if err := CheckAuth(a.options.WebConfigFile, c); err != nil {
		return err
	}
	p, err := newPipeline(c, a.surroundings)
	if err != nil {
		return err
	}
	if old := a.pipeline.Swap(p); old != nil && !reflect.DeepEqual(fixed(old.config), fixed(c)) {
		a.logger.WarnContext(ctx, "The sections storage, delivery or snapshots.redis have changed, which counts from the next start on")
	}
	a.deliverer.Replace(p.setups)
	p.intake.metrics.of(p.setups)
	a.fallbacks.exist(c)
	a.reloadMetrics.loaded(c)
	return nil
}

// fixed are the sections that a reload does not change.
func fixed(c *config.Config) any { return []any{c.Storage, c.Delivery, c.Snapshots.Redis} }

// autoReload reloads when the configuration file or one of its templates has changed, be it for the worse.
func (a *App) autoReload(ctx context.Context) {
	ticks := time.NewTicker(a.options.AutoReload)
	defer ticks.Stop()
	current := a.pipeline.Load().config
	seen := current.Hash()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		hash := uint64(0) // of a file that cannot be used: it is told once
		if c, err := config.Load(current.File()); err == nil {
			hash = c.Hash()
		}
		if hash != seen {
			seen = hash
			a.tryReload(ctx)
		}
	}
}

// reloadMetrics tell about the configuration in use, under the names Prometheus and Alertmanager have for theirs.
type reloadMetrics struct {
	successful, timestamp, hash prometheus.Gauge
}

func newReloadMetrics(r prometheus.Registerer) reloadMetrics {
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		r.MustRegister(g)
		return g
	}
	return reloadMetrics{
		successful: gauge("relay_config_last_reload_successful",
			"1 if the configuration file was loaded the last time it was read, 0 if an older one is in use."),
		timestamp: gauge("relay_config_last_reload_success_timestamp_seconds",
			"When the configuration in use was loaded."),
		hash: gauge("relay_config_hash",
			"Hash of the configuration in use and its templates: replicas with the same value have the same."),
	}
}

func (m *reloadMetrics) loaded(c *config.Config) {
	m.successful.Set(1)
	m.timestamp.SetToCurrentTime()
	m.hash.Set(float64(c.Hash()))
}
