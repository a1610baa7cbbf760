package relay_test

import (
	"regexp"
	"testing"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
)

func TestReceiverName(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, sent, want string }{
		{"empty", ``, ``},
		{"plain", `ops`, `ops`},
		{"one letter", `o`, `o`},
		{"one special character", `\.`, `.`},
		{"quoted", `web\.hook/prod\+eu \(primary\)`, `web.hook/prod+eu (primary)`},
		{"backslash", `a\\b`, `a\b`},
		{"backslash before a special character", `a\\\.b`, `a\.b`},
		{"other script", `值班\(夜\)`, `值班(夜)`},
		{"not quoted: taken as it is", `web.hook`, `web.hook`},
		{"not quoted: a class of characters", `[a]`, `[a]`},
		{"not quoted: a lone backslash at the end", `a\`, `a\`},
		{"not quoted: an escape of another kind", `a\d`, `a\d`},
		{"not quoted: a flag", `(?i)ops`, `(?i)ops`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			n := relay.Notification{Data: template.Data{Receiver: tc.sent}}
			require.Equal(t, tc.want, n.ReceiverName())
		})
	}
}

func FuzzReceiverName(f *testing.F) {
	f.Add("web.hook/prod+eu (primary)")
	f.Add(`a\.b`)
	f.Add("\xff\x00[")
	f.Fuzz(func(t *testing.T, name string) {
		n := relay.Notification{Data: template.Data{Receiver: regexp.QuoteMeta(name)}}
		require.Equal(t, name, n.ReceiverName())
	})
}

func TestRoutedShowsTheRoutingRoom(t *testing.T) {
	t.Parallel()
	n := &relay.Notification{Alerts: relay.Alerts{
		{Room: "1", Snapshot: relay.Snapshot{RoomID: "1"}}, {Snapshot: relay.Snapshot{RoomID: "evidence", TraceID: "t"}},
	}}
	routed := n.Routed()
	require.Equal(t, "1", routed.Alerts[0].Snapshot.RoomID)
	require.Equal(t, relay.Snapshot{TraceID: "t"}, routed.Alerts[1].Snapshot)
	require.Equal(t, "evidence", n.Alerts[1].Snapshot.RoomID, "a copy was changed")
	n.Alerts = n.Alerts[:1]
	require.Same(t, n, n.Routed(), "nothing to change, nothing copied")
}

func TestSpeakOfRooms(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"":                             false,
		"#ops":                         false,
		"#room-10086":                  false, // a fixed name
		"#{{ .CommonLabels.team }}":    false,
		"#room-{{ .Snapshot.RoomID }}": true,
		"{{ index .CommonLabels \"room_id\" }}@example.org":            true,
		`{{ template "my.channel" . }}`:                                true,
		`{{ if eq .CommonLabels.room_id "1" }}#a{{ else }}#b{{ end }}`: true,
	} {
		require.Equal(t, want, relay.SpeakOfRooms("ops@example.org", text), text)
	}
}
