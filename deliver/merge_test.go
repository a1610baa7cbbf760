package deliver_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/deliver"
	"github.com/alertrelay/relay/internal/wire"
)

func TestMerge(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	fires := func(fingerprint string) relay.Alert { return alert(fingerprint, relay.StatusFiring, start) }
	ended := func(fingerprint string) relay.Alert { return alert(fingerprint, relay.StatusResolved, start) }
	again := func(fingerprint string) relay.Alert {
		return alert(fingerprint, relay.StatusFiring, start.Add(time.Hour))
	}
	gone := func(fingerprint string) relay.Alert {
		a := fires(fingerprint)
		a.Status, a.Change = relay.StatusResolved, relay.ChangeGone
		return a
	}
	for _, tt := range []struct {
		name    string
		waiting []relay.Alerts
		want    relay.Alerts
	}{
		{"one alone", []relay.Alerts{{fires("a")}}, relay.Alerts{fires("a")}},
		{"the newest state of an alert", []relay.Alerts{{fires("a")}, {ended("a")}}, relay.Alerts{ended("a")}},
		{"one joined", []relay.Alerts{{fires("a")}, {fires("a"), fires("b")}}, relay.Alerts{fires("a"), fires("b")}},
		{
			"resolved and not shown since",
			[]relay.Alerts{{fires("a"), fires("b")}, {ended("a"), fires("b")}, {fires("b")}},
			relay.Alerts{fires("b"), ended("a")},
		},
		{"gone without a word", []relay.Alerts{{fires("a"), fires("b")}, {fires("b")}}, relay.Alerts{fires("b"), gone("a")}},
		{
			"resolved, then a late copy of its firing, then gone",
			[]relay.Alerts{{ended("a")}, {fires("a"), fires("b")}, {fires("b")}},
			relay.Alerts{fires("b"), ended("a")},
		},
		{"fires again anew", []relay.Alerts{{fires("a")}, {ended("a")}, {again("a")}}, relay.Alerts{again("a"), ended("a")}},
		{
			"fires again with the same start, after a lost link",
			[]relay.Alerts{{ended("a")}, {fires("a")}},
			relay.Alerts{fires("a"), ended("a")},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var waiting []*relay.Notification
			for _, alerts := range tt.waiting {
				waiting = append(waiting, &relay.Notification{Alerts: alerts})
			}
			require.Equal(t, tt.want, deliver.Merge(waiting).Alerts)
		})
	}
}

func TestMergeKeepsCommonLabelsCommon(t *testing.T) {
	t.Parallel()
	labelled := func(fingerprint, job string) *relay.Notification {
		a := alert(fingerprint, relay.StatusFiring, time.Unix(1, 0))
		a.Labels = template.KV{"job": job, "team": "pay"}
		n := &relay.Notification{Alerts: relay.Alerts{a}}
		n.CommonLabels = a.Labels
		return n
	}
	merged := deliver.Merge([]*relay.Notification{labelled("a", "api"), labelled("b", "db")})
	require.Equal(t, template.KV{"team": "pay"}, merged.CommonLabels)
}

// TestMergeLosesNothing: each firing of an alert that any of the notifications showed is shown, and its end if any showed it.
func TestMergeLosesNothing(t *testing.T) {
	t.Parallel()
	type fact struct {
		fingerprint string
		start       time.Time
		resolved    bool
	}
	rapid.Check(t, func(t *rapid.T) {
		anAlert := rapid.Custom(func(t *rapid.T) relay.Alert {
			return alert(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "fingerprint"),
				rapid.SampledFrom([]string{relay.StatusFiring, relay.StatusResolved}).Draw(t, "status"),
				time.Unix(rapid.Int64Range(1, 2).Draw(t, "start"), 0).UTC())
		})
		var waiting []*relay.Notification
		facts := map[fact]bool{}
		for range rapid.IntRange(1, 6).Draw(t, "waiting") {
			alerts := rapid.SliceOfNDistinct(anAlert, 0, 3, relay.Alert.Key).Draw(t, "alerts")
			waiting = append(waiting, &relay.Notification{Alerts: alerts})
			for _, a := range alerts {
				facts[fact{a.Fingerprint, a.StartsAt, a.Status == relay.StatusResolved}] = true
			}
		}
		newest := waiting[len(waiting)-1].Alerts
		merged := deliver.Merge(waiting)
		require.Equal(t, newest, merged.Alerts[:len(newest):len(newest)], "the newest comes first, as it is")
		for _, a := range merged.Alerts {
			delete(facts, fact{a.Fingerprint, a.StartsAt, a.Status == relay.StatusResolved && a.Change != relay.ChangeGone})
			delete(facts, fact{a.Fingerprint, a.StartsAt, false}) // who reads the end knows that it fired
		}
		require.Empty(t, facts, "not shown")
	})
}

// TestMergeInSteps: to fold some of what waits first comes to the same as to merge it all at once, also through the store.
func TestMergeInSteps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		anAlert := rapid.Custom(func(t *rapid.T) relay.Alert {
			return alert(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "fingerprint"),
				rapid.SampledFrom([]string{relay.StatusFiring, relay.StatusResolved}).Draw(t, "status"), time.Unix(1, 0).UTC())
		})
		var waiting []*relay.Notification
		for range rapid.IntRange(2, 7).Draw(t, "waiting") {
			alerts := rapid.SliceOfNDistinct(anAlert, 0, 2, relay.Alert.Key).Draw(t, "alerts")
			waiting = append(waiting, &relay.Notification{Alerts: alerts})
		}
		shown := func(n *relay.Notification) []string {
			var all []string
			for _, a := range n.Alerts {
				all = append(all, fmt.Sprint(a.Fingerprint, a.Status, a.Change))
			}
			return all
		}
		want := shown(deliver.Merge(waiting))
		from := rapid.IntRange(0, len(waiting)-2).Draw(t, "from")
		to := rapid.IntRange(from+2, len(waiting)).Draw(t, "to")
		folded, err := new(wire.Reader).Read(wire.Append(nil, deliver.Merge(waiting[from:to])))
		require.NoError(t, err)
		got := deliver.Merge(slices.Concat(waiting[:from], []*relay.Notification{folded}, waiting[to:]))
		require.ElementsMatch(t, want, shown(got))
	})
}
