package enrich_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/enrich"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/snapshots"
)

var start = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

type (
	kv    = template.KV
	saved = map[relay.AlertKey]relay.Saved
	marks = map[string]relay.Source
)

func alert(fingerprint string, labels, annotations kv) relay.Alert {
	return relay.Alert{Alert: template.Alert{
		Fingerprint: fingerprint, StartsAt: start, Status: relay.StatusFiring, Labels: labels, Annotations: annotations,
	}}
}

func TestFieldByField(t *testing.T) {
	t.Parallel()
	cfg := enrich.Config{Fields: map[string][]string{"tenant": {"tenant", "org"}, "user_agent": {"client", "ua"}}}
	upstream := relay.Snapshot{TraceID: "request", UserAgent: "Alertmanager/0.34.2"}
	for _, tc := range []struct {
		name    string
		alert   relay.Alert
		saved   relay.Saved
		request relay.Snapshot
		room    string
		want    relay.Snapshot
	}{
		{name: "nothing is known", alert: alert("a", nil, nil)},
		{
			name:  "labels and annotations",
			alert: alert("a", kv{"trace_id": "t", "org": "shop"}, kv{"room_id": "10086", "ua": "WeChat/8"}),
			want: relay.Snapshot{
				TraceID: "t", RoomID: "10086", UserAgent: "WeChat/8", Extra: map[string]string{"tenant": "shop"},
				Sources: marks{"trace_id": "alert", "room_id": "alert", "user_agent": "alert", "tenant": "alert"},
			},
		},
		{
			name:  "the first name wins, a label before an annotation, an empty value is none",
			alert: alert("a", kv{"trace_id": "", "traceID": "label", "org": "second"}, kv{"traceID": "annotation", "tenant": "first"}),
			want: relay.Snapshot{
				TraceID: "label", Extra: map[string]string{"tenant": "first"},
				Sources: marks{"trace_id": "alert", "tenant": "alert"},
			},
		},
		{
			name:  "what was saved fills what the alert lacks",
			alert: alert("a", kv{"trace_id": "now"}, nil),
			saved: relay.Saved{Snapshot: relay.Snapshot{
				TraceID: "then", UserAgent: "App/1", Extra: map[string]string{"tenant": "shop"}, Time: start,
			}},
			want: relay.Snapshot{
				TraceID: "now", UserAgent: "App/1", Extra: map[string]string{"tenant": "shop"}, Time: start,
				Sources: marks{"trace_id": "alert", "user_agent": "saved", "tenant": "saved"},
			},
		},
		{
			name: "the request comes last, marked", alert: alert("a", nil, kv{"client": "App/1"}), request: upstream, room: "7",
			want: relay.Snapshot{
				TraceID: "request", UserAgent: "App/1", RoomID: "7",
				Sources: marks{"trace_id": "request", "user_agent": "alert", "room_id": "request"},
			},
		},
		{
			name: "only the request", alert: alert("a", nil, nil), request: upstream,
			want: relay.Snapshot{
				TraceID: "request", UserAgent: "Alertmanager/0.34.2",
				Sources: marks{"trace_id": "request", "user_agent": "request"},
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			e := newEnricher(t, cfg)
			known := saved{}
			if !tc.saved.Snapshot.IsZero() {
				known[tc.alert.Key()] = tc.saved
			}
			n := &relay.Notification{Alerts: relay.Alerts{tc.alert}}
			e.Enrich(t.Context(), n, known, tc.request, tc.room)
			require.Equal(t, tc.want, n.Alerts[0].Snapshot)
		})
	}
}

