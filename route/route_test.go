package route_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/route"
)

func TestReceivers(t *testing.T) {
	t.Parallel()
	tree := newTree(t, route.Config{Receiver: "default", Routes: []route.Config{
		{
			Matchers: []string{`team="pay"`}, Receiver: "pay", Routes: []route.Config{
				{Matchers: []string{`severity=~"critical|page"`}, Receiver: "pager", Continue: true},
				{Matchers: []string{`{env!="dev", severity="critical"}`}}, // inherits pay
			},
		},
		{Match: map[string]string{"team": "web"}, MatchRE: map[string]string{"env": "prod.*"}, Receiver: "web"},
		{Matchers: []string{`audit="yes"`}, Receiver: "audit", Continue: true},
		{Matchers: []string{`room_id="10086"`}, Receiver: "room"},
		{Matchers: []string{`"服务"="支付"`}, Receiver: "utf8"},
		{Matchers: []string{`owner=""`, `orphan=~".+"`}, Receiver: "orphans"},
		{Matchers: []string{`twice="yes"`}, Receiver: "twice", Continue: true},
		{Matchers: []string{`twice=~"y.*"`}, Receiver: "twice"},
	}})
	for _, tc := range []struct {
		name   string
		labels template.KV
		room   string
		want   []string
	}{
		{"nothing matches: the root", template.KV{"team": "other"}, "", []string{"default"}},
		{"no labels at all", nil, "", []string{"default"}},
		{"a node without matching child", template.KV{"team": "pay"}, "", []string{"pay"}},
		{"the deepest match wins", template.KV{"team": "pay", "severity": "page"}, "", []string{"pager"}},
		{
			"continue goes on to the next sibling",
			template.KV{"team": "pay", "severity": "critical", "env": "prod"},
			"",
			[]string{"pager", "pay"},
		},
		{"regular expressions are anchored", template.KV{"team": "pay", "severity": "not critical"}, "", []string{"pay"}},
		{"match and match_re", template.KV{"team": "web", "env": "prod-eu"}, "", []string{"web"}},
		{"match and match_re, one of them not", template.KV{"team": "web", "env": "dev"}, "", []string{"default"}},
		{"continue and no sibling: only that", template.KV{"audit": "yes"}, "", []string{"audit"}},
		{"the routing room", nil, "10086", []string{"room"}},
		{"the routing room before the label", template.KV{"room_id": "7"}, "10086", []string{"room"}},
		{"the label without a routing room", template.KV{"room_id": "10086"}, "", []string{"room"}},
		{"names of any script", template.KV{"服务": "支付"}, "", []string{"utf8"}},
		{"a missing label equals an empty value", template.KV{"orphan": "x"}, "", []string{"orphans"}},
		{"one receiver found twice is told once", template.KV{"twice": "yes"}, "", []string{"twice"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, tree.Receivers(relay.Alert{Alert: template.Alert{Labels: tc.labels}, Room: tc.room}))
		})
	}
}

func TestCutRegroups(t *testing.T) {
	t.Parallel()
	n := payload(t, "mixed-2")
	before := payload(t, "mixed-2")
	require.Len(t, n.Alerts, 3)
	resolved := slices.IndexFunc(n.Alerts, func(a relay.Alert) bool { return a.Status == relay.StatusResolved })
	name := n.Alerts[resolved].Labels["instance"]
	tree := newTree(t, route.Config{Receiver: "rest", Routes: []route.Config{
		{Matchers: []string{`instance="` + name + `"`}, Receiver: "one"},
		{Matchers: []string{`alertname=~".*"`}, Receiver: "unused", Routes: []route.Config{{Receiver: "all", Continue: true}, {Receiver: "rest"}}},
	}})

	parts := tree.Cut(n)
	require.Len(t, parts, 3)
	rest, one, all := parts[0], parts[1], parts[2]
	require.Equal(t, []string{"rest", "one", "all"}, []string{rest.Receiver, one.Receiver, all.Receiver})

	require.Equal(t, relay.StatusResolved, one.Notification.Status, "no alert of the part fires")
	require.Equal(t, relay.StatusFiring, rest.Notification.Status)
	require.Equal(t, n.Alerts[resolved].Labels, one.Notification.CommonLabels, "one alert has all it has in common")
	require.Equal(t, n.Alerts[resolved].Annotations, one.Notification.CommonAnnotations)
	require.NotContains(t, rest.Notification.CommonLabels, "instance")
	require.Equal(t, rest.Notification.Alerts, all.Notification.Alerts)
	for _, p := range parts {
		require.Equal(t, n.GroupKey, p.Notification.GroupKey)
		require.Equal(t, n.GroupLabels, p.Notification.GroupLabels)
		require.Equal(t, n.TruncatedAlerts, p.Notification.TruncatedAlerts)
		require.Equal(t, n.Receiver, p.Notification.Receiver)
		require.Equal(t, n.ExternalURL, p.Notification.ExternalURL)
	}
	require.Equal(t, before, n, "the whole is left as it was")
}

