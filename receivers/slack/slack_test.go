package slack_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/common/config"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/receivers/receiverstest"
	"github.com/alertrelay/relay/receivers/slack"
	"github.com/alertrelay/relay/templates"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) {
	// The thread that real programs are started on stays for as long as the tests run.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/alertrelay/relay/internal/parts.onMainThread.func1.1"))
}

// path is where a webhook is; its last part is the secret.
const (
	token = "XsecretXsecretXsecretX12"
	path  = "/services/T00000000/B00000000/" + token
)

func TestContract(t *testing.T) {
	t.Parallel()
	for name, form := range map[string]slack.Config{
		"blocks":     {},
		"attachment": {Text: new(`{{ template "relay.slack.text" . }}`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receiverstest.Run(t, receiverstest.Suite{
				New: func(t *testing.T, env relay.Env, target string) relay.Setup {
					t.Helper()
					c := form
					c.MaxParts, c.APIURL = receiverstest.MaxParts, secret.New(target+path)
					return build(t, c, env)
				},
				Vendor:    receiverstest.HTTPVendor(receiverstest.Answer(http.StatusOK, "ok")),
				Faults:    append(words(), statuses()...),
				Hang:      receiverstest.HTTPHang,
				Secrets:   []string{token, path},
				Check:     check,
				Templates: set(t),
			})
		})
	}
}

// statuses are the faults of HTTP itself.
func statuses() []receiverstest.Fault {
	faults := receiverstest.HTTPFaults(func(status int) relay.Kind {
		switch {
		case status == http.StatusTooManyRequests:
			return relay.RateLimited
		case status/100 == 5 || status == http.StatusRequestTimeout:
			return relay.Transient
		case status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge:
			return relay.Refused
		}
		return relay.Misconfigured
	})
	for i := range faults {
		if faults[i].Kind == relay.RateLimited {
			faults[i].RetryAfter = time.Second // what the limit says when the answer does not
		}
	}
	return faults
}

// words are Slack's own answers: https://docs.slack.dev/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks
func words() []receiverstest.Fault {
	var faults []receiverstest.Fault
	for _, w := range []struct {
		status int
		body   string
		kind   relay.Kind
	}{
		{400, "invalid_payload", relay.Refused},
		{400, "no_text", relay.Refused},
		{400, "missing_text_or_fallback_or_attachments", relay.Refused},
		{400, "invalid_blocks", relay.Refused},
		{400, "invalid_blocks_format", relay.Refused},
		{400, "too_many_attachments", relay.Refused},
		{400, "user_not_found", relay.Misconfigured},
		{403, "action_prohibited", relay.Misconfigured},
		{403, "invalid_token", relay.Misconfigured},
		{403, "posting_to_general_channel_denied", relay.Misconfigured},
		{404, "channel_not_found", relay.Misconfigured},
		{404, "no_service", relay.Misconfigured},
		{404, "no_team", relay.Misconfigured},
		{404, "no_service_id", relay.Misconfigured},
		{403, "team_disabled", relay.Misconfigured},
		{404, "no_active_hooks", relay.Misconfigured},
		{410, "channel_is_archived", relay.Misconfigured},
		{500, "rollup_error", relay.Transient},
		{500, "invalid_token", relay.Transient},
		{200, "no_service", relay.Misconfigured},
		{200, "OK", relay.Transient},
		{200, "ok\n<html>", relay.Transient},
		{200, `{"ok":true}`, relay.Transient},
		{200, `{"ok":false,"error":"invalid_payload"}`, relay.Refused},
		{200, `{"ok":false,"error":"something_new"}`, relay.Transient},
		{418, "something_new", relay.Misconfigured},
	} {
		faults = append(faults, receiverstest.Fault{
			Name:   strconv.Itoa(w.status) + " " + w.body,
			Vendor: receiverstest.HTTPVendor(receiverstest.Answer(w.status, w.body)),
			Kind:   w.kind,
		})
	}
	for name, a := range map[string]struct {
		header, body string
		after        time.Duration
	}{
		"header":           {"7", `{"retry_after":1,"ok":false,"error":"rate_limited"}`, 7 * time.Second},
		"body":             {"", `{"retry_after":30,"ok":false,"error":"rate_limited"}`, 30 * time.Second},
		"neither":          {"", `{"ok":false,"error":"ratelimited"}`, time.Second},
		"the form of 2016": {"", `{"ok":false,"count_hour_ago":400,"count_minute_ago":100,"count_second_ago":5}`, time.Second},
	} {
		faults = append(faults, receiverstest.Fault{
			Name: "429, delay in " + name,
			Vendor: receiverstest.HTTPVendor(func(w http.ResponseWriter, r *http.Request) {
				if a.header != "" {
					w.Header().Set("Retry-After", a.header)
				}
				receiverstest.Answer(http.StatusTooManyRequests, a.body)(w, r)
			}),
			Kind: relay.RateLimited, RetryAfter: a.after,
		})
	}
	return faults
}