// TestRoom follows one firing through two webhooks: the room of the second is that of the first.
func TestRoom(t *testing.T) {
	t.Parallel()
	type webhook struct {
		labels, annotations kv
		room                string // ?room_id=
		want                string
	}
	for _, tc := range []struct {
		name          string
		first, second webhook
	}{
		{"no room", webhook{}, webhook{}},
		{"from a label", webhook{labels: kv{"room_id": "1"}, want: "1"}, webhook{labels: kv{"room_id": "1"}, want: "1"}},
		{
			"an annotation that changes: pinned",
			webhook{annotations: kv{"room_id": "1"}, want: "1"},
			webhook{annotations: kv{"room_id": "2"}, want: "1"},
		},
		{"an annotation that goes: pinned", webhook{annotations: kv{"room_id": "1"}, want: "1"}, webhook{want: "1"}},
		{"an annotation that comes: pinned, empty", webhook{}, webhook{annotations: kv{"room_id": "2"}}},
		{"from the URL", webhook{room: "1", want: "1"}, webhook{room: "1", want: "1"}},
		{"from the URL, then without", webhook{room: "1", want: "1"}, webhook{want: "1"}},
		{"two URLs with two rooms", webhook{room: "1", want: "1"}, webhook{room: "2", want: "2"}},
		{"one URL without a room, one with", webhook{}, webhook{room: "2", want: "2"}},
		{
			"the alert's own before that of the URL",
			webhook{labels: kv{"room_id": "1"}, room: "9", want: "1"},
			webhook{labels: kv{"room_id": "1"}, room: "8", want: "1"},
		},
		{"an id too long is none", webhook{labels: kv{"room_id": strings.Repeat("1", 999)}}, webhook{}},
		{"control characters", webhook{room: " 1\x00\n", want: "1"}, webhook{want: "1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			e := newEnricher(t, enrich.Config{})
			known := saved{}
			for i, w := range []webhook{tc.first, tc.second} {
				n := &relay.Notification{Alerts: relay.Alerts{alert("a", w.labels, w.annotations)}}
				fresh := e.Enrich(t.Context(), n, known, relay.Snapshot{}, w.room)
				require.Equal(t, w.want, n.Alerts[0].Room, "webhook %d", i+1)
				require.Len(t, fresh, 1-i, "pinned once, also when empty")
				if i == 0 {
					known = fresh
				}
			}
		})
	}
}

// TestResolvedShowsWhatFiringShowed, the request's own context aside.
func TestResolvedShowsWhatFiringShowed(t *testing.T) {
	t.Parallel()
	e := newEnricher(t, enrich.Config{})
	firing := &relay.Notification{Alerts: relay.Alerts{
		alert("a", kv{"alertname": "X"}, kv{"trace_id": "t1", "user_agent": "App/1"}), alert("b", nil, nil),
	}}
	fresh := e.Enrich(t.Context(), firing, nil, relay.Snapshot{TraceID: "upstream", UserAgent: "Alertmanager/0.34.2"}, "7")
	require.Equal(t, saved{
		{Fingerprint: "a", StartsAt: start}: {Room: "7", Snapshot: relay.Snapshot{TraceID: "t1", UserAgent: "App/1"}},
		{Fingerprint: "b", StartsAt: start}: {Room: "7"},
	}, fresh, "what the request itself says is not saved")

	resolved := &relay.Notification{Alerts: relay.Alerts{alert("a", kv{"alertname": "X"}, nil), alert("b", nil, nil)}}
	resolved.Alerts[0].StartsAt = start.In(time.FixedZone("", 8*3600)) // the same instant
	require.Empty(t, e.Enrich(t.Context(), resolved, fresh, relay.Snapshot{}, ""))
	require.Equal(t, relay.Snapshot{
		TraceID: "t1", UserAgent: "App/1", RoomID: "7",
		Sources: marks{"trace_id": "saved", "user_agent": "saved", "room_id": "saved"},
	}, resolved.Alerts[0].Snapshot)
	require.Equal(t, "7", resolved.Alerts[1].Room)
}

