package app

import (
	"context"
	"errors"
	"os"
	"sync"
)

// Run answers webhooks and delivers until ctx ends or a listener fails, then drains: webhooks are answered 503, the
// deliveries under way may end within the grace, the listeners close, and at last the store. The error is a listener's or
// the store's.
func (a *App) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	var background sync.WaitGroup
	background.Go(func() { a.deliverer.Run(ctx) })
	background.Go(func() { a.reloadOn(ctx, a.options.Reloads) })
	background.Go(func() { a.fallbacks.run(ctx) })
	if a.stores.redis != nil {
		background.Go(func() { a.stores.redis.watch(ctx, func() uint64 { return a.pipeline.Load().config.Hash() }) })
	}
	if a.options.AutoReload > 0 {
		background.Go(func() { a.autoReload(ctx) })
	}
	var serving sync.WaitGroup
	failures := make(chan error, len(a.servers))
	for _, s := range a.servers {
		serving.Go(func() {
			if err := s.serve(); err != nil {
				failures <- err
				cancel()
			}
		})
	}
	a.ready.Store(true)
	a.logger.InfoContext(ctx, "Ready to receive webhooks", "addresses", a.Addresses())

	<-ctx.Done()
	a.ready.Store(false)
	a.logger.InfoContext(ctx, "Stopping: deliveries under way may end", "grace", a.options.Grace)
	background.Wait()
	for _, s := range a.servers {
		s.close(ctx)
	}
	serving.Wait()
	close(failures)
	err := a.stores.Close()
	for failure := range failures {
		err = errors.Join(failure, err)
	}
	a.logger.InfoContext(ctx, "Stopped")
	return err
}

// reloadOn reloads at each signal.
func (a *App) reloadOn(ctx context.Context, signals <-chan os.Signal) {
	for {
		select {
		case <-signals:
			a.tryReload(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// Addresses are where the relay listens, the public listener last.
func (a *App) Addresses() []string {
	addresses := make([]string, len(a.servers))
	for i, s := range a.servers {
		addresses[i] = s.listener.Addr().String()
	}
	return addresses
}
