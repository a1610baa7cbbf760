package wechat_test

import (
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/sandbox"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/internal/strictyaml"
	"github.com/alertrelay/relay/receivers/receiverstest"
	"github.com/alertrelay/relay/receivers/wechat"
	"github.com/alertrelay/relay/templates"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const corpSecret = "corp-secret-0123456789"

// item reads a configuration as config.yaml has it.
func item(t *testing.T, yaml string) wechat.Config {
	t.Helper()
	doc, broken := strictyaml.Parse([]byte(yaml))
	require.Nil(t, broken)
	var c wechat.Config
	require.Empty(t, doc.Decode(&c, nil))
	return c
}

func build(t *testing.T, c wechat.Config, g wechat.Globals) relay.Setup {
	t.Helper()
	c.SetDefaults(g)
	f := fault.New()
	c.Validate(f)
	require.Empty(t, f.All())
	setup, err := wechat.New(c, receiverstest.Env(t, set(t)))
	require.NoError(t, err)
	return setup
}

func set(t *testing.T) *templates.Set {
	t.Helper()
	set, err := templates.New(templates.Config{Timezone: "Asia/Shanghai", Timeout: time.Minute})
	require.NoError(t, err)
	return set
}

func TestContract(t *testing.T) {
	t.Parallel()
	receiverstest.Run(t, receiverstest.Suite{
		New: func(t *testing.T, env relay.Env, target string) relay.Setup {
			t.Helper()
			c := wechat.Config{
				Common: relay.Common{MaxParts: receiverstest.MaxParts}, AgentID: "1", ToUser: "alice",
				APISecret: secret.New(corpSecret), CorpID: "ww1", APIURL: target + "/cgi-bin/",
			}
			c.SetDefaults(wechat.Globals{})
			setup, err := wechat.New(c, env)
			require.NoError(t, err)
			return setup
		},
		Vendor: receiverstest.HTTPVendor(receiverstest.Answer(http.StatusOK,
			`{"errcode":0,"errmsg":"ok","access_token":"token-0123456789","expires_in":7200}`)),
		Faults:  receiverstest.HTTPFaults(func(int) relay.Kind { return relay.Transient }),
		Hang:    receiverstest.HTTPHang,
		Secrets: []string{corpSecret, "token-0123456789"},
		Check: func(t *testing.T, m relay.Message) {
			t.Helper()
			require.LessOrEqual(t, len(m.Text), 2048)
		},
	})
}

func TestTokens(t *testing.T) {
	t.Parallel()
	receiverstest.RunTokens(t, set(t), func(t *testing.T, now func() time.Time) receiverstest.TokenVendor {
		t.Helper()
		box, err := sandbox.Start(sandbox.Options{Now: now})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, box.Close()) })
		c := item(t, `{corp_id: ww1, agent_id: "1000002", to_user: alice, api_secret: `+corpSecret+`}`)
		c.SetDefaults(wechat.Globals{
			APIURL: box.WeCom.AddApp(sandbox.WeComApp{CorpID: "ww1", AgentID: 1000002, Secret: corpSecret, Name: "Alerts"}),
		})
		return receiverstest.TokenVendor{
			New: func(env relay.Env) relay.Setup {
				setup, err := wechat.New(c, env)
				require.NoError(t, err)
				return setup
			},
			Life:    sandbox.WeComTokenLife,
			Revoke:  box.WeCom.Revoke,
			Break:   func() { box.WeCom.Break(sandbox.AccountToken, sandbox.FaultStatus(503)) },
			Repair:  func() { box.WeCom.Repair(sandbox.AccountToken) },
			Hang:    func(c <-chan struct{}) { box.WeCom.Inject(sandbox.AccountToken, sandbox.FaultHang(c)) },
			Calls:   func() int { return len(box.Requests(sandbox.InboxWeCom)) },
			Issued:  box.WeCom.Issued,
			Told:    func() int { return len(box.Inbox(sandbox.InboxWeCom)) },
			Secrets: []string{corpSecret},
		}
	})
}

func TestGlobals(t *testing.T) {
	t.Parallel()
	c := item(t, `{agent_id: "1", to_party: "2"}`)
	c.SetDefaults(wechat.Globals{APIURL: "https://example.com/", APISecretFile: "f", APICorpID: "ww1"})
	require.Equal(t, "https://example.com/", c.APIURL)
	require.Equal(t, secret.File("f"), c.APISecretFile)
	require.Equal(t, "ww1", c.CorpID)
	require.Equal(t, "text", c.MessageType)
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string][]string{
		`{corp_id: ww1, agent_id: "1", to_user: alice, api_secret: s}`: nil,
		`{api_url: example.com, message_type: textcard}`: {
			"api_url: must be an http or https URL", "corp_id: is required, here or as global.wechat_api_corp_id",
			"agent_id: is required", ": one of api_secret & api_secret_file is required, here or as global.wechat_api_secret",
			": one of to_user, to_party & to_tag must be configured",
			`message_type: must be text or markdown, not "textcard"; wecom_configs have more`,
		},
		`{corp_id: ww1, agent_id: '{{ .CommonLabels.agent }}', to_tag: "1", api_secret: s, api_secret_file: f}`: {
			"agent_id: must be written down: it says whose access token is used",
			": at most one of api_secret & api_secret_file must be configured",
		},
	} {
		c := item(t, yaml)
		c.SetDefaults(wechat.Globals{})
		f := fault.New()
		c.Validate(f)
		var got []string
		for _, each := range f.All() {
			got = append(got, each.Path+": "+each.Message)
		}
		require.Equal(t, want, got, yaml)
	}
	f := fault.New()
	wechat.Globals{APIURL: "x", APISecret: secret.New("s"), APISecretFile: "f"}.Validate(f)
	require.Len(t, f.All(), 2)
}

