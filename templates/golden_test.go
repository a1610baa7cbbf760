package templates_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/templates"
)

var update = flag.Bool("update", false, "write the golden files anew")

// blocks are the texts of the four channels, in the order a golden file holds them.
func blocks() []string {
	return []string{
		"relay.headline", "relay.brief", "relay.notes", "relay.link",
		"relay.dingtalk.title", "relay.dingtalk.text", "relay.dingtalk.plain", "relay.dingtalk.card",
		"relay.wecom.title", "relay.wecom.text", "relay.wecom.plain", "relay.wecom.v2", "relay.wecom.card",
		"relay.slack.title", "relay.slack.titlelink", "relay.slack.pretext", "relay.slack.text", "relay.slack.fallback",
		"relay.slack.footer", "relay.slack.color", "relay.slack.username", "relay.slack.callbackid",
		"relay.slack.iconemoji", "relay.slack.iconurl", "relay.slack.messagetext",
		"relay.email.subject", "relay.email.text", "relay.email.html",
	}
}

func TestDefaultTexts(t *testing.T) {
	t.Parallel()
	for name, view := range goldenViews(t) {
		for _, locale := range templates.Locales() {
			t.Run(name+"/"+locale, func(t *testing.T) {
				t.Parallel()
				set := newSet(t)
				var all strings.Builder
				section := func(name, text string) { all.WriteString("======== " + name + "\n" + text + "\n") }
				for _, block := range blocks() {
					if strings.HasSuffix(block, ".html") {
						section(block, renderHTML(t, set, locale, `{{ template "`+block+`" . }}`, view))
						continue
					}
					section(block, render(t, set, locale, `{{ template "`+block+`" . }}`, view))
				}
				section("Plain", set.Plain(locale, view))
				compact, counted := set.Compact(locale, view, view.Notification().Alerts, 600)
				section("Compact in 600 bytes", compact)
				require.LessOrEqual(t, counted, len(view.Notification().Alerts))
				golden(t, name+"."+locale+".txt", all.String())
			})
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "go test ./templates -update writes it")
	require.Equal(t, string(want), got)
}

func goldenViews(t *testing.T) map[string]relay.View {
	t.Helper()
	firing := viewOf(withSnapshot(payload(t, "single-firing")))
	firing.Notification().Alerts[0].Change = relay.ChangeNew

	resolved := viewOf(withSnapshot(payload(t, "single-resolved")))
	resolved.Notification().Alerts[0].EndsAt = resolved.Notification().Alerts[0].StartsAt.Add(3*time.Hour + 12*time.Minute)
	resolved.Notification().Alerts[0].Change = relay.ChangeResolved

	// Three alerts of different requests in one room, one of them resolved.
	mixed := viewOf(withSnapshot(payload(t, "mixed-2")))
	for i, trace := range []string{"4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7a3ce929d0e0e4736", ""} {
		a := &mixed.Notification().Alerts[i]
		a.Snapshot.TraceID, a.Snapshot.TraceURL = trace, "http://jaeger:16686/trace/"+trace
	}
	mixed.Notification().Alerts[0].Change = relay.ChangeStill
	mixed.Notification().Alerts[1].Change = relay.ChangeNew

	fifty := viewOf(payload(t, "group-50-firing"))

	// The second of three parts, two alerts of fifty, the last ten only counted.
	part := viewOf(payload(t, "group-50-firing"))
	part.Alerts = part.Notification().Alerts[20:22]
	part.Part, part.Parts = 2, 3
	part.Omitted = part.Notification().Alerts[40:]
	part.Mentions = []string{"@13800000000"}

	truncated := viewOf(payload(t, "truncated-1"))
	truncated.Delivery.Tellings[0].Merged = 3
	truncated.Delivery.Tellings[0].Since = truncated.Delivery.Now.Add(-26 * time.Hour)
	truncated.Notification().NotificationReason = relay.ReasonRepeat

	late := viewOf(payload(t, "single-firing"))
	late.Delivery.Tellings[0].Late = true
	late.Delivery.Tellings[0].Since = late.Delivery.Now.Add(-26 * time.Hour)

	instead := viewOf(payload(t, "single-firing"))
	instead.Notification().InsteadOf = "ops/dingtalk/room-10086"

	// What waited so long that an alert went without a word.
	gone := viewOf(withSnapshot(payload(t, "mixed-2")))
	for i := range gone.Notification().Alerts {
		gone.Notification().Alerts[i].Change = relay.ChangeNew
	}
	lost := &gone.Notification().Alerts[2]
	lost.Change, lost.Status = relay.ChangeGone, relay.StatusResolved

	return map[string]relay.View{
		"gone": gone, "late": late, "instead": instead,
		"firing": firing, "resolved": resolved, "mixed": mixed, "fifty": fifty, "part": part, "truncated": truncated,
		"hostile": viewOf(hostileNotification(t)), "unicode": viewOf(payload(t, "unicode")),
		"bare": viewOf(payload(t, "empty-annotations")), "utf8-names": viewOf(payload(t, "utf8-label-names")),
	}
}

// withSnapshot gives every alert the context of one request.
func withSnapshot(n *relay.Notification) *relay.Notification {
	for i := range n.Alerts {
		n.Alerts[i].Snapshot = relay.Snapshot{
			TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", TraceURL: "http://jaeger:16686/trace/4bf92f3577b34da6a3ce929d0e0e4736",
			RoomID: "10086", UserAgent: "okhttp/4.12.0 (Android 15)", Extra: map[string]string{"order": "A-1001"},
		}
	}
	return n
}