// wire is a request as Slack reads it.
type wire struct {
	Channel     string  `json:"channel"`
	Username    string  `json:"username"`
	IconEmoji   string  `json:"icon_emoji"`
	IconURL     string  `json:"icon_url"`
	LinkNames   bool    `json:"link_names"`
	Text        string  `json:"text"`
	Blocks      []block `json:"blocks"`
	Attachments []struct {
		Blocks     []block          `json:"blocks"`
		Title      string           `json:"title"`
		TitleLink  string           `json:"title_link"`
		Pretext    string           `json:"pretext"`
		Text       string           `json:"text"`
		Fallback   string           `json:"fallback"`
		CallbackID string           `json:"callback_id"`
		ImageURL   string           `json:"image_url"`
		ThumbURL   string           `json:"thumb_url"`
		Footer     string           `json:"footer"`
		Color      string           `json:"color"`
		MrkdwnIn   []string         `json:"mrkdwn_in"`
		Fields     []map[string]any `json:"fields"`
		Actions    []map[string]any `json:"actions"`
	} `json:"attachments"`
}

func read(t *testing.T, m relay.Message) wire {
	t.Helper()
	var w wire
	d := json.NewDecoder(bytes.NewReader(m.Body))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&w))
	return w
}

// A block is one of those that the default texts use.
type block struct {
	Type     string `json:"type"`
	Text     *text  `json:"text"`
	Elements []text `json:"elements"`
}

type text struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// check fails for what Slack would cut or refuse, and for a mention or a link that a stranger wrote.
func check(t *testing.T, m relay.Message) {
	t.Helper()
	w := read(t, m)
	texts := []string{w.Text}
	for _, a := range w.Attachments {
		require.LessOrEqual(t, utf8.RuneCountInString(a.Title), 1024+len(" (5/5)"))
		require.NotEmpty(t, a.Fallback)
		texts = append(texts, a.Title, a.Pretext, a.Text, a.Fallback, a.Footer)
		w.Blocks = append(w.Blocks, a.Blocks...)
	}
	require.LessOrEqual(t, len(w.Blocks), 50)
	for _, b := range w.Blocks {
		elements := b.Elements
		if b.Type == "section" {
			elements = []text{*b.Text}
		}
		require.NotEmpty(t, elements)
		for _, e := range elements {
			require.Equal(t, "mrkdwn", e.Type)
			require.NotEmpty(t, e.Text)
			require.LessOrEqual(t, utf8.RuneCountInString(e.Text), 3000)
			texts = append(texts, e.Text)
		}
	}
	require.NotEmpty(t, strings.Join(texts, ""))
	require.LessOrEqual(t, utf8.RuneCountInString(w.Text), 4000)
	require.LessOrEqual(t, utf8.RuneCountInString(strings.Join(texts, "")), 8000+3*1100)
	for _, text := range texts {
		for _, active := range []string{"<!", "<@", "<#", "<https://evil", "<b>", "<a ", "@here", "@all", "\u202e"} {
			require.NotContains(t, text, active)
		}
	}
	require.NotEmpty(t, m.Text)
}

// set are the real templates.
func set(tb testing.TB) *templates.Set {
	tb.Helper()
	s, err := templates.New(templates.Config{Locale: "en", Timezone: "Asia/Shanghai", Timeout: time.Minute})
	require.NoError(tb, err)
	return s
}

