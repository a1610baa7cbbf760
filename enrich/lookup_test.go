package enrich_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/enrich"
)

// A lookup is a source made of a function.
type lookup struct {
	name relay.Source
	find func(ctx context.Context, alerts relay.Alerts) ([]relay.Snapshot, error)
}

func (l lookup) Name() relay.Source { return l.name }

func (l lookup) Find(ctx context.Context, alerts relay.Alerts) ([]relay.Snapshot, error) {
	return l.find(ctx, alerts)
}

// knows is a look-up that knows the same of each alert.
func knows(name relay.Source, s relay.Snapshot) lookup {
	return lookup{name, func(_ context.Context, alerts relay.Alerts) ([]relay.Snapshot, error) {
		known := make([]relay.Snapshot, len(alerts))
		for i := range known {
			known[i] = s
		}
		return known, nil
	}}
}

// hangs is a look-up that does not even end with its context.
func hangs(release <-chan struct{}) lookup {
	return lookup{relay.SourceExemplar, func(context.Context, relay.Alerts) ([]relay.Snapshot, error) {
		<-release
		return []relay.Snapshot{{TraceID: "late"}, {TraceID: "late"}}, nil
	}}
}

func withLookups(t *testing.T, cfg enrich.Config, lookups ...enrich.Source) (*enrich.Enricher, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewRegistry()
	e, err := enrich.New(cfg, enrich.Options{Lookups: lookups, Metrics: enrich.NewMetrics(registry)})
	require.NoError(t, err)
	return e, registry
}

func two() *relay.Notification {
	return &relay.Notification{Alerts: relay.Alerts{alert("a", nil, nil), alert("b", nil, nil)}}
}

func TestLookupsAreAskedSideBySideForASecondAtMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		slow := lookup{relay.SourceExemplar, func(ctx context.Context, _ relay.Alerts) ([]relay.Snapshot, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		quick := lookup{relay.SourceStore, func(_ context.Context, alerts relay.Alerts) ([]relay.Snapshot, error) {
			time.Sleep(900 * time.Millisecond)
			known := make([]relay.Snapshot, len(alerts))
			known[1] = relay.Snapshot{TraceID: "recorded", RoomID: "evidence", Time: start}
			return known, nil
		}}
		e, _ := withLookups(t, enrich.Config{}, slow, hangs(release), quick)
		n := two()
		began := time.Now()
		fresh := e.Enrich(t.Context(), n, nil, relay.Snapshot{TraceID: "request"}, "")
		require.Equal(t, time.Second, time.Since(began))
		require.Equal(t, relay.SourceRequest, n.Alerts[0].Snapshot.Sources["trace_id"])
		require.Equal(t, relay.Snapshot{
			TraceID: "recorded", RoomID: "evidence", Time: start, Sources: marks{"trace_id": "store", "room_id": "store"},
		}, n.Alerts[1].Snapshot)
		require.Empty(t, n.Alerts[1].Room, "evidence is shown, not routed on")
		require.Equal(t, "recorded", fresh[n.Alerts[1].Key()].Snapshot.TraceID)
	})
}

func TestLookupsWinInTheirOrder(t *testing.T) {
	t.Parallel()
	e, _ := withLookups(t, enrich.Config{},
		knows(relay.SourceStore, relay.Snapshot{RoomID: "1"}),
		knows(relay.SourceExemplar, relay.Snapshot{TraceID: "t", RoomID: "2"}))
	n := two()
	n.Alerts[1].Labels = kv{"room_id": "0"}
	e.Enrich(t.Context(), n, nil, relay.Snapshot{}, "9")
	require.Equal(t, relay.Snapshot{
		TraceID: "t", RoomID: "1", Sources: marks{"trace_id": "exemplar", "room_id": "store"},
	}, n.Alerts[0].Snapshot)
	require.Equal(t, "0", n.Alerts[1].Snapshot.RoomID, "the alert itself knows best")
}

