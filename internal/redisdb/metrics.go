package redisdb

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	goredis "github.com/redis/go-redis/v9"
)

// The values of the label reason.
const (
	reasonUnavailable    = "unavailable"
	reasonFull           = "full"
	reasonUnacknowledged = "unacknowledged"
)

// metrics tell how Redis does.
type metrics struct {
	up       prometheus.Gauge
	errors   *prometheus.CounterVec
	scripts  prometheus.Counter
	duration prometheus.Histogram

	info                        *prometheus.GaugeVec
	replicas, memory, maxMemory prometheus.Gauge
}

func newMetrics(o Options, client goredis.UniversalClient) *metrics {
	f := promauto.With(o.Registerer)
	m := &metrics{
		up: f.NewGauge(prometheus.GaugeOpts{
			Name: "relay_redis_up", Help: "1 if Redis answered the last time it was asked.",
		}),
		errors: f.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_redis_errors_total",
			Help: "Calls of Redis that failed: it was unavailable, full, or too few replicas had the write in time.",
		}, []string{"reason"}),
		scripts: f.NewCounter(prometheus.CounterOpts{
			Name: "relay_redis_scripts_total", Help: "Scripts sent to Redis.",
		}),
		duration: f.NewHistogram(prometheus.HistogramOpts{
			Name:    "relay_redis_round_trip_seconds",
			Help:    "How long Redis takes for what travels together, replicas included.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 7),
		}),
	}
	m.info = f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "relay_redis_info", Help: "What the Redis in use says about itself; the value is 1.",
	}, []string{"product", "version", "mode", "persistence", "maxmemory_policy"})
	m.replicas = f.NewGauge(prometheus.GaugeOpts{
		Name: "relay_redis_replicas", Help: "Replicas of Redis that are in step with it.",
	})
	m.memory = f.NewGauge(prometheus.GaugeOpts{
		Name: "relay_redis_memory_bytes", Help: "Memory that Redis uses.",
	})
	m.maxMemory = f.NewGauge(prometheus.GaugeOpts{
		Name: "relay_redis_memory_max_bytes", Help: "Memory beyond which Redis takes nothing more; 0 is no bound.",
	})
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "relay_redis_connections", Help: "Open connections to Redis.",
	}, func() float64 { return float64(client.PoolStats().TotalConns) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "relay_redis_min_acks", Help: "How many replicas must have a write before it counts.",
	}, func() float64 { return float64(o.MinAcks) })
	for _, reason := range []string{reasonUnavailable, reasonFull, reasonUnacknowledged} {
		m.errors.WithLabelValues(reason)
	}
	return m
}

func (m *metrics) sent(scripts int, took time.Duration) {
	m.scripts.Add(float64(scripts))
	m.duration.Observe(took.Seconds())
}

func (m *metrics) looked(s Server) {
	m.info.Reset()
	m.info.WithLabelValues(s.Product, s.Version, s.Mode, string(s.Persistence), s.Policy).Set(1)
	m.replicas.Set(float64(s.Replicas))
	m.memory.Set(float64(s.Memory))
	m.maxMemory.Set(float64(s.MaxMemory))
}