// build makes the integration of c with its defaults.
func build(tb testing.TB, c slack.Config, env relay.Env) relay.Setup {
	tb.Helper()
	c.SetDefaults(slack.Globals{})
	f := fault.New()
	c.Validate(f)
	require.Empty(tb, f.All())
	setup, err := slack.New(c, env)
	require.NoError(tb, err)
	return setup
}

// fields is an item that sets every text, so that no default text takes part.
const fields = `
api_url: https://hooks.slack.com` + path + `
channel: '#{{ .CommonLabels.severity }}-alerts'
username: relay
icon_emoji: ':bell:'
icon_url: 'https://example.com/icon.png'
link_names: true
message_text: '{{ .Status }}'
color: '{{ if eq .Status "firing" }}danger{{ else }}good{{ end }}'
title: '[{{ .Status | toUpper }}{{ if eq .Status "firing" }}:{{ .Alerts.Firing | len }}{{ end }}] {{ .CommonLabels.alertname | mrkdwn }}'
title_link: '{{ .ExternalURL }}'
pretext: '{{ .CommonAnnotations.SortedPairs.Values | join " " | mrkdwn }}'
text: '{{ range .Alerts }}{{ .Status }} {{ .Labels.instance | mrkdwn }} {{ .Annotations.summary | mrkdwn }}{{ "\n" }}{{ end }}'
fallback: 'alert'
callback_id: 'cb'
footer: 'by relay'
image_url: 'https://example.com/i.png'
thumb_url: 'https://example.com/t.png'
short_fields: true
fields:
  - {title: Severity, value: '{{ .CommonLabels.severity }}'}
  - {title: Receiver, value: '{{ .Receiver }}', short: false}
actions:
  - {type: button, text: Runbook, url: 'https://example.com/{{ .CommonLabels.alertname | urlquery }}', name: dropped}
  - {type: button, text: Silence, name: silence, value: '{{ .GroupLabels.alertname | mrkdwn }}', style: danger, confirm: {title: Sure, text: Silence it, ok_text: Yes, dismiss_text: No}}
mrkdwn_in: [text, pretext]
`

func item(t *testing.T, text string) slack.Config {
	t.Helper()
	var c slack.Config
	require.NoError(t, yaml.UnmarshalWithOptions([]byte(text), &c, yaml.Strict()))
	return c
}

// TestGoldenIsComplete: whoever adds a form of message records all there is to tell in it.
func TestGoldenIsComplete(t *testing.T) {
	t.Parallel()
	receiverstest.RequireMatrix(t, "blocks", "attachment", "bot")
}

// TestGolden: what Slack gets of each notification, in each form and language.
func TestGolden(t *testing.T) {
	t.Parallel()
	env := receiverstest.Env(t, set(t))
	for form, c := range map[string]slack.Config{"blocks": {}, "attachment": {Blocks: new("")}} {
		receiverstest.GoldenStories(t, form, *update, func(common relay.Common) relay.Setup {
			c.Common, c.APIURL = common, secret.New("https://example.com"+path)
			return build(t, c, env)
		})
	}
}

func testGolden(t *testing.T, name string, s relay.Setup, d relay.Delivery) {
	t.Helper()
	messages := receiverstest.Render(t, s, d)
	for _, m := range messages {
		read(t, m)
	}
	receiverstest.Golden(t, name, messages, *update)
}

