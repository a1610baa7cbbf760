package templates_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/templates"
)

// The fallback names each alert with all a reader needs, whatever a team did to the templates.
func TestPlainNamesEverything(t *testing.T) {
	t.Parallel()
	set := newSet(t, write(t, "team.tmpl", `{{ define "relay.title" }}{{ .Nosuch }}{{ end }}{{ define "relay.plain" }}broken{{ end }}`))
	n := withSnapshot(payload(t, "group-50-firing"))
	for _, locale := range append(templates.Locales(), "", "fr") {
		text := set.Plain(locale, viewOf(n))
		for _, a := range n.Alerts {
			require.Contains(t, text, a.Labels["instance"])
			require.Contains(t, text, a.Annotations["summary"])
		}
		require.Equal(t, 50, strings.Count(text, n.Alerts[0].Snapshot.TraceID+" http://"))
		require.Equal(t, 50, strings.Count(text, "10086"))
		require.Equal(t, 50, strings.Count(text, "14:56 CST"))
	}
}

// No view breaks the fallback.
func TestPlainCannotFail(t *testing.T) {
	t.Parallel()
	set := newSet(t)
	empty := &relay.Notification{}
	for _, v := range []relay.View{
		{Delivery: &relay.Delivery{Tellings: []relay.Telling{{Notification: empty}}}},
		viewOf(hostileNotification(t)),
		{Delivery: &relay.Delivery{Tellings: []relay.Telling{{Notification: &relay.Notification{Alerts: make(relay.Alerts, 3)}}}}},
	} {
		text := set.Plain("en", v)
		require.True(t, utf8.ValidString(text))
		require.NotContains(t, text, "%!")
		require.NotContains(t, text, "@")
	}
}

func TestCompact(t *testing.T) {
	t.Parallel()
	set := newSet(t)
	n := payload(t, "group-50-firing")

	all, counted := set.Compact("en", viewOf(n), n.Alerts, 100_000)
	require.Zero(t, counted)
	require.Len(t, strings.Split(all, "\n"), 50)
	require.Equal(t, all, firstOf(set.Compact("en", viewOf(n), n.Alerts, len(all))), "just fits")

	text, counted := set.Compact("en", viewOf(n), n.Alerts, 1000)
	require.LessOrEqual(t, len(text), 1000)
	lines := strings.Split(text, "\n")
	require.Equal(t, 50, len(lines)-1+counted)
	require.Contains(t, lines[0], "critical")
	require.Contains(t, lines[0], n.Alerts[0].Labels["alertname"])
	require.Contains(t, lines[0], n.Alerts[0].Labels["instance"])
	require.Contains(t, lines[0], n.Alerts[0].Annotations["summary"])
	require.Equal(t, fmt.Sprintf("… and %d more: %s/critical %d", counted, n.Alerts[0].Labels["alertname"], counted), lines[len(lines)-1])

	none, counted := set.Compact("en", viewOf(n), nil, 1000)
	require.Empty(t, none)
	require.Zero(t, counted)
}

// Where nothing is told in full, what is to be known of the notification stands below the lines, if there is room; and in
// a digest each line says what it differs in.
func TestCompactSaysWhatIsNotAsUsual(t *testing.T) {
	t.Parallel()
	set := newSet(t)
	v := viewOf(payload(t, "mixed-2"))
	n := v.Notification()
	n.TruncatedAlerts, n.InsteadOf = 30, "ops/dingtalk/room-10086"
	telling := &v.Delivery.Tellings[0]
	telling.Merged, telling.Late, telling.Since = 3, true, v.Delivery.Now.Add(-50*time.Hour)
	inFull, _ := set.Compact("en", v, n.Alerts, 2000)
	require.NotContains(t, inFull, "room-10086", "the alerts told in full are told with it")

	v.Alerts = relay.Alerts{}
	text, _ := set.Compact("en", v, n.Alerts, 2000)
	require.Equal(t, inFull+`
Alertmanager left out 30 more alerts (max_alerts)
Stands for 3 earlier notifications (since 11-18 13:10 CST)
Sent late: this is from 11-18 13:10 CST
⚠️ ops/dingtalk/room-10086 could not be told, so it comes here`, text)
	text, counted := set.Compact("en", v, n.Alerts, 300)
	require.LessOrEqual(t, len(text), 300)
	require.NotContains(t, text, "room-10086", "no room: the alerts come first")
	require.Less(t, counted, len(n.Alerts))

	n.Alerts[0].InsteadOf, n.Alerts[1].LateSince = "ops/wecom/live", v.Delivery.Now.Add(-50*time.Hour)
	n.Alerts[2].Change = relay.ChangeGone
	text, _ = set.Compact("en", v, n.Alerts, 2000)
	lines := strings.Split(text, "\n")
	require.Contains(t, lines[0], " (⚠️ ops/wecom/live could not be told, so it comes here)")
	require.Contains(t, lines[1], " (Sent late: this is from 11-18 13:10 CST)")
	require.Contains(t, lines[2], "⚪ no longer reported warning DiskSpaceLow db-3")
}

