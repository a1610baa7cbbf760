package enrich_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/enrich"
	"github.com/alertrelay/relay/snapshots"
)

// recorded is a store made of a map. It counts how often it is asked.
type recorded struct {
	at    map[snapshots.Key]relay.Snapshot
	asked int
	keys  []snapshots.Key // of the last time
}

func (r *recorded) Find(_ context.Context, keys []snapshots.Key) ([]relay.Snapshot, error) {
	r.asked++
	r.keys = keys
	found := make([]relay.Snapshot, len(keys))
	for i, key := range keys {
		found[i] = r.at[key]
	}
	return found, nil
}

func (*recorded) Record(context.Context, []snapshots.Entry, time.Duration) error { panic("not called") }

func TestStore(t *testing.T) {
	t.Parallel()
	at := func(trace string, before time.Duration) relay.Snapshot {
		return relay.Snapshot{TraceID: trace, Time: start.Add(-before)}
	}
	labels := kv{"service": "pay", "instance": "10.0.0.7:8080", "job": "api", "alertname": "X"}
	for _, tc := range []struct {
		name   string
		cfg    enrich.Config
		at     map[snapshots.Key]relay.Snapshot
		labels kv
		want   string
	}{
		{"nothing recorded", enrich.Config{}, nil, labels, ""},
		{
			"the most exact set wins", enrich.Config{}, map[snapshots.Key]relay.Snapshot{
				"job=api": at("4", 0), "service=pay": at("3", 0),
				"instance=10.0.0.7:8080,job=api": at("2", 0), "instance=10.0.0.7:8080,service=pay": at("1", time.Minute),
			}, labels, "1",
		},
		{
			"one that is too old does not hide a younger one", enrich.Config{}, map[snapshots.Key]relay.Snapshot{
				"job=api": at("4", 15*time.Minute), "instance=10.0.0.7:8080,service=pay": at("1", 15*time.Minute+1),
			}, labels, "4",
		},
		{
			"another max_age", enrich.Config{MaxAge: model.Duration(time.Hour)}, map[snapshots.Key]relay.Snapshot{
				"service=pay": at("1", 59*time.Minute),
			}, labels, "1",
		},
		{
			"recorded while it fires",
			enrich.Config{},
			map[snapshots.Key]relay.Snapshot{"job=api": at("4", -time.Hour)},
			labels, "4",
		},
		{
			"without a time nobody knows", enrich.Config{}, map[snapshots.Key]relay.Snapshot{"job=api": {TraceID: "4"}}, labels, "",
		},
		{
			"sets of one's own", enrich.Config{Lookup: [][]string{{"region"}, {"alertname"}}}, map[snapshots.Key]relay.Snapshot{
				"alertname=X": at("own", 0), "service=pay": at("3", 0),
			}, labels, "own",
		},
		{
			"no sets: nothing is looked up", enrich.Config{Lookup: [][]string{}}, map[snapshots.Key]relay.Snapshot{
				"service=pay": at("3", 0),
			}, labels, "",
		},
		{
			"a known trace comes first, however old", enrich.Config{}, map[snapshots.Key]relay.Snapshot{
				"trace_id=t": {TraceID: "t", UserAgent: "client of t"}, "service=pay": at("3", 0),
			}, kv{"service": "pay", "trace_id": "t"}, "t",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			e, _ := withLookups(t, tc.cfg, enrich.FromStore(tc.cfg, &recorded{at: tc.at}))
			n := &relay.Notification{Alerts: relay.Alerts{alert("a", tc.labels, nil)}}
			e.Enrich(t.Context(), n, nil, relay.Snapshot{}, "")
			require.Equal(t, tc.want, n.Alerts[0].Snapshot.TraceID)
			if tc.want == "t" {
				require.Equal(t, "client of t", n.Alerts[0].Snapshot.UserAgent)
			}
		})
	}
}

// TestTheStoreIsAskedOnce for a group, and for each key once.
func TestTheStoreIsAskedOnce(t *testing.T) {
	t.Parallel()
	r := &recorded{at: map[snapshots.Key]relay.Snapshot{"instance=i499,job=api": {TraceID: "last", Time: start}}}
	e, _ := withLookups(t, enrich.Config{}, enrich.FromStore(enrich.Config{}, r))
	n := &relay.Notification{}
	for i := range 500 {
		n.Alerts = append(n.Alerts, alert(strconv.Itoa(i), kv{"instance": fmt.Sprintf("i%d", i), "job": "api"}, nil))
	}
	e.Enrich(t.Context(), n, nil, relay.Snapshot{}, "")
	require.Equal(t, 1, r.asked)
	require.Len(t, r.keys, 501, "one for each instance, one for the job")
	require.Equal(t, "last", n.Alerts[499].Snapshot.TraceID)
	require.Zero(t, n.Alerts[0].Snapshot)
}

func TestTheKeysOfOneCallAreBounded(t *testing.T) {
	t.Parallel()
	r := &recorded{}
	e, _ := withLookups(t, enrich.Config{}, enrich.FromStore(enrich.Config{}, r))
	n := &relay.Notification{}
	for i := range snapshots.MaxKeys + 10 {
		n.Alerts = append(n.Alerts, alert(strconv.Itoa(i), kv{"service": strconv.Itoa(i)}, nil))
	}
	e.Enrich(t.Context(), n, nil, relay.Snapshot{}, "")
	require.Len(t, r.keys, snapshots.MaxKeys)
}

// TestATimeThatCannotBeSavedIsLeftOut: the alert is saved without it, and keeps what else was recorded.
func TestATimeThatCannotBeSavedIsLeftOut(t *testing.T) {
	t.Parallel()
	r := &recorded{at: map[snapshots.Key]relay.Snapshot{
		"service=pay": {RoomID: "10086", Time: time.Unix(300_000_000_000, 0)},
	}}
	e, _ := withLookups(t, enrich.Config{}, enrich.FromStore(enrich.Config{}, r))
	a := alert("a", kv{"service": "pay"}, nil)
	fresh := e.Enrich(t.Context(), &relay.Notification{Alerts: relay.Alerts{a}}, nil, relay.Snapshot{}, "")
	require.Equal(t, "10086", fresh[a.Key()].Snapshot.RoomID)
	_, err := json.Marshal(fresh[a.Key()].Snapshot.Time)
	require.NoError(t, err)
}