// TestGolden: what WeCom gets of each notification, in each message type and language.
func TestGolden(t *testing.T) {
	t.Parallel()
	receiverstest.RequireMatrix(t, "text", "markdown")
	for _, messageType := range []string{"text", "markdown"} {
		receiverstest.GoldenStories(t, messageType, *update, func(common relay.Common) relay.Setup {
			c := item(t, `{corp_id: ww1, agent_id: "1", to_user: alice, api_secret: s}`)
			c.MessageType, c.Common = messageType, common
			return build(t, c, wechat.Globals{APIURL: "http://localhost/cgi-bin/"})
		})
	}
}

// explicit is an item that a real Alertmanager and the relay both read. It sets every text.
const explicit = `
send_resolved: true
corp_id: ww1
api_secret: ` + corpSecret + `
agent_id: "1000002"
to_user: '{{ .CommonLabels.owner }}'
to_party: "1|2"
to_tag: ""
message: |-
  {{ template "wechat.default.message" . }}
  {{ range .Alerts }}{{ .Status | toUpper }} {{ .Labels.instance }} {{ .GeneratorURL }}
  {{ end }}
`

// TestSameRequestAsAlertmanager lets a real Alertmanager post a group to WeCom and to a webhook. What the relay makes of
// the webhook with the same item must be the same request.
func TestSameRequestAsAlertmanager(t *testing.T) {
	t.Parallel()
	for _, version := range parts.Alertmanagers() {
		for _, messageType := range []string{"text", "markdown"} {
			t.Run(version+"/"+messageType, func(t *testing.T) {
				t.Parallel()
				testParity(t, version, explicit+"message_type: "+messageType+"\n")
			})
		}
	}
}

func testParity(t *testing.T, version, yaml string) {
	t.Helper()
	binary := parts.Binary(t, version)
	got := make(chan [2]string, 10) // path, body
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/cgi-bin/gettoken" {
			got := r.URL.Query()
			if got.Get("corpid") != "ww1" || got.Get("corpsecret") != corpSecret {
				t.Errorf("asks for a token with %v", got)
			}
			_, _ = io.WriteString(w, `{"errcode":0,"access_token":"t1","expires_in":7200}`)
			return
		}
		got <- [2]string{r.URL.Path + "?" + r.URL.RawQuery, string(body)}
		_, _ = io.WriteString(w, `{"errcode":0,"errmsg":"ok"}`)
	}))
	t.Cleanup(server.Close)
	am := parts.StartAlertmanager(t, binary, `
route: {receiver: ops, group_by: [alertname], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}
receivers:
  - name: ops
    webhook_configs: [{url: '`+server.URL+`/webhook'}]
    wechat_configs:
      - api_url: `+server.URL+`/cgi-bin/
`+indent(yaml))
	alert := parts.Alert{
		Labels:      map[string]string{"alertname": "Disk <full>", "severity": "critical", "instance": "db-1", "owner": "alice"},
		Annotations: map[string]string{"summary": "磁盘 <b> & 'full'"},
		StartsAt:    time.Now().Add(-time.Minute), GeneratorURL: "http://prometheus.example.com/graph?a=b&c=d",
	}
	setup := build(t, item(t, "api_url: "+server.URL+"/cgi-bin/\n"+yaml), wechat.Globals{})
	for _, step := range []parts.Alert{alert, alert.Resolved()} {
		am.Post(t, step)
		requests := map[string]string{}
		for range 2 {
			select {
			case r := <-got:
				requests[r[0]] = r[1]
			case <-time.After(30 * time.Second):
				t.Fatal("no notification\n" + am.Log())
			}
		}
		var n relay.Notification
		require.NoError(t, json.Unmarshal([]byte(requests["/webhook?"]), &n))
		messages := receiverstest.Render(t, setup, relay.Delivery{
			ID: "1", Now: time.Now(), Tellings: []relay.Telling{{Notification: &n}},
		})
		require.Len(t, messages, 1)
		require.Equal(t, bare(t, requests["/cgi-bin/message/send?access_token=t1"]), bare(t, string(messages[0].Body)))
		_, err := setup.Send(t.Context(), messages[0])
		require.NoError(t, err)
		require.Equal(t, "/cgi-bin/message/send?access_token=t1", (<-got)[0])
	}
}

func indent(text string) string { return strings.ReplaceAll(text, "\n", "\n        ") }

// bare reads JSON without what is empty: Alertmanager sends the object of the other message type, too, without content.
func bare(t *testing.T, body string) any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &v))
	for _, other := range []string{"text", "markdown"} {
		if content, ok := v[other].(map[string]any); ok && content["content"] == "" {
			delete(v, other)
		}
	}
	return v
}