// TestRequestsAreAsRecorded: what a configuration of its own makes of a notification.
func TestRequestsAreAsRecorded(t *testing.T) {
	t.Parallel()
	attachment := item(t, fields)
	for _, tt := range []struct {
		name, story string
		config      slack.Config
		change      func(*relay.Delivery)
	}{
		{name: "no-bar", story: "mixed", config: slack.Config{Color: new("")}},
		{name: "late", story: "firing", change: func(d *relay.Delivery) { d.Tellings[0].Late = true }},
		{name: "mention", story: "firing", config: slack.Config{Mention: slack.Mention{
			UserIDs: []string{"U0ALICE"}, GroupIDs: []string{"S0OPS"}, Here: true, All: true,
		}}, change: func(d *relay.Delivery) { d.People = []relay.Person{{SlackID: "U0BOB"}, {SlackID: "U0ALICE"}} }},
		{name: "fields.firing", story: "firing", config: attachment},
		{name: "fields.resolved", story: "resolved", config: attachment},
		{name: "fields.mixed", story: "mixed", config: attachment},
		{name: "fields.hostile", story: "hostile", config: attachment},
		{name: "attachment.mention", story: "firing", config: slack.Config{
			Blocks: new(""), Mention: slack.Mention{UserIDs: []string{"U0ALICE"}},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.config.APIURL = secret.New("https://example.com" + path)
			d := receiverstest.Story(t, tt.story)
			if tt.change != nil {
				tt.change(&d)
			}
			testGolden(t, tt.name, build(t, tt.config, receiverstest.Env(t, set(t))), d)
		})
	}
}

func TestChannelFromALabel(t *testing.T) {
	t.Parallel()
	s := build(t, item(t, fields), receiverstest.Env(t, set(t)))
	d := receiverstest.Delivery(t, "single-firing")
	d.Notification().CommonLabels["severity"] = "page"
	to, err := s.Destination(d.Notification())
	require.NoError(t, err)
	require.Equal(t, relay.Destination{Key: "#page-alerts", Address: "#page-alerts"}, to)
	require.Equal(t, "#page-alerts", read(t, receiverstest.Render(t, s, d)[0]).Channel)
}

func TestPeopleAreMentioned(t *testing.T) {
	t.Parallel()
	d := receiverstest.Delivery(t, "single-firing")
	d.People = []relay.Person{{Name: "alice", SlackID: "U01"}, {Name: "bob", Mobile: "138"}, {Name: "carol", SlackID: "U02"}}
	url := slack.Config{APIURL: secret.New("https://hooks.slack.com/services/T/B/x")}
	w := read(t, receiverstest.Render(t, build(t, url, receiverstest.Env(t, set(t))), d)[0])
	require.True(t, strings.HasSuffix(w.Text, "* <@U01> <@U02>"), "the default text mentions")

	url.Pretext, url.MessageText = new("for <@U02>"), "look:"
	setup := build(t, url, receiverstest.Env(t, set(t)))
	require.Equal(t, "<@U01>", strings.TrimPrefix(read(t, receiverstest.Render(t, setup, d)[0]).Attachments[0].Pretext, "for <@U02> "))
	d.Plain = true
	require.True(t, strings.HasSuffix(read(t, receiverstest.Render(t, setup, d)[0]).Text, "\n<@U01> <@U02>"))

	many := receiverstest.Many(500)
	many.People = d.People
	for n, m := range receiverstest.Render(t, setup, many) {
		require.Equal(t, n == 0, strings.Contains(string(m.Body), "U01"), "once is enough")
	}
}

func TestTitlesAreCutWhole(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ title, want string }{
		"fits":           {strings.Repeat("告", 1024), strings.Repeat("告", 1024)},
		"one too many":   {strings.Repeat("告", 1025), strings.Repeat("告", 1023) + "…"},
		"in an entity":   {strings.Repeat("a", 1021) + "&lt;bbbbb", strings.Repeat("a", 1021) + "…"},
		"in a link":      {strings.Repeat("a", 1000) + "<https://example.com/|" + strings.Repeat("b", 20), strings.Repeat("a", 1000) + "…"},
		"behind a link":  {"<https://example.com|a>" + strings.Repeat("b", 2000), "<https://example.com|a>" + strings.Repeat("b", 1000) + "…"},
		"a bare & stays": {strings.Repeat("a", 1000) + "&" + strings.Repeat("b", 100), strings.Repeat("a", 1000) + "&" + strings.Repeat("b", 22) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := build(t, slack.Config{APIURL: secret.New("https://example.com" + path), Title: &c.title},
				receiverstest.Env(t, set(t)))
			m := receiverstest.Render(t, s, receiverstest.Delivery(t, "single-firing"))
			require.Equal(t, c.want, read(t, m[0]).Attachments[0].Title)
		})
	}
}

