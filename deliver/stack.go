package deliver

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alertrelay/relay"
)

// A sender makes one vendor call: an integration's Send, or a wrapper around it.
type sender func(ctx context.Context, m relay.Message) (relay.Receipt, error)

// stack puts every wrapper around an integration's Send, the innermost first.
func (d *Deliverer) stack(s relay.Setup, m *targetMetrics) sender {
	send := sender(s.Send)
	send = recovered(send, m.panics, d.logger)
	send = bounded(send, s.Timeout)
	send = counted(send, m)
	send = logged(send, d.logger.With("integration", s.ID))
	return send
}

// recovered turns a panic of an integration into a transient error.
func recovered(send sender, panics prometheus.Counter, logger *slog.Logger) sender {
	return func(ctx context.Context, m relay.Message) (receipt relay.Receipt, err error) {
		defer func() { err = recoverTo(recover(), err, panics, logger) }()
		return send(ctx, m)
	}
}

// recoverTo returns err, or what a recovered panic stands for. The value of a panic may hold a secret, so only that of
// the runtime's own panics is shown.
func recoverTo(cause any, err error, panics prometheus.Counter, logger *slog.Logger) error {
	if cause == nil {
		return err
	}
	panics.Inc()
	text := fmt.Sprintf("panic of type %T", cause)
	if e, ok := cause.(runtime.Error); ok {
		text = "panic: " + e.Error()
	}
	logger.Error("An integration panicked", "err", text, "stack", string(debug.Stack()))
	return relay.AsTransient(fmt.Errorf("bug in the integration: %s", text)) //nolint:err113 // told once, never asked
}

// bounded ends a call after the integration's timeout.
func bounded(send sender, timeout time.Duration) sender {
	if timeout <= 0 {
		timeout = relay.DefaultTimeout
	}
	return func(ctx context.Context, m relay.Message) (relay.Receipt, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return send(ctx, m)
	}
}

// counted counts the calls, those that failed, and how long they took.
func counted(send sender, m *targetMetrics) sender {
	return func(ctx context.Context, msg relay.Message) (relay.Receipt, error) {
		start := time.Now()
		receipt, err := send(ctx, msg)
		m.requests.Inc()
		m.requestDuration.Observe(time.Since(start).Seconds())
		if err != nil {
			m.requestsFailed.Inc()
		}
		return receipt, err
	}
}

// logged tells each call at debug.
func logged(send sender, logger *slog.Logger) sender {
	return func(ctx context.Context, m relay.Message) (relay.Receipt, error) {
		receipt, err := send(ctx, m)
		if logger.Enabled(ctx, slog.LevelDebug) {
			logger.DebugContext(ctx, "Called the vendor", "message", m.ID, "part", m.Part, "parts", m.Parts,
				"bytes", len(m.Body), "detail", receipt.Detail, "err", err)
		}
		return receipt, err
	}
}
