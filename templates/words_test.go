package templates_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/templates"
)

// wordsOf are the words of a locale as they are shipped, by key.
func wordsOf(t *testing.T, locale string) map[string]string {
	t.Helper()
	words := map[string]string{}
	define := regexp.MustCompile(`\{\{ define "relay\.word\.` + locale + `\.([^"]+)" \}\}(.*?)\{\{ end \}\}`)
	for _, m := range define.FindAllStringSubmatch(read(t, "words."+locale+".tmpl"), -1) {
		words[m[1]] = m[2]
	}
	return words
}

// Each word is there in each language, with the same things to fill in. Severities are written in English anyway.
func TestEveryWordIsInEveryLanguage(t *testing.T) {
	t.Parallel()
	fillers := regexp.MustCompile(`%[a-z]`)
	all := map[string]map[string]string{}
	for _, locale := range templates.Locales() {
		all[locale] = wordsOf(t, locale)
		require.NotEmpty(t, all[locale])
	}
	for locale, words := range all {
		for key, word := range words {
			if strings.HasPrefix(key, "severity.") {
				continue
			}
			for other, translations := range all {
				translation, ok := translations[key]
				require.True(t, ok, "%s has the word %q, %s has not", locale, key, other)
				wanted, had := fillers.FindAllString(word, -1), fillers.FindAllString(translation, -1)
				slices.Sort(wanted)
				slices.Sort(had)
				require.Equal(t, wanted, had, "%s in %s and %s", key, locale, other)
			}
		}
	}
}

// Each word is written in its language: names that are the same in all of them are the exception.
func TestWordsAreOfTheirLanguage(t *testing.T) {
	t.Parallel()
	names := regexp.MustCompile(`Alertmanager|Webhook|max_alerts|%[a-z]`)
	latin, chinese := regexp.MustCompile(`[A-Za-z]`), regexp.MustCompile(`\p{Han}`)
	for key, word := range wordsOf(t, relay.LocaleChinese) {
		require.NotRegexp(t, latin, names.ReplaceAllString(word, ""), key)
	}
	for key, word := range wordsOf(t, relay.LocaleEnglish) {
		require.NotRegexp(t, chinese, word, key)
	}
}

// Each word is said somewhere: by the default texts, or by the code. One that is asked for and missing is a fault at load.
func TestEveryWordIsUsed(t *testing.T) {
	t.Parallel()
	var sources strings.Builder
	for _, folder := range []string{".", "../receivers/wecom", "../internal/robots"} {
		files, err := os.ReadDir(folder)
		require.NoError(t, err)
		for _, f := range files {
			isText := strings.HasSuffix(f.Name(), ".tmpl") && !strings.HasPrefix(f.Name(), "words.")
			isCode := strings.HasSuffix(f.Name(), ".go") && !strings.HasSuffix(f.Name(), "_test.go")
			if isText || isCode {
				sources.WriteString(read(t, folder+"/"+f.Name()))
			}
		}
	}
	source := sources.String()
	computed := []string{ // from a change, an origin, a number of units
		"new", "still", "trace", "client", "trace_webhook", "client_webhook",
		"day", "days", "hour", "hours", "minute", "minutes", "second", "seconds",
	}
	for key := range wordsOf(t, relay.LocaleEnglish) {
		used := strings.Contains(source, `"`+key+`"`) || slices.Contains(computed, key)
		require.True(t, used, "nobody says the word %q", key)
	}
}

// In a message all of whose labels and annotations are Chinese, no English word is left, in the forms of every channel
// and in what stands in for them; and the other way round.
func TestMessagesAreInOneLanguage(t *testing.T) {
	t.Parallel()
	set := newSet(t)
	latin := regexp.MustCompile(`[A-Za-z]{2,}`)
	allowed := regexp.MustCompile(`(?s)<style.*?</style>|<!--.*?-->|https?://\S*|Alertmanager|max_alerts|Webhook|CST|&nbsp;|<[^>]*>|"(type|text|section|mrkdwn|context|elements)"`)
	chinese := regexp.MustCompile(`\p{Han}`)
	for name, v := range oneLanguageViews() {
		for _, block := range blocks() {
			switch block {
			case "relay.slack.color", "relay.slack.titlelink", "relay.link":
				continue // no text
			}
			src := `{{ template "` + block + `" . }}`
			text, english := "", ""
			if strings.HasSuffix(block, ".html") {
				text = renderHTML(t, set, relay.LocaleChinese, src, v("磁盘空间不足", "数据库", "严重"))
				english = renderHTML(t, set, relay.LocaleEnglish, src, v("DiskFull", "database", "critical"))
			} else {
				text = render(t, set, relay.LocaleChinese, src, v("磁盘空间不足", "数据库", "严重"))
				english = render(t, set, relay.LocaleEnglish, src, v("DiskFull", "database", "critical"))
			}
			require.NotRegexp(t, latin, allowed.ReplaceAllString(text, " "), "%s of %s", block, name)
			require.NotRegexp(t, chinese, english, "%s of %s", block, name)
		}
		view := v("磁盘空间不足", "数据库", "严重")
		plain := set.Plain(relay.LocaleChinese, view)
		require.NotRegexp(t, latin, allowed.ReplaceAllString(plain, " "), "Plain of %s", name)
		compact, _ := set.Compact(relay.LocaleChinese, view, view.Notification().Alerts, 90)
		require.NotRegexp(t, latin, allowed.ReplaceAllString(compact, " "), "Compact of %s", name)
		view = v("DiskFull", "database", "critical")
		require.NotRegexp(t, chinese, set.Plain(relay.LocaleEnglish, view), "Plain of %s", name)
		compact, _ = set.Compact(relay.LocaleEnglish, view, view.Notification().Alerts, 90)
		require.NotRegexp(t, chinese, compact, "Compact of %s", name)
	}
}

