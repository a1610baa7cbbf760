package enrich

import (
	"context"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/snapshots"
)

// storeSource looks up what applications recorded: under the trace of an alert where that is known, else under its labels,
// most exact set first.
type storeSource struct {
	store  snapshots.Store
	sets   []snapshots.Set
	maxAge time.Duration
}

// FromStore returns the Source that asks store.
func FromStore(cfg Config, store snapshots.Store) Source {
	return &storeSource{store, cfg.Sets(), cfg.maxAge()}
}

// Name implements Source.
func (*storeSource) Name() relay.Source { return relay.SourceStore }

// Find implements Source. It asks the store once for all alerts; many alerts share a key.
func (s *storeSource) Find(ctx context.Context, alerts relay.Alerts) ([]relay.Snapshot, error) {
	q := query{at: map[snapshots.Key]int{}}
	places := make([]place, 0, len(alerts)*(1+len(s.sets)))
	for i := range alerts {
		a := &alerts[i]
		if key, ok := snapshots.TraceKey(a.Snapshot.TraceID); ok {
			places = q.add(places, place{alert: i}, key)
		}
		for _, set := range s.sets {
			if key, ok := set.Key(a.Labels); ok {
				places = q.add(places, place{alert: i, since: a.StartsAt.Add(-s.maxAge)}, key)
			}
		}
	}
	if len(q.keys) == 0 {
		return nil, nil
	}
	found, err := s.store.Find(ctx, q.keys)
	if err != nil {
		return nil, err
	}
	known := make([]relay.Snapshot, len(alerts))
	for _, p := range places {
		recorded := found[p.key]
		if known[p.alert].IsZero() && !recorded.Time.Before(p.since) {
			known[p.alert] = recorded
		}
	}
	return known, nil
}

// A place is where the snapshot of an alert may lie.
type place struct {
	alert, key int
	// since is when it must be recorded at the earliest; zero when its trace says that it is the one.
	since time.Time
}

// A query collects keys, each once.
type query struct {
	keys []snapshots.Key
	at   map[snapshots.Key]int
}

// add adds a place with its key, as long as a call may ask for more keys.
func (q *query) add(places []place, p place, key snapshots.Key) []place {
	at, known := q.at[key]
	if !known {
		if at = len(q.keys); at == snapshots.MaxKeys {
			return places
		}
		q.at[key] = at
		q.keys = append(q.keys, key)
	}
	p.key = at
	return append(places, p)
}