// TestAnEarlierLookupIsAskedAgainWithTheTrace, because the store knows the client behind the trace of an exemplar.
func TestAnEarlierLookupIsAskedAgainWithTheTrace(t *testing.T) {
	t.Parallel()
	asked := [][]string{}
	byTrace := lookup{relay.SourceStore, func(_ context.Context, alerts relay.Alerts) ([]relay.Snapshot, error) {
		var traces []string
		known := make([]relay.Snapshot, len(alerts))
		for i, a := range alerts {
			traces = append(traces, a.Snapshot.TraceID)
			if a.Snapshot.TraceID == "t2" {
				known[i].UserAgent = "WeChat/8"
			}
		}
		asked = append(asked, traces)
		return known, nil
	}}
	exemplar := lookup{relay.SourceExemplar, func(context.Context, relay.Alerts) ([]relay.Snapshot, error) {
		return []relay.Snapshot{{}, {TraceID: "t2"}}, nil
	}}
	e, _ := withLookups(t, enrich.Config{}, byTrace, exemplar)
	n := two()
	n.Alerts[0].Labels = kv{"trace_id": "t1"}
	e.Enrich(t.Context(), n, nil, relay.Snapshot{}, "")
	require.Equal(t, [][]string{{"t1", ""}, {"t2"}}, asked)
	require.Equal(t, marks{"trace_id": "exemplar", "user_agent": "store"}, n.Alerts[1].Snapshot.Sources)
}

// TestWhatIsKnownIsNotLookedUp, and a resolved alert shows what the firing one did and nothing else.
func TestWhatIsKnownIsNotLookedUp(t *testing.T) {
	t.Parallel()
	var asked []string
	e, _ := withLookups(t, enrich.Config{}, lookup{
		relay.SourceStore, func(_ context.Context, alerts relay.Alerts) ([]relay.Snapshot, error) {
			for _, a := range alerts {
				asked = append(asked, a.Fingerprint)
			}
			return nil, nil
		},
	})
	whole := kv{"trace_id": "t", "room_id": "1", "user_agent": "u"}
	n := &relay.Notification{Alerts: relay.Alerts{
		alert("whole", whole, nil), alert("lacking", kv{"trace_id": "t", "room_id": "1"}, nil), alert("goes on", nil, nil),
		alert("resolved", nil, nil), alert("resolved, never seen", nil, nil),
	}}
	n.Alerts[3].Status, n.Alerts[4].Status = relay.StatusResolved, relay.StatusResolved
	e.Enrich(t.Context(), n, saved{n.Alerts[2].Key(): {}, n.Alerts[3].Key(): {}}, relay.Snapshot{}, "")
	require.Equal(t, []string{"lacking", "goes on", "resolved, never seen"}, asked)
}

func TestRouteByEvidence(t *testing.T) {
	t.Parallel()
	e, _ := withLookups(t, enrich.Config{RouteByEvidence: true}, knows(relay.SourceStore, relay.Snapshot{RoomID: "1"}))
	n := two()
	n.Alerts[1].Labels = kv{"room_id": "2"}
	fresh := e.Enrich(t.Context(), n, nil, relay.Snapshot{}, "")
	require.Equal(t, []string{"1", "2"}, []string{n.Alerts[0].Room, n.Alerts[1].Room})
	require.Equal(t, "1", fresh[n.Alerts[0].Key()].Room)

	late, _ := withLookups(t, enrich.Config{RouteByEvidence: true}, knows(relay.SourceStore, relay.Snapshot{RoomID: "7"}))
	late.Enrich(t.Context(), n, saved{n.Alerts[0].Key(): {}}, relay.Snapshot{}, "")
	require.Empty(t, n.Alerts[0].Room, "pinned at the first accept, also when empty")

	n = two()
	e.Enrich(t.Context(), n, nil, relay.Snapshot{}, "3")
	require.Equal(t, "3", n.Alerts[0].Room, "what the URL says is no guess")
}

