package config_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/templates"
)

var update = flag.Bool("update", false, "rewrite what the bad files in testdata want")

// TestBadFiles loads a file for each mistake that people make. The end of the file says what the relay answers.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.bad.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".bad.yaml"), func(t *testing.T) {
			t.Parallel()
			_, err := config.Load(file)
			var wrong *config.Error
			require.ErrorAs(t, err, &wrong)
			folder, err := filepath.Abs("testdata")
			require.NoError(t, err)
			got := strings.NewReplacer(file, "config.yaml", folder+"/", "", "testdata/", "").Replace(wrong.Error())
			if *update {
				rewrite(t, file, got)
			}
			require.Equal(t, wanted(t, file), got)
		})
	}
}

const wantMark = "# want: "

// wanted returns the lines of a file that begin with the mark.
func wanted(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var want []string
	for line := range strings.Lines(string(text)) {
		if line, ok := strings.CutPrefix(line, wantMark); ok {
			want = append(want, strings.TrimSpace(line))
		}
	}
	return strings.Join(want, "\n")
}

// rewrite replaces the marked lines of a file.
func rewrite(t *testing.T, file, got string) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	body, _, _ := strings.Cut(string(text), wantMark)
	body += wantMark + strings.ReplaceAll(got, "\n", "\n"+wantMark) + "\n"
	require.NoError(t, os.WriteFile(file, []byte(body), 0o600))
}

func TestDefaults(t *testing.T) {
	t.Setenv("TZ", "Asia/Shanghai")
	c, err := config.Parse("config.yaml", []byte("receivers: [{name: ops}]\nroute: {receiver: ops}"))
	require.NoError(t, err)
	require.Equal(t, "zh-CN", c.Global.Locale)
	require.Equal(t, "Asia/Shanghai", c.Global.Location().String())
	require.Equal(t, 10*time.Minute, time.Duration(c.Dedupe.Window))
	require.Equal(t, 24*time.Hour, time.Duration(c.Delivery.MaxAge))
	require.Equal(t, 64, c.Delivery.Workers)
	require.Equal(t, 100000, c.Delivery.MaxPending)
	require.Equal(t, 7*24*time.Hour, time.Duration(c.Delivery.Retention))
	require.Empty(t, c.Warnings())
}

func TestMissingFile(t *testing.T) {
	t.Parallel()
	_, err := config.Load("testdata/nowhere.yaml")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.EqualError(t, err, "read configuration: open testdata/nowhere.yaml: no such file or directory")
}

// TestPathsStartAtTheFolder loads a file from another folder than the working one.
func TestPathsStartAtTheFolder(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	write("api.token", "s3cr3t-token\n")
	write("slack.url", "https://hooks.slack.com/services/T/B/s3cr3t\n")
	write("ops.tmpl", `{{ define "ops" }}ops{{ end }}`)
	write("config.yaml", `
global: {api_auth: {bearer_token_file: api.token}}
templates: [ops.tmpl, "*.tmpl"]
route: {receiver: ops}
receivers:
- name: ops
  slack_configs: [{api_url_file: slack.url, text: '{{ template "ops" . }}'}]
`)
	c, err := config.Load(filepath.Join(folder, "config.yaml"))
	require.NoError(t, err)
	token, err := c.Global.APIAuth.Token().Reveal()
	require.NoError(t, err)
	require.Equal(t, "s3cr3t-token", token)
	require.Equal(t, filepath.Join(folder, "ops.tmpl"), c.Templates[0])
	require.Equal(t, []string{filepath.Join(folder, "ops.tmpl")}, c.TemplateFiles())
	require.NotContains(t, c.String(), "s3cr3t")
}

// TestHash changes with the file and with its templates, and with nothing else.
func TestHash(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file, template := filepath.Join(folder, "config.yaml"), filepath.Join(folder, "a.tmpl")
	hash := func(text, templateText string) uint64 {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		require.NoError(t, os.WriteFile(template, []byte(templateText), 0o600))
		c, err := config.Load(file)
		require.NoError(t, err)
		require.InDelta(t, c.Hash(), float64(c.Hash()), 0, "it fits into a metric")
		return c.Hash()
	}
	const text = "templates: ['*.tmpl']\nroute: {receiver: ops}\nreceivers: [{name: ops}]\n"
	first := hash(text, "a")
	require.NotEqual(t, first, hash(text+"# more\n", "a"))
	require.NotEqual(t, first, hash(text, "b"))
	require.Equal(t, first, hash(text, "a"))
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	c, err := config.Parse("config.yaml", []byte(`route: {receiver: ops}
templates: [nowhere/*.tmpl]
receivers:
- name: ops
  fallback: mail
  slack_configs:
  - {api_url: https://hooks.slack.com/services/T/B/x, name: one}
  - {api_url: https://hooks.slack.com/services/T/B/x, name: two, rate_limit: {messages: 3, per: 1m}}
- name: mail
`))
	require.NoError(t, err)
	require.Equal(t, 15*time.Minute, time.Duration(c.Receivers[0].FallbackAfter))
	var got []string
	for _, w := range c.Warnings() {
		require.True(t, w.Warning)
		got = append(got, w.String())
	}
	require.Equal(t, []string{
		"config.yaml:2: templates: nowhere/*.tmpl: matches no file",
		"config.yaml:3: receivers: ops/slack/one and ops/slack/two send with the same credential but have different rate " +
			"limits: the smallest holds",
		`config.yaml:5: receivers[0].fallback: receiver "mail" has no integrations: nobody would be told`,
	}, got)
}