func TestManyAlertsComeInNumberedParts(t *testing.T) {
	t.Parallel()
	c := slack.Config{
		APIURL: secret.New("https://example.com" + path),
		Title:  new("alerts"),
		Text:   new(`{{ range .Alerts }}{{ .Labels.instance }} ` + strings.Repeat("x", 100) + "\n{{ end }}"),
	}
	s := build(t, c, receiverstest.Env(t, set(t)))
	d := receiverstest.Many(1000)
	messages := receiverstest.Render(t, s, d)
	require.Len(t, messages, 5)
	var all strings.Builder
	omitted := 0
	for i, m := range messages {
		check(t, m)
		require.Equal(t, "alerts ("+strconv.Itoa(i+1)+"/5)", read(t, m).Attachments[0].Title)
		all.WriteString(m.Text)
		omitted += m.Omitted
	}
	require.Contains(t, all.String(), "https://relay.example.com/api/v1/notifications/", "the full text")
	missing := 0
	for _, a := range d.Notification().Alerts {
		if !strings.Contains(all.String(), a.Labels["instance"]) {
			missing++
		}
	}
	require.Equal(t, omitted, missing, "what has no line of its own is counted")
	require.NotZero(t, omitted)
}

func TestSeveralNotificationsAreAllTold(t *testing.T) {
	t.Parallel()
	s := build(t, slack.Config{APIURL: secret.New("https://example.com" + path)}, receiverstest.Env(t, set(t)))
	d := receiverstest.Delivery(t, "single-firing")
	d.Tellings = append(d.Tellings, receiverstest.Delivery(t, "html-chars").Tellings...)
	messages := receiverstest.Render(t, s, d)
	require.Len(t, messages, 1)
	check(t, messages[0])
	for _, telling := range d.Tellings {
		require.Contains(t, messages[0].Text, telling.Notification.CommonLabels["alertname"])
	}
}

func TestANewURLNeedsNoReload(t *testing.T) {
	t.Parallel()
	var paths []string
	target := receiverstest.HTTPVendor(func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.URL.Path)
		receiverstest.Answer(http.StatusOK, "ok")(w, r)
	})(t)
	file := filepath.Join(t.TempDir(), "slack.url")
	require.NoError(t, os.WriteFile(file, []byte(target+"/one\n"), 0o600))
	s := build(t, slack.Config{APIURLFile: secret.File(file)}, receiverstest.Env(t, set(t)))
	m := receiverstest.Render(t, s, receiverstest.Delivery(t, "single-firing"))[0]
	_, err := s.Send(t.Context(), m)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte(target+"/two"), 0o600))
	_, err = s.Send(t.Context(), m)
	require.NoError(t, err)
	require.Equal(t, []string{"/one", "/two"}, paths)
	require.NoError(t, os.Remove(file))
	_, err = s.Send(t.Context(), m)
	require.Equal(t, relay.Misconfigured, relay.KindOf(err))
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	with := func(c slack.Config) relay.Setup {
		if c.APIURL.IsZero() {
			c.APIURL = secret.New("https://example.com" + path)
		}
		return build(t, c, receiverstest.Env(t, set(t)))
	}
	a := with(slack.Config{})
	require.NotEqual(t, a.Name, with(slack.Config{Channel: "#other"}).Name)
	require.Equal(t, a.Limiters, with(slack.Config{Channel: "#other"}).Limiters, "one webhook, one limiter")
	require.NotEqual(t, a.Limiters, with(slack.Config{APIURL: secret.New("https://example.com/other")}).Limiters)
	require.Equal(t, relay.Limit{Messages: 1, Per: time.Second}, a.Limit)
	file := filepath.Join(t.TempDir(), "room-10086.url")
	require.NoError(t, os.WriteFile(file, []byte("https://example.com/one"), 0o600))
	named := build(t, slack.Config{APIURLFile: secret.File(file)}, receiverstest.Env(t, set(t)))
	require.Equal(t, "room-10086", named.Name, "a new URL in the file keeps the backlog")
	require.Equal(t, "mine", with(slack.Config{Common: relay.Common{Name: "mine"}}).Name)
}

