package enrich

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alertrelay/relay"
)

// How a look-up ended.
const (
	outcomeAnswered = "answered"
	outcomeFailed   = "failed"
	outcomeRested   = "rested" // it was not asked, because it failed too often just before
)

// Metrics are kept over reloads.
type Metrics struct {
	lookups  *prometheus.CounterVec
	duration *prometheus.HistogramVec
	altered  *prometheus.CounterVec
}

// NewMetrics registers the metrics; a nil registerer gets none.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_enrichment_lookups_total",
			Help: "Look-ups of the context of alerts, one for each notification, by how they ended.",
		}, []string{"source", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "relay_enrichment_lookup_duration_seconds",
			Help: "How long a look-up took.", Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
			NativeHistogramMinResetDuration: time.Hour,
		}, []string{"source"}),
		altered: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_enrichment_values_altered_total",
			Help: "Values that were cut, cleaned or left out because they were too long or not plain text.",
		}, []string{"source"}),
	}
	for _, source := range []relay.Source{
		relay.SourceAlert, relay.SourceSaved, relay.SourceStore, relay.SourceExemplar, relay.SourceRequest,
	} {
		m.altered.WithLabelValues(string(source))
	}
	if r != nil {
		r.MustRegister(m.lookups, m.duration, m.altered)
	}
	return m
}

// of lets the metrics of a look-up exist at zero.
func (m *Metrics) of(source relay.Source) {
	for _, outcome := range []string{outcomeAnswered, outcomeFailed, outcomeRested} {
		m.lookups.WithLabelValues(string(source), outcome)
	}
	m.duration.WithLabelValues(string(source))
}