// What is only counted is counted by severities in the words of the language, as everywhere in a message.
func TestCountsAreInTheLanguage(t *testing.T) {
	t.Parallel()
	set := newSet(t)
	v := viewOf(payload(t, "group-50-firing"))
	v.Omitted = v.Notification().Alerts
	for locale, want := range map[string]string{relay.LocaleChinese: "InstanceDown/严重 50", relay.LocaleEnglish: "InstanceDown/critical 50"} {
		require.Equal(t, want, render(t, set, locale, "{{ .OmittedCounts }}", v))
		require.Contains(t, set.Plain(locale, v), want)
		compact, _ := set.Compact(locale, v, v.Omitted, 60)
		require.Contains(t, compact, want)
	}
}

// receivedAt is when the views of these tests began.
var receivedAt = time.Date(2026, 11, 18, 3, 4, 5, 0, time.UTC)

// oneLanguageViews make views in which everything there is a word for is said, in the language of their arguments.
func oneLanguageViews() map[string]func(alert, label, severity string) relay.View {
	n := func(alert, label, severity string, changes ...relay.Change) relay.View {
		note := &relay.Notification{}
		note.Status, note.ExternalURL = relay.StatusFiring, "http://192.0.2.1"
		note.GroupLabels = template.KV{"alertname": alert}
		note.CommonLabels = template.KV{"alertname": alert, "severity": severity}
		for i, change := range changes {
			a := relay.Alert{Change: change, Alert: template.Alert{
				Status: relay.StatusFiring, StartsAt: receivedAt, GeneratorURL: "http://192.0.2.2",
				Labels:      template.KV{"alertname": alert, "severity": severity, label: label + strings.Repeat("一", 1+i)},
				Annotations: template.KV{"summary": alert, "runbook_url": "http://192.0.2.3"},
				Fingerprint: string(rune('0' + i)),
			}}
			if severity == "critical" {
				a.Labels[label] = label + strings.Repeat("x", 1+i)
			}
			if change == relay.ChangeResolved || change == relay.ChangeGone {
				a.Status, a.EndsAt = relay.StatusResolved, receivedAt.Add(26*time.Hour)
			}
			a.Snapshot = relay.Snapshot{TraceID: "1", RoomID: "2", UserAgent: "3"}
			if i%2 == 1 {
				a.Snapshot.Sources = map[string]relay.Source{"trace_id": relay.SourceRequest, "user_agent": relay.SourceRequest}
			}
			note.Alerts = append(note.Alerts, a)
		}
		note.Status = note.Alerts.Status()
		return relay.View{Delivery: &relay.Delivery{
			Tellings: []relay.Telling{{Notification: note, Since: receivedAt}}, Now: receivedAt.Add(50 * time.Hour),
		}}
	}
	all := []relay.Change{relay.ChangeNew, relay.ChangeStill, relay.ChangeResolved, relay.ChangeGone}
	return map[string]func(alert, label, severity string) relay.View{
		"one that fires":   func(a, l, s string) relay.View { return n(a, l, s, relay.ChangeNew) },
		"one that is over": func(a, l, s string) relay.View { return n(a, l, s, relay.ChangeResolved) },
		"one of the webhook's": func(a, l, s string) relay.View {
			v := n(a, l, s, relay.ChangeNew, relay.ChangeNew)
			v.Notification().Alerts = v.Notification().Alerts[1:]
			return v
		},
		"all there is to say": func(a, l, s string) relay.View {
			v := n(a, l, s, all...)
			v.Notification().NotificationReason = relay.ReasonRepeat
			v.Notification().TruncatedAlerts, v.Notification().InsteadOf = 7, "1/2/3"
			v.Delivery.Tellings[0].Merged, v.Delivery.Tellings[0].Late = 3, true
			v.Part, v.Parts, v.Omitted = 2, 3, v.Notification().Alerts
			return v
		},
	}
}