func TestAnItemOfAlertmanagerIsTakenAsItIs(t *testing.T) {
	t.Parallel()
	c := item(t, fields+`
send_resolved: true
timeout: 5s
app_url: https://slack.com/api/chat.postMessage
update_message: false
http_config: {proxy_url: 'http://proxy.example.com:3128', follow_redirects: true}
`)
	s := build(t, c, receiverstest.Env(t, set(t)))
	require.Equal(t, 5*time.Second, s.Timeout)
}

func TestGlobalKeysStandIn(t *testing.T) {
	t.Parallel()
	var g slack.Globals
	require.NoError(t, yaml.UnmarshalWithOptions([]byte(`
slack_api_url: https://hooks.slack.com`+path+`
slack_app_url: https://slack.com/api/chat.postMessage
`), &g, yaml.Strict()))
	var c slack.Config
	c.SetDefaults(g)
	require.Equal(t, g.SlackAPIURL.Reveal(), c.APIURL.Reveal())
	c = slack.Config{APIURLFile: "slack.url"}
	c.SetDefaults(g)
	require.True(t, c.APIURL.IsZero(), "the global URL does not join a file of the item's own")
	c = slack.Config{}
	c.SetDefaults(slack.Globals{SlackAppToken: secret.New("xoxb-1")})
	f := fault.New()
	c.Validate(f)
	require.Len(t, f.All(), 1)
	require.Contains(t, f.All()[0].Message, "no channel")
	require.True(t, *c.UpdateMessage)
	require.True(t, *c.Thread)
	require.Equal(t, "https://slack.com/api/chat.postMessage", c.AppURL)
}

// Alertmanager's update_message needs an item of this form, which has the token of the bot in http_config.
func TestABotOfAlertmanagersIsTakenAsItIs(t *testing.T) {
	t.Parallel()
	const text = `
api_url: https://slack.com/api/chat.postMessage
channel: '#ops'
update_message: true
http_config: {proxy_url: 'http://proxy.example.com', authorization: {`
	c := item(t, text+`credentials: xoxb-1}}`)
	given := c.HTTPConfig
	c.SetDefaults(slack.Globals{})
	f := fault.New()
	c.Validate(f)
	require.Empty(t, f.All())
	require.Equal(t, "xoxb-1", c.AppToken.Reveal())
	require.Equal(t, "https://slack.com/api/chat.postMessage", c.AppURL)
	require.True(t, c.APIURL.IsZero())
	require.Nil(t, c.HTTPConfig.Authorization)
	require.Equal(t, "http://proxy.example.com", c.HTTPConfig.ProxyURL.String())
	require.NotNil(t, given.Authorization, "what others may share is left alone")

	c = item(t, text+`credentials_file: slack.token}}`)
	c.SetDefaults(slack.Globals{})
	require.Equal(t, secret.File("slack.token"), c.AppTokenFile)
	require.True(t, c.AppToken.IsZero())
}

