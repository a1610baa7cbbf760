package receiverstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
)

// Stories are what a golden request shows of each message type.
func Stories() []string {
	return []string{
		"firing", "resolved", "mixed", "truncated", "50-alerts", "merged", "digest", "hostile", "unicode", "cut", "plain", "late",
	}
}

// Story is the delivery of a story.
func Story(t *testing.T, name string) relay.Delivery {
	t.Helper()
	switch name {
	case "firing", "resolved":
		return Delivery(t, "single-"+name)
	case "mixed":
		return Delivery(t, "mixed-2")
	case "truncated":
		return Delivery(t, "truncated-1")
	case "50-alerts":
		return Delivery(t, "group-50-firing")
	case "hostile":
		return Hostile(t)
	case "unicode":
		return Delivery(t, "unicode")
	case "cut":
		return Delivery(t, "big-annotation")
	case "merged":
		d := Delivery(t, "mixed-2")
		d.Tellings[0].Merged, d.Tellings[0].Since = 3, Now.Add(-40*time.Minute)
		return d
	case "plain":
		d := Delivery(t, "mixed-2")
		d.Plain = true
		return d
	case "digest":
		d := Delivery(t, "single-firing")
		for _, other := range []string{"html-chars", "group-50-firing", "single-resolved"} {
			d.Tellings = append(d.Tellings, Delivery(t, other).Tellings...)
		}
		d.Tellings[0].Merged, d.Tellings[0].Notification.TruncatedAlerts = 3, 30
		d.Tellings[1].Notification.InsteadOf = Elsewhere
		d.Tellings[3].Late, d.Tellings[3].Since = true, longAgo()
		return d
	case "late":
		d := Delivery(t, "mixed-2")
		d.Tellings[0].Late, d.Tellings[0].Since, d.Tellings[0].Merged = true, longAgo(), 3
		n := d.Notification()
		n.InsteadOf, n.TruncatedAlerts = Elsewhere, 30
		lose(&n.Alerts[2])
		return d
	}
	require.Fail(t, "no such story", name)
	return relay.Delivery{}
}

// Elsewhere is an integration that could not be told, so that the stories digest and late come to its fallback.
const Elsewhere = "ops/dingtalk/room-10086"

// lose makes an alert one that is no longer reported.
func lose(a *relay.Alert) { a.Change, a.Status = relay.ChangeGone, relay.StatusResolved }

// longAgo is when what is late in these stories was received.
func longAgo() time.Time { return Now.Add(-50 * time.Hour) }

// GoldenStories compares what an integration makes of every story, in both languages and in at most two parts, with a folder
// below testdata, or writes that. Build makes it from what all integrations can be told.
func GoldenStories(t *testing.T, folder string, update bool, build func(relay.Common) relay.Setup) {
	t.Helper()
	for _, locale := range []string{relay.LocaleChinese, relay.LocaleEnglish} {
		setup := build(relay.Common{Locale: locale, MaxParts: 2})
		for _, story := range Stories() {
			t.Run(folder+"/"+story+"/"+locale, func(t *testing.T) {
				t.Parallel()
				Golden(t, filepath.Join(folder, story+"."+locale), Render(t, setup, Story(t, story)), update)
			})
		}
	}
}

// Golden compares the bodies of messages, which are JSON, with testdata/<name>.golden.json, or writes that.
func Golden(t *testing.T, name string, messages []relay.Message, update bool) {
	t.Helper()
	var bodies bytes.Buffer
	for _, m := range messages {
		require.NoError(t, json.Indent(&bodies, m.Body, "", "  "))
		bodies.WriteByte('\n')
	}
	golden := filepath.Join("testdata", name+".golden.json")
	if update {
		require.NoError(t, os.MkdirAll(filepath.Dir(golden), 0o750))
		require.NoError(t, os.WriteFile(golden, bodies.Bytes(), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err, "go test -update writes it")
	require.Equal(t, string(want), bodies.String())
}

// Scene is a delivery for the pictures of the documentation: an alert as a reader on call would meet it.
func Scene(t *testing.T) relay.Delivery {
	t.Helper()
	d := Delivery(t, "single-firing")
	n := d.Notification()
	n.GroupLabels = map[string]string{"alertname": "APIErrorRateHigh", "service": "order-api"}
	a := &n.Alerts[0]
	a.Labels = map[string]string{
		"alertname": "APIErrorRateHigh", "severity": "critical", "service": "order-api", "cluster": "cn-east-1",
	}
	a.Annotations = map[string]string{
		"summary":     "12.4 % of orders fail, the limit is 5 %",
		"description": "POST /api/v1/orders answered 502 to 1,284 requests in 5 minutes.",
		"runbook_url": "https://runbooks.example.com/APIErrorRateHigh",
	}
	a.Snapshot.UserAgent = "LiveApp/8.2.1 (iPhone17,2; iOS 26.1)"
	n.CommonLabels, n.CommonAnnotations = a.Labels, a.Annotations
	return d
}

// SceneOver is the delivery that says how the scene ended, as it follows the handle of what was said before.
func SceneOver(t *testing.T, previous relay.Ref) relay.Delivery {
	t.Helper()
	d := Scene(t)
	n := d.Notification()
	a := &n.Alerts[0]
	n.Status, a.Status, a.EndsAt = relay.StatusResolved, relay.StatusResolved, Now
	a.Change, a.Duration = relay.ChangeResolved, Now.Sub(a.StartsAt)
	d.ID, d.Previous = d.ID+"-over", previous
	return d
}

// Scenes is a delivery of three such alerts, of which one is over.
func Scenes(t *testing.T) relay.Delivery {
	t.Helper()
	scene, d := Scene(t), Delivery(t, "mixed-2")
	one := scene.Notification()
	n := d.Notification()
	n.GroupLabels, n.CommonAnnotations = one.GroupLabels, map[string]string{"runbook_url": one.Alerts[0].Annotations["runbook_url"]}
	n.CommonLabels = maps.Clone(one.CommonLabels)
	delete(n.CommonLabels, "cluster")
	for i, summary := range []string{"12.4 % of orders fail", "5.1 % of orders fail", "9.8 % of orders fail"} {
		a := &n.Alerts[i]
		a.Labels = maps.Clone(one.CommonLabels)
		a.Labels["cluster"] = fmt.Sprintf("cn-east-%d", i+1)
		a.Annotations = map[string]string{"summary": summary, "runbook_url": n.CommonAnnotations["runbook_url"]}
		a.Snapshot = one.Alerts[0].Snapshot
	}
	return d
}

// RequireMatrix fails when a message type lacks the golden request of a story in a language, or has one of none: folders
// are those of testdata, one for each message type.
func RequireMatrix(t *testing.T, folders ...string) {
	t.Helper()
	var wanted []string
	for _, story := range Stories() {
		for _, locale := range []string{relay.LocaleEnglish, relay.LocaleChinese} {
			wanted = append(wanted, story+"."+locale+".golden.json")
		}
	}
	for _, folder := range folders {
		files, err := os.ReadDir(filepath.Join("testdata", folder))
		require.NoError(t, err)
		var names []string
		for _, f := range files {
			names = append(names, f.Name())
		}
		require.ElementsMatch(t, wanted, names, folder)
	}
}