func TestValuesAreBoundedAndClean(t *testing.T) {
	t.Parallel()
	e := newEnricher(t, enrich.Config{MaxValueLength: 16})
	for _, tc := range []struct{ name, value, want string }{
		{"plain", "Mozilla/5.0 (X)", "Mozilla/5.0 (X)"},
		{"as long as may be", strings.Repeat("a", 16), strings.Repeat("a", 16)},
		{"too long", strings.Repeat("a", 17), strings.Repeat("a", 13) + "…"},
		{"far too long", strings.Repeat("a", 1<<20), strings.Repeat("a", 13) + "…"},
		{"never in the middle of a character", strings.Repeat("微", 9), strings.Repeat("微", 4) + "…"},
		{"control characters and line ends", "a\x00b\r\nc\td\x1b[0m", "abcd[0m"},
		{"marks of writing direction", "a\u202eb\u2066c\u200fd", "abcd"},
		{"line separators", "a\u2028b", "a b"},
		{"not UTF-8", "a\xff\xfeb", "ab"},
		{"only white space", " \t\n ", ""},
		{"emoji", "ok 👍", "ok 👍"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			n := &relay.Notification{Alerts: relay.Alerts{alert("a", kv{"user_agent": tc.value}, nil)}}
			e.Enrich(t.Context(), n, nil, relay.Snapshot{}, "")
			require.Equal(t, tc.want, n.Alerts[0].Snapshot.UserAgent)
		})
	}
}

func FuzzValue(f *testing.F) {
	f.Add("Mozilla/5.0", 8)
	f.Add("微信\x00\u202e", 5)
	f.Fuzz(func(t *testing.T, value string, limit int) {
		limit = 4 + (limit&0xff+0xff)%0xff
		e := newEnricher(t, enrich.Config{MaxValueLength: limit})
		n := &relay.Notification{Alerts: relay.Alerts{alert("a", kv{"user_agent": value}, nil)}}
		e.Enrich(context.Background(), n, nil, relay.Snapshot{}, "")
		once := n.Alerts[0].Snapshot.UserAgent
		require.LessOrEqual(t, len(once), limit)
		require.Equal(t, strings.ToValidUTF8(once, ""), once)
		require.False(t, strings.ContainsAny(once, "\x00\r\n\t\u202e\u2028"))

		n = &relay.Notification{Alerts: relay.Alerts{alert("a", kv{"user_agent": once}, nil)}}
		e.Enrich(context.Background(), n, nil, relay.Snapshot{}, "")
		require.Equal(t, once, n.Alerts[0].Snapshot.UserAgent, "cleaning what is clean changes nothing")
	})
}