func TestEveryFaultIsToldWithItsKey(t *testing.T) {
	t.Parallel()
	bad := secret.New("hooks.slack.com" + path)
	for name, tt := range map[string]struct {
		config slack.Config
		want   []string
	}{
		"nothing": {slack.Config{}, []string{": no api_url and no app_token: set one of them here, or slack_api_url or slack_app_token in global"}},
		"both": {slack.Config{APIURL: secret.New("https://example.com"), APIURLFile: "x"}, []string{
			": at most one of api_url & api_url_file must be configured",
		}},
		"a bot": {slack.Config{AppToken: bad, AppTokenFile: "x"}, []string{
			": at most one of app_token & app_token_file must be configured",
			": no channel: a bot needs to know where to post",
		}},
		"both ways": {slack.Config{AppToken: bad, APIURLFile: "x"}, []string{
			": at most one of api_url/api_url_file & app_token/app_token_file must be configured",
		}},
		"no URL": {slack.Config{APIURL: bad}, []string{"api_url: must be the http or https URL of an incoming webhook"}},
		"a bot's URL": {slack.Config{APIURL: secret.New("https://slack.com/api/chat.postMessage")}, []string{
			"api_url: must be the URL of an incoming webhook: to post as a bot, set app_token",
		}},
		"the rest": {
			slack.Config{
				APIURLFile: "x", UpdateMessage: new(true), Thread: new(true), MessageMaxAge: 1,
				HTTPConfig: &config.HTTPClientConfig{BearerToken: "a", BearerTokenFile: "b"},
				Blocks:     new("[]"), Mention: slack.Mention{UserIDs: []string{"@bob"}, GroupIDs: []string{"S0", "U0"}},
				Fields:  []slack.Field{{}},
				Actions: []slack.Action{{Confirm: &slack.Confirmation{}}},
			},
			[]string{
				"update_message: needs a bot (app_token): an incoming webhook does not learn where its message is",
				"thread: needs a bot (app_token): an incoming webhook does not learn where its message is",
				"message_max_age: needs a bot (app_token): an incoming webhook does not learn where its message is",
				"http_config: at most one of bearer_token & bearer_token_file must be configured",
				"blocks: cannot be combined with fields, actions, which make a message of another form",
				`mention.user_ids[0]: "@bob" is no id of Slack: capital letters and digits, beginning with U or W`,
				`mention.group_ids[1]: "U0" is no id of Slack: capital letters and digits, beginning with S`,
				"fields[0]: missing title in Slack field configuration",
				"fields[0]: missing value in Slack field configuration",
				"actions[0]: missing type in Slack action configuration",
				"actions[0]: missing text in Slack action configuration",
				"actions[0]: missing name or url in Slack action configuration",
				"actions[0].confirm: missing text in Slack confirmation configuration",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.config.SetDefaults(slack.Globals{})
			f := fault.New()
			tt.config.Validate(f)
			var got []string
			for _, one := range f.All() {
				got = append(got, one.Path+": "+one.Message)
				require.NotContains(t, one.Message, token)
			}
			require.Equal(t, tt.want, got)
		})
	}
	f := fault.New()
	slack.Globals{SlackAPIURL: bad, SlackAPIURLFile: "x", SlackAppToken: bad, SlackAppTokenFile: "x"}.Validate(f)
	require.Len(t, f.All(), 2)
}

