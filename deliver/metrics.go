package deliver

import (
	"context"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

// metrics are this package's own. Their names follow Alertmanager's.
type metrics struct {
	notifications   *prometheus.CounterVec
	failed          *prometheus.CounterVec
	dead            *prometheus.CounterVec
	merged          *prometheus.CounterVec
	digested        *prometheus.CounterVec
	fallbacks       *prometheus.CounterVec
	panics          *prometheus.CounterVec
	requests        *prometheus.CounterVec
	requestsFailed  *prometheus.CounterVec
	requestDuration *prometheus.HistogramVec
	latency         *prometheus.HistogramVec
	misconfigured   *prometheus.GaugeVec
}

// targetMetrics are the metrics of one integration.
type targetMetrics struct {
	notifications, merged, digested, fallbacks, panics, requests, requestsFailed prometheus.Counter
	failed, dead                                                                 *prometheus.CounterVec
	requestDuration, latency                                                     prometheus.Observer
	misconfigured                                                                prometheus.Gauge
}

func newMetrics(r prometheus.Registerer, store outbox.Store) *metrics {
	labels := []string{"receiver", "integration"}
	counter := func(name, help string, more ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help},
			append(labels[:2:2], more...))
	}
	histogram := func(name, help string, buckets []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: buckets,
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
			NativeHistogramMinResetDuration: time.Hour,
		}, labels)
	}
	m := &metrics{
		notifications: counter("relay_notifications_total",
			"Attempts to tell a destination: messages handed to a vendor."),
		failed: counter("relay_notifications_failed_total",
			"Attempts to tell a destination that failed, by reason. Most are tried again.", "reason"),
		dead: counter("relay_notifications_dead_total",
			"Notifications that ended in the dead letters, by reason.", "reason"),
		merged: counter("relay_notifications_merged_total",
			"Notifications that are told within the message of a newer one."),
		digested: counter("relay_notifications_digested_total",
			"Notifications that shared a message with those of other alert groups."),
		fallbacks: counter("relay_notification_fallbacks_total",
			"Messages in which the built-in plain text stood in for the template."),
		panics: counter("relay_integration_panics_total",
			"Panics of an integration; each is a bug."),
		requests: counter("relay_notification_requests_total",
			"Calls to a vendor."),
		requestsFailed: counter("relay_notification_requests_failed_total",
			"Calls to a vendor that did not end with its consent."),
		requestDuration: histogram("relay_notification_request_duration_seconds",
			"How long a vendor took to answer.", []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}),
		latency: histogram("relay_notification_latency_seconds",
			"From the answer to Alertmanager until the vendor took the last part.",
			[]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200}),
		misconfigured: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "relay_integration_misconfigured",
			Help: "Integrations whose vendor refuses them until a person acts: token, keyword, signature, address.",
		}, labels),
	}
	if r != nil {
		r.MustRegister(m.notifications, m.failed, m.dead, m.merged, m.digested, m.fallbacks, m.panics, m.requests,
			m.requestsFailed, m.requestDuration, m.latency, m.misconfigured, newStatsCollector(store))
	}
	return m
}

// of returns the metrics of an integration. They exist at zero from then on.
func (m *metrics) of(s relay.Setup) *targetMetrics {
	l := prometheus.Labels{"receiver": s.Receiver, "integration": s.Type}
	t := &targetMetrics{
		notifications:   m.notifications.With(l),
		merged:          m.merged.With(l),
		digested:        m.digested.With(l),
		fallbacks:       m.fallbacks.With(l),
		panics:          m.panics.With(l),
		requests:        m.requests.With(l),
		requestsFailed:  m.requestsFailed.With(l),
		failed:          m.failed.MustCurryWith(l),
		dead:            m.dead.MustCurryWith(l),
		requestDuration: m.requestDuration.With(l),
		latency:         m.latency.With(l),
		misconfigured:   m.misconfigured.With(l),
	}
	for _, kind := range relay.Kinds() {
		t.failed.WithLabelValues(string(kind))
	}
	for _, reason := range []relay.Kind{
		relay.Refused, reasonExpired, reasonCrashed, reasonUndecodable, outbox.ReasonRemoved,
	} {
		t.dead.WithLabelValues(string(reason))
	}
	return t
}

// removed counts what ended in the dead letters without an attempt, because its integration is configured no more.
func (m *metrics) removed(id relay.IntegrationID, entries int) {
	receiver, rest, _ := strings.Cut(string(id), "/")
	kind, _, _ := strings.Cut(rest, "/")
	m.dead.WithLabelValues(receiver, kind, string(outbox.ReasonRemoved)).Add(float64(entries))
}

// statsTimeout bounds what a scrape waits for the store.
const statsTimeout = 3 * time.Second

// A statsCollector asks the store at each scrape what is pending.
type statsCollector struct {
	store                                              outbox.Store
	pending, limiter, lanes, inFlight, dead, age, hold *prometheus.Desc
	used, limit, full                                  *prometheus.Desc
}

func newStatsCollector(store outbox.Store) *statsCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &statsCollector{
		store:    store,
		pending:  desc("relay_pending_notifications", "Entries accepted and not yet told: one per notification and destination."),
		limiter:  desc("relay_limiter_pending_notifications", "Entries that wait for one vendor credential.", "limiter"),
		lanes:    desc("relay_pending_lanes", "Alert groups with something pending, per destination."),
		inFlight: desc("relay_sends_in_flight", "Messages claimed and not yet settled."),
		dead:     desc("relay_dead_letters", "Entries in the dead letters."),
		full:     desc("relay_store_full", "1 while webhooks are refused with 503 because the store is full."),
		age:      desc("relay_pending_oldest_age_seconds", "Age of the oldest entry not yet told; 0 when nothing is pending."),
		hold:     desc("relay_limiter_hold_seconds", "For how much longer a vendor credential rests.", "limiter"),
		used: desc("relay_limiter_window_used",
			"Messages that count against the limit of a vendor credential now: under way, or told within its window.", "limiter"),
		limit: desc("relay_limiter_window_limit", "Messages that a vendor credential may tell within its window.", "limiter"),
	}
}

// Describe implements prometheus.Collector.
func (c *statsCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.pending, c.limiter, c.lanes, c.inFlight, c.dead, c.age, c.hold, c.used, c.limit, c.full} {
		descs <- d
	}
}

// Collect implements prometheus.Collector. While the store does not answer, its figures are missing.
func (c *statsCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), statsTimeout)
	defer cancel()
	s, err := c.store.Stats(ctx)
	if err != nil {
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(c.pending, float64(s.Pending))
	gauge(c.lanes, float64(s.Lanes))
	gauge(c.inFlight, float64(s.InFlight))
	gauge(c.dead, float64(s.Dead))
	full := 0.0
	if s.Full {
		full = 1
	}
	gauge(c.full, full)
	age := 0.0
	if !s.Oldest.IsZero() {
		age = max(0, time.Since(s.Oldest).Seconds())
	}
	gauge(c.age, age)
	for id, n := range s.Limiters {
		gauge(c.limiter, float64(n), string(id))
	}
	for id, until := range s.Holds {
		gauge(c.hold, max(0, time.Until(until).Seconds()), string(id))
	}
	for id, w := range s.Windows {
		gauge(c.used, float64(w.Used), string(id))
		gauge(c.limit, float64(w.Limit.Messages), string(id))
	}
}