func TestTraceURL(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, template, trace, want string }{
		{"no template", "", "abc", ""},
		{"no trace", "http://jaeger:16686/trace/{{ .TraceID }}", "", ""},
		{"in the path", "http://jaeger:16686/trace/{{ .TraceID }}", "abc", "http://jaeger:16686/trace/abc"},
		{
			"hostile", "http://jaeger:16686/trace/{{ .TraceID }}?uiFind={{ .TraceID }}", `../x?a=b&c d"<é`,
			"http://jaeger:16686/trace/..%2Fx%3Fa%3Db%26c%20d%22%3C%C3%A9?uiFind=..%2Fx%3Fa%3Db%26c%20d%22%3C%C3%A9",
		},
		{"an extra field", "http://t/{{ .Extra.tenant }}/{{ .TraceID }}", "abc", "http://t/s%2Fhop/abc"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			e := newEnricher(t, enrich.Config{TraceURL: tc.template, Fields: map[string][]string{"tenant": {"tenant"}}})
			n := &relay.Notification{Alerts: relay.Alerts{alert("a", kv{"trace_id": tc.trace, "tenant": "s/hop"}, nil)}}
			e.Enrich(t.Context(), n, nil, relay.Snapshot{}, "")
			require.Equal(t, tc.want, n.Alerts[0].Snapshot.TraceURL)
		})
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		cfg  enrich.Config
		want string // the start of path: message; empty for a good one
	}{
		{"empty", enrich.Config{}, ""},
		{"good", enrich.Config{
			Fields: map[string][]string{"trace_id": {"trace"}, "tenant": {"org"}}, TraceURL: "https://t/{{ .TraceID }}",
		}, ""},
		{"not a template", enrich.Config{TraceURL: "http://t/{{ .TraceID"}, "snapshots.trace_url: template: trace_url:1: "},
		{"an unknown field", enrich.Config{TraceURL: "http://t/{{ .Trace }}"}, "snapshots.trace_url: template: trace_url:1:"},
		{"not a link", enrich.Config{TraceURL: "jaeger/{{ .TraceID }}"}, `snapshots.trace_url: makes "jaeger/`},
		{"not a link to click", enrich.Config{TraceURL: "javascript:{{ .TraceID }}"}, `snapshots.trace_url: makes "javascript:`},
		{"no name", enrich.Config{Fields: map[string][]string{"tenant": {"org", ""}}}, "snapshots.fields.tenant[1]: expected"},
		{"no field", enrich.Config{Fields: map[string][]string{"": {"org"}}}, "snapshots.fields: a field needs a name"},
		{"a set without labels", enrich.Config{Lookup: [][]string{{"job"}, {}}}, "snapshots.lookup[1]: expected the names of labels"},
		{"a label without name", enrich.Config{Lookup: [][]string{{"job", ""}}}, "snapshots.lookup[0][1]: expected the name"},
		{"too many sets", enrich.Config{Lookup: slices.Repeat([][]string{{"job"}}, 17)}, "snapshots.lookup: 17 sets are more than 16"},
		{"no time", enrich.Config{MaxAge: -1}, "snapshots.max_age: must be more than 0"},
		{"no life", enrich.Config{TTL: -1}, "snapshots.ttl: must be more than 0"},
		{"gone before it is too old", enrich.Config{TTL: model.Duration(time.Minute)}, "snapshots.ttl: is shorter than max_age"},
		{"negative", enrich.Config{MaxValueLength: -1}, "snapshots.max_value_length: must not be negative"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := fault.New()
			tc.cfg.Validate(f.In("snapshots"))
			if tc.want == "" {
				require.Empty(t, f.All())
				return
			}
			require.Len(t, f.All(), 1)
			require.True(t, strings.HasPrefix(f.All()[0].Path+": "+f.All()[0].Message, tc.want), "%v", f.All())
		})
	}
}

func newEnricher(tb testing.TB, cfg enrich.Config) *enrich.Enricher {
	tb.Helper()
	e, err := enrich.New(cfg, enrich.Options{})
	require.NoError(tb, err)
	return e
}

func BenchmarkEnrich(b *testing.B) {
	cfg := enrich.Config{TraceURL: "http://jaeger:16686/trace/{{ .TraceID }}"}
	request := relay.Snapshot{UserAgent: "Alertmanager/0.34.2"}
	whole := kv{"trace_id": "0af7651916cd43dd", "room_id": "10086", "user_agent": "WeChat/8"}
	for _, bc := range []struct {
		name        string
		annotations kv
		lookups     []enrich.Source
	}{
		{"nothing known", nil, nil},
		{"all known", whole, []enrich.Source{enrich.FromStore(cfg, emptyStore{})}},
		{"looked up", nil, []enrich.Source{enrich.FromStore(cfg, emptyStore{})}},
	} {
		for _, alerts := range []int{1, 50, 500} {
			b.Run(fmt.Sprintf("%d/%s", alerts, bc.name), func(b *testing.B) {
				e, err := enrich.New(cfg, enrich.Options{Lookups: bc.lookups})
				require.NoError(b, err)
				n := &relay.Notification{}
				for i := range alerts {
					instance := fmt.Sprintf("10.0.%d.%d:8080", i/250, i%250)
					n.Alerts = append(n.Alerts, alert("a", kv{"job": "api", "service": "pay", "instance": instance}, bc.annotations))
				}
				b.ReportAllocs()
				for b.Loop() {
					e.Enrich(b.Context(), n, nil, request, "")
				}
			})
		}
	}
}

// emptyStore is a store in which nothing was recorded, so that only the asking costs.
type emptyStore struct{}

func (emptyStore) Record(context.Context, []snapshots.Entry, time.Duration) error { return nil }

func (emptyStore) Find(_ context.Context, keys []snapshots.Key) ([]relay.Snapshot, error) {
	return make([]relay.Snapshot, len(keys)), nil
}