func TestBlocksAreCheckedWhenTheConfigurationIsLoaded(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ blocks, want string }{
		"as it should be": {`[{"type":"section","text":{"type":"mrkdwn","text":{{ .Status | toJson }}}},]`, ""},
		"commas": {
			`[{{ range .Alerts }}{"type":"section","fields":[{"type":"mrkdwn","text":"a,] \\\" ,}",},],},{{ end }}]`, "",
		},
		"unknown kinds pass": {`[{"type":"rich_text","elements":[]},{"type":"of_tomorrow","x":1}]`, ""},
		"nothing to show":    {`[{"type":"section","text":{"type":"mrkdwn","text":""}},{"type":"context","elements":[{"type":"mrkdwn","text":" "}]}]`, ""},
		"a failing template": {`{{ index .Alerts 7 }}`, ""},
		"no quotes":          {"[\n{\"type\":\"section\",\"text\":{\"type\":\"mrkdwn\",\"text\":\"{{ (index .Alerts 0).Labels.instance }}\"}}]", "line 2 of its result"},
		"no array":           {`{"type":"divider"}`, "no JSON array of blocks"},
		"no objects":         {`["divider"]`, "no JSON array of blocks"},
		"nothing":            {`{{ "" }}`, "no JSON array of blocks"},
		"no type":            {`[{"text":"x"}]`, "[0]: a block needs a type"},
		"51":                 {`[` + strings.Repeat(`{"type":"divider"},`, 51) + `]`, "51 blocks are more than Slack takes: 50"},
		"a bare text":        {`[{"type":"section","text":"x"}]`, "[0].text: must be a text object of type mrkdwn or plain_text"},
		"a long section":     {section("mrkdwn", 3001), "[0].text.text: 3001 characters are more than Slack takes: 3000"},
		"as long as may be":  {section("mrkdwn", 3000), ""},
		"eleven fields":      {`[{"type":"section","fields":[` + strings.Repeat(`{"type":"mrkdwn","text":"x"},`, 11) + `]}]`, "[0].fields: 11 items are more"},
		"a long field":       {`[{"type":"section","fields":[{"type":"mrkdwn","text":"` + strings.Repeat("x", 2001) + `"}]}]`, "[0].fields[0].text: 2001"},
		"a header in mrkdwn": {`[{"type":"header","text":{"type":"mrkdwn","text":"x"}}]`, "[0].text: must be a text object of type plain_text"},
		"a long header":      {`[{"type":"header","text":{"type":"plain_text","text":"` + strings.Repeat("告", 151) + `"}}]`, "151 characters"},
		"context":            {`[{"type":"context","elements":[` + strings.Repeat(`{"type":"mrkdwn","text":"x"},`, 11) + `]}]`, "11 items"},
		"elements":           {`[{"type":"context","elements":["x"]}]`, "[0].elements[0]: must be an object"},
		"no elements":        {`[{"type":"actions"}]`, "[0]: elements must be a list"},
		"a long button":      {`[{"type":"actions","elements":[{"type":"button","text":{"type":"plain_text","text":"` + strings.Repeat("x", 76) + `"}}]}]`, "[0].elements[0].text.text: 76"},
		"an image":           {`[{"type":"image","image_url":"https://example.com"}]`, "[0]: an image needs image_url and alt_text"},
		"twice the same id":  {`[{"type":"divider","block_id":"a"},{"type":"divider","block_id":"a"}]`, `[1].block_id: "a" is there twice`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := slack.Config{APIURL: secret.New("https://example.com" + path), Blocks: &tt.blocks}
			c.SetDefaults(slack.Globals{})
			_, err := slack.New(c, receiverstest.Env(t, set(t)))
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			f := fault.New()
			f.Add(err)
			require.Len(t, f.All(), 1)
			require.Equal(t, "blocks", f.All()[0].Path)
			require.Contains(t, f.All()[0].Message, tt.want)
		})
	}
}

func section(kind string, n int) string {
	return `[{"type":"section","text":{"type":"` + kind + `","text":"` + strings.Repeat("告", n) + `"}}]`
}

func TestBlocksThatDoNotFitAreSplit(t *testing.T) {
	t.Parallel()
	block := `{"type":"section","text":{"type":"mrkdwn","text":{{ .Labels.instance | mrkdwn | toJson }}}},`
	s := build(t, slack.Config{
		APIURL: secret.New("https://example.com" + path), Blocks: new(`[{{ range .Alerts }}` + block + `{{ end }}]`),
	}, receiverstest.Env(t, set(t)))
	messages := receiverstest.Render(t, s, receiverstest.Many(120))
	require.Len(t, messages, 3, "50 blocks each")
	shown := map[string]int{}
	for _, m := range messages {
		check(t, m)
		for _, b := range read(t, m).Attachments[0].Blocks {
			shown[b.Text.Text]++
		}
	}
	require.Len(t, shown, 120)
	for instance, times := range shown {
		require.Equal(t, 1, times, instance)
	}
}

func TestNewNamesTheKeysOfItsErrors(t *testing.T) {
	t.Parallel()
	c := slack.Config{
		APIURLFile: "/nowhere/slack.url", Title: new("{{ a"), Channel: "{{ b", Fields: []slack.Field{{Title: "{{ c", Value: "v"}},
		Actions:    []slack.Action{{Text: "{{ d", Name: "n", Confirm: &slack.Confirmation{Text: "{{ e"}}},
		HTTPConfig: &config.HTTPClientConfig{TLSConfig: config.TLSConfig{CAFile: "/nowhere/ca.pem"}},
	}
	c.SetDefaults(slack.Globals{})
	_, err := slack.New(c, receiverstest.Env(t, set(t)))
	f := fault.New()
	f.Add(err)
	var paths []string
	for _, one := range f.All() {
		paths = append(paths, one.Path)
	}
	require.ElementsMatch(t, []string{
		"api_url_file", "title", "channel", "fields[0].title", "actions[0].text", "actions[0].confirm.text", "http_config",
	}, paths)
}