func firstOf(text string, _ int) string { return text }

func TestCompactCountsByNameAndSeverity(t *testing.T) {
	t.Parallel()
	n := &relay.Notification{}
	for i := range 37 {
		labels := template.KV{"alertname": "HighErrors", "severity": "critical"}
		if i%5 == 0 {
			labels = template.KV{"alertname": "DiskFull", "level": "warning"}
		}
		n.Alerts = append(n.Alerts, relay.Alert{Alert: template.Alert{Status: "firing", Labels: labels}})
	}
	v := relay.View{Delivery: &relay.Delivery{Tellings: []relay.Telling{{Notification: n}}}}
	text, counted := newSet(t).Compact("en", v, n.Alerts, 70)
	require.Equal(t, 37, counted)
	require.Equal(t, "… and 37 more: HighErrors/critical 29, DiskFull/warning 8", text)
}

// Whatever the alerts and the limit: the text keeps to the limit, and each alert has a line or is counted.
func TestCompactKeepsToItsLimit(t *testing.T) {
	t.Parallel()
	set := newSet(t)
	count := regexp.MustCompile(`… and (\d+) more`)
	rapid.Check(t, func(r *rapid.T) {
		n := &relay.Notification{}
		for range rapid.IntRange(0, 20).Draw(r, "alerts") {
			n.Alerts = append(n.Alerts, relay.Alert{Alert: template.Alert{
				Status:      rapid.SampledFrom([]string{"firing", "resolved"}).Draw(r, "status"),
				Labels:      template.KV{"alertname": rapid.String().Draw(r, "name"), "pod": rapid.String().Draw(r, "pod")},
				Annotations: template.KV{"summary": rapid.String().Draw(r, "summary")},
			}})
		}
		limit := rapid.IntRange(0, 2000).Draw(r, "limit")
		v := relay.View{Delivery: &relay.Delivery{Tellings: []relay.Telling{{Notification: n}}}}
		text, counted := set.Compact("en", v, n.Alerts, limit)
		require.LessOrEqual(r, len(text), limit)
		require.True(r, utf8.ValidString(text))
		if counted > 0 && limit > 100 {
			lines := strings.Split(text, "\n")
			require.Len(r, lines, len(n.Alerts)-counted+1)
			found := count.FindStringSubmatch(lines[len(lines)-1])
			require.NotNil(r, found, text)
			require.Equal(r, strconv.Itoa(counted), found[1])
		} else if counted == 0 && len(n.Alerts) > 0 {
			require.Len(r, strings.Split(text, "\n"), len(n.Alerts))
		}
	})
}

func TestDurationsAndTimes(t *testing.T) {
	t.Parallel()
	set := newSet(t)
	for d, want := range map[time.Duration][2]string{
		0:                                 {"0 秒", "0 seconds"},
		time.Second:                       {"1 秒", "1 second"},
		59 * time.Second:                  {"59 秒", "59 seconds"},
		14*time.Minute + 30*time.Second:   {"14 分钟", "14 minutes"},
		time.Hour:                         {"1 小时", "1 hour"},
		2*time.Hour + 5*time.Minute:       {"2 小时 5 分钟", "2 hours 5 minutes"},
		49 * time.Hour:                    {"2 天 1 小时", "2 days 1 hour"},
		400*24*time.Hour + 30*time.Minute: {"400 天", "400 days"},
	} {
		n := payload(t, "single-firing")
		n.Alerts[0].Duration = d
		if d == 0 {
			n.Alerts[0].StartsAt = n.Alerts[0].StartsAt.Add(time.Hour) // a clock ahead of ours: never negative
		}
		v := viewOf(n)
		v.Delivery.Now = payload(t, "single-firing").Alerts[0].StartsAt
		for i, locale := range templates.Locales() {
			require.Equal(t, want[i], render(t, set, locale, `{{ (index .Alerts 0).Duration | duration }}`, v))
		}
	}
	v := viewOf(payload(t, "single-firing"))
	for src, want := range map[string]string{
		`{{ localTime .Now }}`:                                             "2026-11-20 15:10:25 CST",
		`{{ clock .Now }}`:                                                 "15:10 CST",
		`{{ clock (toDate "2006-01-02" "2026-11-01") }}`:                   "11-01 08:00 CST",
		`{{ clock (toDate "2006-01-02" "2025-11-01") }}`:                   "2025-11-01 08:00 CST",
		`{{ span (toDate "2006-01-02" "2026-11-19") .Now }}`:               "11-19 08:00 – 11-20 15:10 CST",
		`{{ humanize 1234567 }} {{ humanize "0.00123" }} {{ humanize 0 }}`: "1.235M 1.23m 0",
		`{{ humanize1024 1048576 }} {{ humanizePercentage "0.12345" }}`:    "1Mi 12.35%",
		`{{ humanizeDuration 90 }} {{ now | date "15:04" }}`:               "1m 30s 07:10",
	} {
		require.Equal(t, want, render(t, set, "en", src, v), src)
	}
}
