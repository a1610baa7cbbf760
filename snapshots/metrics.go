package snapshots

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/alertrelay/relay"
)

// metrics are those of every form of the store.
type metrics struct{ recorded, unreadable prometheus.Counter }

func newMetrics(r prometheus.Registerer) metrics {
	m := metrics{
		recorded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "relay_snapshots_recorded_total",
			Help: "Snapshots recorded through the relay, counted for each key.",
		}),
		unreadable: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "relay_snapshots_unreadable_total",
			Help: "Snapshots found that could not be read: too long, or not the documented form.",
		}),
	}
	if r != nil {
		r.MustRegister(m.recorded, m.unreadable)
	}
	return m
}

// read decodes what was found. What cannot be read is counted, and is nothing.
func (m metrics) read(value []byte) relay.Snapshot {
	s, err := Decode(value)
	if err != nil || len(value) > MaxValue {
		m.unreadable.Inc()
		return relay.Snapshot{}
	}
	return s
}
