package slack_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	slackgo "github.com/slack-go/slack"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/receivers/receiverstest"
	"github.com/alertrelay/relay/receivers/slack"
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
					StartsAt: time.Now(), GeneratorURL: "http://prometheus.example.com/graph?a=b&c=d",
				}
			}
			one, two := alert("db-1", "first"), alert("db-2", "第二")
			s := build(t, item(t, "api_url: "+server.URL+"\n"+explicit), receiverstest.Env(t, set(t)))
			compare := func() int {
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
				messages := receiverstest.Render(t, s, relay.Delivery{
					ID: "1", Now: time.Now(), Tellings: []relay.Telling{{Notification: &n}},
				})
				require.Len(t, messages, 1)
				require.Equal(t, bare(t, requests["/slack"]), bare(t, string(messages[0].Body)))
				return len(n.Alerts.Firing())
			}
			am.PostIncident(t, one, two, compare)
		})
	}
}

// TestSameCallsAsAlertmanagersBot does the same with a bot: its posts, and the updates of its message while the group grows
// and is resolved.
func TestSameCallsAsAlertmanagersBot(t *testing.T) {
	t.Parallel()
	for _, updates := range []bool{false, true} {
		t.Run("update_message: "+strconv.FormatBool(updates), func(t *testing.T) {
			t.Parallel()
			testBotParity(t, updates)
		})
	}
}

func testBotParity(t *testing.T, updates bool) {
	t.Helper()
	binary := parts.Binary(t, "alertmanager-v0.34.2") // older ones have no bots
	got := make(chan botCall, 10)
	vendor := recordCalls(t, got)
	texts := "\nupdate_message: " + strconv.FormatBool(updates) + explicit
	app := "app_url: " + vendor + "/api/chat.postMessage\napp_token: " + botToken
	theirApp := app
	if updates { // it takes this of Slack itself alone, and panics when there is an app_token
		const token = "/api/chat.postMessage\nhttp_config: {authorization: {credentials: " + botToken + "}"
		app = "api_url: " + vendor + token + "}"
		theirApp = "api_url: https://slack.com" + token + ", proxy_url: '" + vendor + "', tls_config: {insecure_skip_verify: true}}"
	}
	am := parts.StartAlertmanager(t, binary, `
route: {receiver: ops, group_by: [alertname], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}
receivers:
  - name: ops
    webhook_configs: [{url: '`+vendor+`/webhook'}]
    slack_configs:
      - `+indent(theirApp+texts, 8))
	s := build(t, item(t, app+texts+"\nthread: false"), receiverstest.Env(t, set(t)))
	one := parts.Alert{
		Labels:      map[string]string{"alertname": "Disk <full>", "severity": "critical", "instance": "db-1"},
		Annotations: map[string]string{"summary": "磁盘 <!channel> & more"},
		StartsAt:    time.Now().Add(-time.Minute), GeneratorURL: "http://prometheus.example.com/graph?a=b&c=d",
	}
	two := one
	two.Labels = map[string]string{"alertname": "Disk <full>", "severity": "critical", "instance": "db-2"}
	var ref relay.Ref
	for n, step := range [][]parts.Alert{{one}, {two}, {one.Resolved(), two.Resolved()}} {
		am.Post(t, step...)
		var webhook string
		var theirs *botCall
		for webhook == "" || theirs == nil {
			select {
			case c := <-got:
				if c.path == "/webhook" {
					webhook = c.body
				} else {
					theirs = &c
				}
			case <-time.After(2 * time.Minute):
				t.Fatal("no notification\n" + am.Log())
			}
		}
		var note relay.Notification
		require.NoError(t, json.Unmarshal([]byte(webhook), &note))
		messages := receiverstest.Render(t, s, relay.Delivery{
			ID: "1", Now: receiverstest.Now, Previous: ref, Tellings: []relay.Telling{{Notification: &note}},
		})
		require.Len(t, messages, 1)
		messages[0].Previous = ref
		receipt, err := s.Send(t.Context(), messages[0])
		require.NoError(t, err)
		ref = receipt.Ref
		ours := <-got
		require.Equal(t, theirs.path, ours.path)
		require.Equal(t, theirs.authorization, ours.authorization)
		want, have := bare(t, theirs.body).(map[string]any), bare(t, ours.body).(map[string]any)
		if method := "/api/chat.update"; updates && n > 0 {
			require.Equal(t, method, ours.path)
			require.Empty(t, have["blocks"], "of another form before nothing is left")
			delete(have, "blocks")
			for _, key := range []string{"username", "icon_emoji", "icon_url"} { // no arguments of the method
				delete(want, key)
			}
		}
		require.Equal(t, want, have)
	}
}

