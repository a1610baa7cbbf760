package webhook

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/alertrelay/relay"
)

// Metrics count what comes in. One set serves all handlers of a process, so that a reload does not set it to zero.
type Metrics struct {
	requests     *prometheus.CounterVec
	duration     prometheus.Histogram
	received     prometheus.Counter
	deduplicated prometheus.Counter
	alerts       *prometheus.CounterVec
}

// NewMetrics registers the metrics, each at zero.
func NewMetrics(r prometheus.Registerer) *Metrics {
	f := promauto.With(r)
	m := &Metrics{
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_webhook_requests_total",
			Help: "Requests that were to be webhooks, by the status code of the answer.",
		}, []string{"code"}),
		duration: f.NewHistogram(prometheus.HistogramOpts{
			Name:    "relay_webhook_request_duration_seconds",
			Help:    "Time from the head of a webhook request to its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
		received: f.NewCounter(prometheus.CounterOpts{
			Name: "relay_notifications_received_total",
			Help: "Notifications answered with 200, duplicates among them.",
		}),
		deduplicated: f.NewCounter(prometheus.CounterOpts{
			Name: "relay_notifications_deduplicated_total",
			Help: "Notifications that were duplicates of the one last accepted for their group.",
		}),
		alerts: f.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_alerts_received_total",
			Help: "Alerts in accepted notifications, those of duplicates not counted.",
		}, []string{"status"}),
	}
	for _, code := range []int{200, 400, 401, 403, 404, 405, 413, 415, 503} {
		m.requests.WithLabelValues(strconv.Itoa(code))
	}
	m.alerts.WithLabelValues(relay.StatusFiring)
	m.alerts.WithLabelValues(relay.StatusResolved)
	return m
}

func (m *Metrics) answered(code int, took time.Duration) {
	m.requests.WithLabelValues(strconv.Itoa(code)).Inc()
	m.duration.Observe(took.Seconds())
}

func (m *Metrics) taken(duplicate bool, alerts relay.Alerts) {
	m.received.Inc()
	if duplicate {
		m.deduplicated.Inc()
		return
	}
	firing := 0
	for i := range alerts {
		if alerts[i].Status == relay.StatusFiring {
			firing++
		}
	}
	m.alerts.WithLabelValues(relay.StatusFiring).Add(float64(firing))
	m.alerts.WithLabelValues(relay.StatusResolved).Add(float64(len(alerts) - firing))
}