func TestASourceThatFailsRests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls int
		fail := true
		e, registry := withLookups(t, enrich.Config{}, lookup{
			relay.SourceStore, func(_ context.Context, alerts relay.Alerts) ([]relay.Snapshot, error) {
				calls++
				if fail {
					return nil, errors.New("down")
				}
				return make([]relay.Snapshot, len(alerts)), nil
			},
		})
		ask := func(times int) {
			for range times {
				e.Enrich(t.Context(), two(), nil, relay.Snapshot{}, "")
			}
		}
		ask(4)
		fail = false
		ask(1)
		fail = true
		ask(4)
		require.Equal(t, 9, calls, "four failures in a row are not five")
		ask(100)
		require.Equal(t, 10, calls, "after the fifth it rests")
		time.Sleep(30 * time.Second)
		ask(100)
		require.Equal(t, 11, calls, "then one sees whether it is well again")
		time.Sleep(30 * time.Second)
		fail = false
		ask(100)
		require.Equal(t, 111, calls)
		require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP relay_enrichment_lookups_total Look-ups of the context of alerts, one for each notification, by how they ended.
# TYPE relay_enrichment_lookups_total counter
relay_enrichment_lookups_total{outcome="answered",source="store"} 101
relay_enrichment_lookups_total{outcome="failed",source="store"} 10
relay_enrichment_lookups_total{outcome="rested",source="store"} 198
`), "relay_enrichment_lookups_total"))
	})
}

// TestAHangingSourceCostsASecondFiveTimes, not for each notification.
func TestAHangingSourceCostsASecondFiveTimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		e, _ := withLookups(t, enrich.Config{}, hangs(release))
		began := time.Now()
		for range 20 {
			n := two()
			e.Enrich(t.Context(), n, nil, relay.Snapshot{}, "")
			require.Zero(t, n.Alerts[0].Snapshot)
		}
		require.Equal(t, 5*time.Second, time.Since(began))
		close(release)
	})
}

func TestAPanicOfASourceIsAFailure(t *testing.T) {
	t.Parallel()
	e, _ := withLookups(t, enrich.Config{}, lookup{
		relay.SourceStore, func(context.Context, relay.Alerts) ([]relay.Snapshot, error) { panic("bug") },
	})
	n := two()
	e.Enrich(t.Context(), n, nil, relay.Snapshot{TraceID: "request"}, "")
	require.Equal(t, "request", n.Alerts[0].Snapshot.TraceID)
}

// TestHostileValuesAreCleanedAndCounted, names of fields as well.
func TestHostileValuesAreCleanedAndCounted(t *testing.T) {
	t.Parallel()
	e, registry := withLookups(t, enrich.Config{}, knows(relay.SourceStore, relay.Snapshot{
		TraceID: strings.Repeat("x", 1<<20), RoomID: strings.Repeat("1", 1<<20), UserAgent: "a\x00\u202e\r\n[x](http://evil)",
		Extra: map[string]string{"tenant\n": "shop", "room_id": "9", "": "none"},
	}))
	n := two()
	n.Alerts = n.Alerts[:1]
	e.Enrich(t.Context(), n, nil, relay.Snapshot{}, "")
	s := n.Alerts[0].Snapshot
	require.LessOrEqual(t, len(s.TraceID), enrich.DefaultMaxValueLength)
	require.Empty(t, s.RoomID, "a cut room could be another")
	require.Equal(t, "a[x](http://evil)", s.UserAgent, "each channel escapes what its own marks are")
	require.Equal(t, map[string]string{"tenant": "shop"}, s.Extra, "an extra field is none of the three")
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP relay_enrichment_values_altered_total Values that were cut, cleaned or left out because they were too long or not plain text.
# TYPE relay_enrichment_values_altered_total counter
relay_enrichment_values_altered_total{source="alert"} 0
relay_enrichment_values_altered_total{source="exemplar"} 0
relay_enrichment_values_altered_total{source="request"} 0
relay_enrichment_values_altered_total{source="saved"} 0
relay_enrichment_values_altered_total{source="store"} 3
`), "relay_enrichment_values_altered_total"))
}