// A botCall is one that a bot made, or a webhook.
type botCall struct{ path, authorization, body string }

// recordCalls starts a Slack that takes every call, and returns its URL. It is a proxy, too: whoever goes through it to
// Slack itself, where Alertmanager's updates go whatever app_url says, gets there.
func recordCalls(t *testing.T, got chan<- botCall) string {
	t.Helper()
	record := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- botCall{r.URL.Path, r.Header.Get("Authorization"), string(body)}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = io.WriteString(w, `{"ok":true,"channel":"C1","ts":"1700000000.000100"}`)
	})
	itself := httptest.NewTLSServer(record)
	t.Cleanup(itself.Close)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			record(w, r)
			return
		}
		to, err := net.Dial("tcp", itself.Listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		defer to.Close()
		w.WriteHeader(http.StatusOK)
		from, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer from.Close()
		go func() {
			defer from.Close()
			_, _ = io.Copy(from, to)
		}()
		_, _ = io.Copy(to, from)
	}))
	t.Cleanup(server.Close)
	return server.URL
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

// TestCallsOfSlackGosClient shows why the calls are not made by it: their form is not Alertmanager's, and it drops of an
// answer what the relay decides by.
func TestCallsOfSlackGosClient(t *testing.T) {
	t.Parallel()
	var form, authorization string
	answer := receiverstest.Answer(http.StatusOK, `{"ok":true,"channel":"C1","ts":"1.1"}`)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		form, authorization = r.Header.Get("Content-Type"), r.Header.Get("Authorization")
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	theirs := slackgo.New(botToken, slackgo.OptionAPIURL(server.URL+"/api/"), slackgo.OptionHTTPClient(server.Client()))
	ours := build(t, slack.Config{
		AppURL: server.URL + "/api/chat.postMessage", AppToken: secret.New(botToken), Channel: "#ops",
	}, receiverstest.Env(t, set(t)))
	m := receiverstest.Render(t, ours, group(1, nil))[0]
	post := func() (our, their error) {
		_, _, their = theirs.PostMessageContext(t.Context(), "#ops", slackgo.MsgOptionText("x", false))
		require.Equal(t, "application/x-www-form-urlencoded", form)
		require.Empty(t, authorization, "the token is in the form")
		_, our = ours.Send(t.Context(), m)
		require.Equal(t, "application/json; charset=utf-8", form)
		require.Equal(t, "Bearer "+botToken, authorization)
		return our, their
	}
	our, their := post()
	require.NoError(t, our)
	require.NoError(t, their)

	answer = receiverstest.Answer(http.StatusOK, `{"ok":true,"channel":"C1","ts":"1.1","message":{"text":"`)
	our, their = post()
	require.NoError(t, our, "it was posted")
	require.Error(t, their)

	for status, body := range map[int]string{
		http.StatusTooManyRequests: `{"ok":false,"error":"ratelimited","retry_after":7}`,
		http.StatusForbidden:       `{"ok":false,"error":"no_text"}`,
	} {
		answer = receiverstest.Answer(status, body)
		our, their = post()
		require.Equal(t, slackgo.StatusCodeError{Code: status, Status: strconv.Itoa(status) + " " + http.StatusText(status)}, their)
		if status == http.StatusForbidden {
			require.Equal(t, relay.Refused, relay.KindOf(our), "the word says so")
		} else {
			require.Equal(t, 7*time.Second, relay.RetryAfter(our))
		}
	}
}