func TestPartEqualToTheWholeSharesIt(t *testing.T) {
	t.Parallel()
	n := payload(t, "group-50-firing")
	parts := newTree(t, route.Config{Receiver: "ops"}).Cut(n)
	require.Len(t, parts, 1)
	require.Same(t, n, parts[0].Notification)
	require.Same(t, n, route.Straight(n, "ops").Notification)
	firing, some := route.Firing(parts[0])
	require.True(t, some)
	require.Same(t, n, firing.Notification)
}

func TestFiring(t *testing.T) {
	t.Parallel()
	n := payload(t, "mixed-2")
	p, some := route.Firing(route.Straight(n, "ops"))
	require.True(t, some)
	require.Equal(t, "ops", p.Receiver)
	require.Equal(t, n.Alerts.Firing(), p.Notification.Alerts)
	require.Len(t, n.Alerts, 3)

	n.Alerts = n.Alerts.Resolved()
	_, some = route.Firing(route.Straight(n, "ops"))
	require.False(t, some, "nothing to say")
}

// TestCommonAsUpstream: what Alertmanager computed over the whole comes out of regrouping the whole.
func TestCommonAsUpstream(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"mixed-2", "truncated-1", "empty-annotations", "group-50-firing"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := payload(t, name)
			want := *n
			// One alert more, of another receiver, makes the rest a part that must be computed anew.
			n.Alerts = append(n.Alerts, relay.Alert{Alert: template.Alert{Labels: template.KV{"other": "yes"}}})
			parts := newTree(t, route.Config{
				Receiver: "ops",
				Routes:   []route.Config{{Matchers: []string{"other=yes"}, Receiver: "other"}},
			}).Cut(n)
			require.Equal(t, &want, parts[0].Notification)
		})
	}
}

// TestEveryAlertReachesItsReceivers compares the parts with Alertmanager's rule, written down once more for one alert.
func TestEveryAlertReachesItsReceivers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		root := config(t, 3)
		root.Receiver = "root"
		tree, err := route.New(root, nil)
		require.NoError(t, err)

		n := &relay.Notification{GroupKey: "key"}
		for i := range rapid.IntRange(1, 12).Draw(t, "alerts") {
			n.Alerts = append(n.Alerts, relay.Alert{Alert: template.Alert{
				Fingerprint: strconv.Itoa(i),
				Status:      rapid.SampledFrom([]string{relay.StatusFiring, relay.StatusResolved}).Draw(t, "status"),
				Labels:      template.KV{"a": value(t), "b": value(t)},
			}})
		}

		want := map[string][]string{} // receiver: fingerprints, in order
		for _, a := range n.Alerts {
			_, receivers := expected(root, "", a.Labels)
			for _, r := range slices.Compact(slices.Sorted(slices.Values(receivers))) {
				want[r] = append(want[r], a.Fingerprint)
			}
		}
		got := map[string][]string{}
		for _, p := range tree.Cut(n) {
			require.NotContains(t, got, p.Receiver)
			require.Equal(t, p.Notification.Alerts.Status() == relay.StatusFiring, len(p.Notification.Alerts.Firing()) > 0)
			for _, a := range p.Notification.Alerts {
				got[p.Receiver] = append(got[p.Receiver], a.Fingerprint)
			}
		}
		require.Equal(t, want, got)
	})
}

// expected says whether a node takes an alert and which receivers it reaches there.
func expected(c route.Config, inherited string, labels template.KV) (bool, []string) {
	receiver := c.Receiver
	if receiver == "" {
		receiver = inherited
	}
	for name, value := range c.Match {
		if labels[name] != value {
			return false, nil
		}
	}
	var reached []string
	for _, child := range c.Routes {
		takes, below := expected(child, receiver, labels)
		reached = append(reached, below...)
		if takes && !child.Continue {
			break
		}
	}
	if len(reached) == 0 {
		reached = []string{receiver}
	}
	return true, reached
}

func config(t *rapid.T, depth int) route.Config {
	c := route.Config{
		Receiver: rapid.SampledFrom([]string{"", "x", "y", "z"}).Draw(t, "receiver"),
		Continue: rapid.Bool().Draw(t, "continue"),
	}
	if depth < 3 {
		c.Match = map[string]string{rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "label"): value(t)}
	}
	if depth > 0 {
		for range rapid.IntRange(0, 3).Draw(t, "routes") {
			c.Routes = append(c.Routes, config(t, depth-1))
		}
	}
	return c
}

func value(t *rapid.T) string { return rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "value") }

