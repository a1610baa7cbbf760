// Package app wires the stages into a process: it builds them from the configuration, starts them, exchanges them at a
// reload, and drains them at the end. It is the only package that knows which stage follows which.
//
// Its promise: what was answered 200 is in the store, whenever and however the process ends, and the next process with
// the same store goes on with it.
package app

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"

	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/deliver"
	"github.com/alertrelay/relay/enrich"
	"github.com/alertrelay/relay/webhook"
)

// Options are what a process is started with, beside its configuration.
type Options struct {
	// StoragePath is the folder of the embedded store; it is created when missing.
	StoragePath string
	// ListenAddresses are where the relay listens; port 0 takes a free one.
	ListenAddresses []string
	// SystemdSocket takes the listeners from systemd instead.
	SystemdSocket bool
	// WebConfigFile is exporter-toolkit's: TLS, client certificates, basic authentication. Empty: plain HTTP.
	WebConfigFile string
	// PublicListenAddress serves /-/healthy and /-/ready alone, without authentication. Empty: not at all.
	PublicListenAddress string
	// ExternalURL is where people reach the relay, for links in messages.
	ExternalURL string
	// AutoReload is how often the configuration file is looked at for changes; 0: never.
	AutoReload time.Duration
	// Reloads brings a signal, SIGHUP, for each reload asked for; nil: none.
	Reloads <-chan os.Signal
	Logger  *slog.Logger
	// Registry gets the metrics and is shown at /metrics; default: a new one.
	Registry *prometheus.Registry
	// Grace is how long deliveries under way may go on when the process ends; default deliver.DefaultGrace.
	Grace time.Duration
}

// An App is one relay process. Make it with New and call Run once, or Close.
type App struct {
	options   Options
	logger    *slog.Logger
	stores    stores
	deliverer *deliver.Deliverer
	servers   []*server

	fallbacks     *fallbacks
	surroundings  surroundings
	reloadMetrics reloadMetrics
	reloading     sync.Mutex // one reload at a time
	pipeline      atomic.Pointer[pipeline]
	ready         atomic.Bool
}

// New builds a process from a checked configuration: it opens the store and the listeners and answers nobody yet. On an
// error everything is closed again.
func New(ctx context.Context, c *config.Config, o Options) (_ *App, err error) {
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	o.Registry = cmp.Or(o.Registry, prometheus.NewRegistry())
	o.Grace = cmp.Or(o.Grace, deliver.DefaultGrace)
	o.Registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		versioncollector.NewCollector("relay"),
	)
	a := &App{options: o, logger: o.Logger, reloadMetrics: newReloadMetrics(o.Registry)}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()

	if a.stores, err = openStores(ctx, c, o); err != nil {
		return nil, err
	}
	store := a.stores.outbox
	a.deliverer = deliver.New(deliver.Options{
		Store:      store,
		Logger:     o.Logger,
		Registerer: o.Registry,
		Workers:    c.Delivery.Workers,
		MaxSends:   c.Delivery.MaxSends,
		MaxAge:     time.Duration(c.Delivery.MaxAge),
		Grace:      o.Grace,
		Poll:       a.stores.poll,
		Lease:      a.stores.lease,
	})
	a.surroundings = surroundings{
		logger:      o.Logger,
		registerer:  o.Registry,
		now:         time.Now,
		cache:       a.stores.cache,
		externalURL: o.ExternalURL,
		snapshots:   a.stores.snapshots,
		enrichment:  enrich.NewMetrics(o.Registry),
		intake: &intake{
			store:   store,
			wake:    a.deliverer.Wake,
			usable:  a.usable,
			differ:  a.stores.redis.mayDiffer,
			logger:  o.Logger,
			metrics: newIntakeMetrics(o.Registry),
		},
		webhook: webhook.Options{
			Ready:      a.Ready,
			Reload:     a.Reload,
			Operations: operations{a.stores.operations, a.deliverer.Wake},
			Metrics:    webhook.NewMetrics(o.Registry),
			Gatherer:   o.Registry,
			Logger:     o.Logger,
		},
	}
	a.fallbacks = &fallbacks{
		store: store, operations: a.stores.operations, pipeline: a.pipeline.Load, intake: a.surroundings.intake,
		now: time.Now, logger: o.Logger, told: newFallbackMetric(o.Registry),
		done: map[string]bool{},
	}
	if err := a.use(ctx, c); err != nil {
		return nil, &ConfigError{err}
	}
	if a.servers, err = listen(ctx, o, a, webhook.Public(a.Ready)); err != nil {
		return nil, err
	}
	return a, nil
}

// ServeHTTP is the way in, of the configuration in use.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.pipeline.Load().handler.ServeHTTP(w, r)
}

// A ConfigError is an error of New that a person mends in the configuration.
type ConfigError struct{ Err error }

// Error returns the text of the cause.
func (e *ConfigError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

// Ready says why the relay cannot take notifications now; nil when it can.
func (a *App) Ready() error { return cmp.Or(a.usable(), a.stores.redis.ready()) }

// usable says why a webhook need not even be tried.
func (a *App) usable() error {
	if !a.ready.Load() {
		return errNotRunning
	}
	return a.stores.redis.usable()
}

// Close gives up what New opened, for a process that is not run.
func (a *App) Close() error {
	for _, s := range a.servers {
		_ = s.listener.Close()
	}
	return a.stores.Close()
}
