package slack_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/receivers/receiverstest"
)

// explicit is an item that a real Alertmanager and the relay both read. It sets every text, with functions that both have.
const explicit = `
send_resolved: true
channel: '#{{ .CommonLabels.severity }}'
username: '{{ .Receiver }}'
icon_emoji: ':bell:'
icon_url: 'https://example.com/icon.png'
link_names: true
color: '{{ if eq .Status "firing" }}danger{{ else }}good{{ end }}'
title: '{{ template "slack.default.title" . }}'
title_link: '{{ template "slack.default.titlelink" . }}'
pretext: '{{ .CommonAnnotations.SortedPairs.Values | join " " }}'
text: |-
  {{ range .Alerts }}*{{ .Status | toUpper }}* {{ .Labels.instance }} <{{ .GeneratorURL }}|source>
  {{ range .Annotations.SortedPairs }}{{ .Name }}: {{ .Value }}
  {{ end }}{{ end }}
fallback: '{{ template "slack.default.fallback" . }}'
callback_id: 'cb'
footer: '{{ .ExternalURL }} {{ reReplaceAll "a" "b" "banana" }}'
image_url: 'https://example.com/i.png'
thumb_url: ''
short_fields: true
fields:
  - {title: 'Severity <b>', value: '{{ .CommonLabels.severity }}'}
  - {title: Alerts, value: '{{ len .Alerts.Firing }}/{{ len .Alerts }}', short: false}
actions:
  - {type: button, text: Runbook, url: 'https://example.com/{{ .GroupLabels.alertname }}', name: dropped}
  - {type: button, text: Silence, name: silence, value: '{{ .GroupLabels.alertname }}', style: danger, confirm: {title: Sure, text: Silence it, ok_text: 'Yes', dismiss_text: 'No'}}
mrkdwn_in: [text, pretext]
`

// TestSameRequestAsAlertmanager lets a real Alertmanager post a group to Slack and to a webhook. What the relay makes of
// the webhook with the same item must be the same request.
func TestSameRequestAsAlertmanager(t *testing.T) {
	t.Parallel()
	for _, version := range parts.Alertmanagers() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			binary := parts.Binary(t, version)
			got := make(chan [2]string, 10) // path, body
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got <- [2]string{r.URL.Path, string(body)}
				_, _ = io.WriteString(w, "ok")
			}))
			t.Cleanup(server.Close)
			am := parts.StartAlertmanager(t, binary, `
route: {receiver: 'team "a"', group_by: [alertname], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}
receivers:
  - name: 'team "a"'
    webhook_configs: [{url: '`+server.URL+`/webhook'}]
    slack_configs:
      - api_url: `+server.URL+`/slack
`+indent(explicit, 8))
			alert := func(instance, summary string) parts.Alert {
				return parts.Alert{
					Labels: map[string]string{"alertname": "Disk <full>", "severity": "critical", "instance": instance},
					Annotations: map[string]string{
						"summary": summary, "hint": "<!channel> a & b", "long": strings.Repeat("长", 300),
					},
					StartsAt: time.Now().Add(-time.Minute), GeneratorURL: "http://prometheus.example.com/graph?a=b&c=d",
				}
			}
			one, two := alert("db-1", "first"), alert("db-2", "第二")
			s := build(t, item(t, "api_url: "+server.URL+"\n"+explicit), receiverstest.Env(t, set(t)))
			for _, step := range [][]parts.Alert{{one, two}, {resolved(one)}, {resolved(two)}} {
				am.Post(t, step...)
				requests := map[string]string{}
				for range 2 {
					select {
					case r := <-got:
						requests[r[0]] = r[1]
					case <-time.After(2 * time.Minute):
						t.Fatal("no notification\n" + am.Log())
					}
				}
				require.Len(t, requests, 2)
				var n relay.Notification
				require.NoError(t, json.Unmarshal([]byte(requests["/webhook"]), &n))
				messages := render(t, s, relay.Delivery{
					ID: "1", Now: time.Now(), Tellings: []relay.Telling{{Notification: &n}},
				})
				require.Len(t, messages, 1)
				require.Equal(t, bare(t, requests["/slack"]), bare(t, string(messages[0].Body)))
			}
		})
	}
}

// TestSameCallAsAlertmanagersBot does the same with a bot. Its updates go to Slack itself, whatever app_url says, so they
// cannot be compared.
func TestSameCallAsAlertmanagersBot(t *testing.T) {
	t.Parallel()
	binary := parts.Binary(t, "alertmanager-v0.34.2") // older ones have no bots
	type request struct{ path, authorization, body string }
	got := make(chan request, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- request{r.URL.Path, r.Header.Get("Authorization"), string(body)}
		_, _ = io.WriteString(w, `{"ok":true,"channel":"C1","ts":"1700000000.000100"}`)
	}))
	t.Cleanup(server.Close)
	bot := "app_url: " + server.URL + "/api/chat.postMessage\napp_token: " + botToken + "\nupdate_message: false" + explicit
	am := parts.StartAlertmanager(t, binary, `
route: {receiver: ops, group_by: [alertname], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}
receivers:
  - name: ops
    webhook_configs: [{url: '`+server.URL+`/webhook'}]
    slack_configs:
      - `+indent(bot, 8))
	am.Post(t, parts.Alert{
		Labels:      map[string]string{"alertname": "Disk <full>", "severity": "critical", "instance": "db-1"},
		Annotations: map[string]string{"summary": "磁盘 <!channel> & more"},
		StartsAt:    time.Now().Add(-time.Minute), GeneratorURL: "http://prometheus.example.com/graph?a=b&c=d",
	})
	requests := map[string]request{}
	for len(requests) < 2 {
		select {
		case r := <-got:
			requests[r.path] = r
		case <-time.After(30 * time.Second):
			t.Fatal("no notification\n" + am.Log())
		}
	}
	var n relay.Notification
	require.NoError(t, json.Unmarshal([]byte(requests["/webhook"].body), &n))
	s := build(t, item(t, bot+"\nthread: false"), receiverstest.Env(t, set(t)))
	messages := render(t, s, relay.Delivery{ID: "1", Now: time.Now(), Tellings: []relay.Telling{{Notification: &n}}})
	require.Len(t, messages, 1)
	_, err := s.Send(t.Context(), messages[0])
	require.NoError(t, err)
	ours, theirs := <-got, requests["/api/chat.postMessage"]
	require.Equal(t, theirs.path, ours.path)
	require.Equal(t, theirs.authorization, ours.authorization)
	require.Equal(t, bare(t, theirs.body), bare(t, ours.body))
}

func resolved(a parts.Alert) parts.Alert {
	a.EndsAt = time.Now()
	return a
}

func indent(text string, by int) string {
	return strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", by))
}

// bare reads JSON without its empty texts: Alertmanager writes them, the relay leaves them out, Slack does not tell them
// apart.
func bare(t *testing.T, body string) any {
	t.Helper()
	var v any
	require.NoError(t, json.Unmarshal([]byte(body), &v))
	return withoutEmpty(v)
}

func withoutEmpty(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if value == "" {
				delete(v, key)
				continue
			}
			v[key] = withoutEmpty(value)
		}
	case []any:
		for i := range v {
			v[i] = withoutEmpty(v[i])
		}
	}
	return v
}