func TestValidate(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"ops": true}
	for _, tc := range []struct {
		name string
		cfg  route.Config
		want []fault.Fault
	}{
		{"good", route.Config{Receiver: "ops", Routes: []route.Config{{Matchers: []string{`a="b",c!~"d"`}}}}, nil},
		{"empty", route.Config{}, []fault.Fault{
			{Path: "route.receiver", Message: "is required: the root route takes what no other route takes"},
		}},
		{"unknown receivers", route.Config{Receiver: "op", Routes: []route.Config{{Receiver: "oops"}}}, []fault.Fault{
			{Path: "route.receiver", Message: `receiver "op" is not in receivers:`},
			{Path: "route.routes[0].receiver", Message: `receiver "oops" is not in receivers:`},
		}},
		{"a root that does not take all", route.Config{Receiver: "ops", Matchers: []string{`a="b"`}, Continue: true}, []fault.Fault{
			{Path: "route", Message: "the root route must not have any matchers: it takes what no other route takes"},
			{Path: "route.continue", Message: "the root route has no siblings to continue with"},
		}},
		{"bad matchers", route.Config{Receiver: "ops", Routes: []route.Config{
			{Matchers: []string{`a="b"`, `a`}, MatchRE: map[string]string{"b": "("}},
		}}, []fault.Fault{
			{Path: "route.routes[0].matchers[1]", Message: "end of input: expected an operator such as '=', '!=', '=~' or '!~'"},
			{Path: "route.routes[0].match_re.b", Message: "error parsing regexp: missing closing ): `^(?:()$`"},
			{Path: "route.routes[0].match_re", Message: "is deprecated in Alertmanager: use matchers", Warning: true},
		}},
		{"matchers that the two parsers read differently", route.Config{Receiver: "ops", Routes: []route.Config{
			{Matchers: []string{`foo="\bar"`}}, {Matchers: []string{`foo=b ar`}},
		}}, []fault.Fault{
			{
				Path: "route.routes[0].matchers[0]", Warning: true,
				Message: `is read as {foo="\\bar"}, as Alertmanager does; write it so to be clear`,
			},
			{
				Path: "route.routes[1].matchers[0]", Warning: true,
				Message: `only the classic syntax allows this; write {foo="b ar"}`,
			},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := fault.New()
			tc.cfg.Validate(f.In("route"), known)
			require.Equal(t, tc.want, f.All())
		})
	}
}

func TestNewNamesTheKey(t *testing.T) {
	t.Parallel()
	_, err := route.New(route.Config{Receiver: "ops", Routes: []route.Config{{}, {Routes: []route.Config{{Matchers: []string{"a"}}}}}}, nil)
	require.ErrorContains(t, err, "routes[1]: routes[0]: matchers[0]: ")
}

func TestRooms(t *testing.T) {
	t.Parallel()
	tree, err := route.New(
		route.Config{Receiver: "ops", Routes: []route.Config{{Matchers: []string{`room_id="2"`}, Receiver: "second"}}},
		[]route.Room{{ID: "1", Receiver: "room:1"}, {ID: "2", Receiver: "room:2", Continue: true}},
	)
	require.NoError(t, err)
	n := &relay.Notification{GroupKey: "g"}
	for i, room := range []string{"", "1", "2", "1", "3"} {
		n.Alerts = append(n.Alerts, relay.Alert{
			Alert: template.Alert{Fingerprint: strconv.Itoa(i), Labels: template.KV{"room": room}}, Room: room,
		})
	}
	type part struct{ receiver, room, alerts string }
	got := func(parts []route.Part) (all []part) {
		for _, p := range parts {
			var alerts []string
			for _, a := range p.Notification.Alerts {
				alerts = append(alerts, a.Fingerprint)
			}
			all = append(all, part{p.Receiver, p.Notification.Room, strings.Join(alerts, "")})
		}
		return all
	}
	parts := tree.Cut(n)
	require.Equal(t, []part{{"room:1", "1", "13"}, {"room:2", "2", "2"}, {"ops", "", "04"}, {"second", "", "2"}}, got(parts))
	require.Equal(t, template.KV{"room": "1"}, parts[0].Notification.CommonLabels)
	require.Equal(t, []part{{"ops", "", "0"}, {"ops", "3", "4"}}, got(route.ByRoom(parts[2])))
	require.Equal(t, []part{{"room:1", "1", "13"}}, got(route.ByRoom(parts[0])), "the part of a room stays as it is")
	require.Empty(t, n.Room, "the whole is left as it was")
	require.Equal(t, []string{"room:2", "second"}, tree.Receivers(n.Alerts[2]))
}

func BenchmarkCut(b *testing.B) {
	n := payload(b, "group-50-firing")
	tree := newTree(b, route.Config{Receiver: "default", Routes: []route.Config{
		{Matchers: []string{`instance=~".*[02468]"`}, Receiver: "even"},
		{Matchers: []string{`team="pay"`}, Receiver: "pay"},
	}})
	b.ReportAllocs()
	for b.Loop() {
		tree.Cut(n)
	}
}

func newTree(tb testing.TB, cfg route.Config) *route.Tree {
	tb.Helper()
	tree, err := route.New(cfg, nil)
	require.NoError(tb, err)
	return tree
}

func payload(tb testing.TB, name string) *relay.Notification {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	require.NoError(tb, err)
	var n relay.Notification
	require.NoError(tb, json.Unmarshal(b, &n))
	return &n
}