func TestSetups(t *testing.T) {
	t.Parallel()
	c, err := config.Load("../config.yaml")
	require.NoError(t, err)
	set, err := templates.New(templates.Config{})
	require.NoError(t, err)
	setups, err := c.Setups(relay.Env{Templates: set, HTTPClient: http.DefaultClient, Now: time.Now})
	require.NoError(t, err)
	var got []string
	for _, s := range setups {
		require.NotEmpty(t, s.Name)
		require.Equal(t, relay.IntegrationID(s.Receiver+"/"+s.Type+"/"+s.Name), s.ID)
		got = append(got, s.Receiver+"/"+s.Type)
	}
	require.Equal(t, []string{"ops/dingtalk", "ops/slack", "ops/wecom", "pay/email", "overseas/email", "room:10086/dingtalk"}, got)
}

func TestPeople(t *testing.T) {
	t.Parallel()
	c, err := config.Parse("config.yaml", []byte(`route: {receiver: ops}
people:
  张三: {mobile: 13800000000, match: ['owner="alice"', 'room_id=~"10.*"']}
  bob: {slack_id: U01}
receivers:
- name: ops
  slack_configs: [{api_url: https://hooks.slack.com/services/T/B/x, mention: {people: [bob]}}]
  email_configs: [{to: a@example.org, from: a@example.org, smarthost: "localhost:25"}]
`))
	require.NoError(t, err)
	set, err := templates.New(templates.Config{})
	require.NoError(t, err)
	setups, err := c.Setups(relay.Env{Templates: set, HTTPClient: http.DefaultClient, Now: time.Now})
	require.NoError(t, err)

	alert := relay.Alert{Room: "10086"}
	alert.Status, alert.Labels = relay.StatusFiring, template.KV{"owner": "alice"}
	d := relay.Delivery{Tellings: []relay.Telling{{Notification: &relay.Notification{Alerts: relay.Alerts{alert}}}}}
	bob, other := relay.Person{Name: "bob", SlackID: "U01"}, relay.Person{Name: "张三", Mobile: "13800000000"}
	require.Empty(t, setups[0].Concerned(&d), "a mail is copied to nobody by default")
	require.Equal(t, []relay.Person{bob, other}, setups[1].Concerned(&d))
	d.Notification().Alerts[0].Room = ""
	require.Equal(t, []relay.Person{bob}, setups[1].Concerned(&d), "all matchers must fit")
}

// planted stands where the secrets are in everySecret.
const planted = "pl4nt3d-s3cr3t"

// everySecret has a secret at every key that takes one. KEY and VALUE are what a fuzzer adds.
const everySecret = `
global:
  http_config: {basic_auth: {username: u, password: PLANTED}, proxy_url: "http://u:PLANTED@127.0.0.1:1"}
  webhook_auth: {bearer_token: PLANTED}
  api_auth: {bearer_token: PLANTED}
  smtp_smarthost: mail.example.org:25
  smtp_from: relay@example.org
  smtp_auth_username: u
  smtp_auth_password: PLANTED
  smtp_auth_secret: PLANTED
  slack_api_url: https://hooks.slack.com/services/T/B/PLANTED
  KEY: VALUE
route: {receiver: ops, KEY: VALUE}
receivers:
- name: ops
  KEY: VALUE
  dingtalk_configs:
  - {url: "https://oapi.dingtalk.com/robot/send?access_token=PLANTED", secret: SECPLANTED, KEY: VALUE}
  - {access_token: PLANTED, KEY: VALUE}
  wecom_configs:
  - {url: "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=PLANTED", KEY: VALUE}
  - {key: PLANTED, KEY: VALUE}
  slack_configs:
  - {api_url: "https://hooks.slack.com/services/T/B/PLANTED", KEY: VALUE}
  email_configs:
  - {to: a@example.org, auth_password: PLANTED, auth_secret: PLANTED, KEY: VALUE}
KEY: VALUE
`

// FuzzNoSecretShown adds any key with any value at every place of a configuration full of secrets: whatever is wrong then,
// no secret is in the words that say so, nor in what is shown of the configuration.
func FuzzNoSecretShown(f *testing.F) {
	for _, key := range []string{
		"", "url", "url_file", "urls", "secret", "api_url_file", "app_token", "http_config", "timeout", "name", "title", "to",
		"auth_password_file", "access_token", "group_by", "slack_api_url_file", "proxy_url", "webhook_auth",
	} {
		f.Add(key, "https://"+"example.org/%zz")
	}
	f.Add("text", "{{ .Foo")
	f.Add("s3cr3t: x", "y: z")
	f.Fuzz(func(t *testing.T, key, value string) {
		text := strings.NewReplacer("PLANTED", planted, "KEY", quoted(key), "VALUE", quoted(value)).Replace(everySecret)
		c, err := config.Parse("config.yaml", []byte(text))
		shown := fmt.Sprintf("%v %+v %v", err, err, c)
		if c != nil {
			shown += fmt.Sprintf("%s %v", c.Summary(), c.Warnings())
		}
		require.NotContains(t, shown, planted)
	})
}

// quoted is text as a YAML scalar.
func quoted(text string) string {
	b, _ := json.Marshal(text)
	return string(b)
}

// FuzzParse reads anything: it ends, and what is wrong has words.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	require.NoError(f, err)
	for _, file := range append(files, "../config.yaml") {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := config.Parse("testdata/config.yaml", []byte(text))
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		require.NotEmpty(t, c.String())
	})
}

// TestPasted loads blocks of an Alertmanager configuration.
func TestPasted(t *testing.T) {
	t.Parallel()
	c, err := config.Load("testdata/pasted.yaml")
	require.NoError(t, err)
	require.Equal(t, "  receiver team: 1 email, 1 slack\n  receiver blackhole: nothing\n  3 routes, 0 template files\n",
		c.Summary())
}
