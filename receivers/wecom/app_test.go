package wecom_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/receivers/receiverstest"
	"github.com/alertrelay/relay/receivers/wecom"
)

const (
	corpSecret = "corp-secret-0123456789"
	appToken   = "token-0123456789-abcdefgh"
	tokenBody  = `{"errcode":0,"errmsg":"ok","access_token":"` + appToken + `","expires_in":7200}`
)

// app is an application of each message type.
func app(messageType string) wecom.Config {
	return wecom.Config{MessageType: messageType, Application: wecom.Application{
		CorpID: "ww1", AgentID: "1000002", Secret: secret.New(corpSecret), ToUser: "alice|bob",
	}}
}

func appsOfEachType() []wecom.Config {
	notice := app("template_card")
	notice.CardType = "text_notice"
	return []wecom.Config{app("markdown"), app("text"), app("textcard"), app("news"), app("template_card"), notice}
}

// buildApp makes the application of c with its defaults, at an API.
func buildApp(t *testing.T, c wecom.Config, env relay.Env, api string) relay.Setup {
	t.Helper()
	c.SetDefaults(wecom.Globals{APIURL: api})
	f := fault.New()
	c.Validate(f)
	require.Empty(t, f.All())
	setup, err := wecom.New(c, env)
	require.NoError(t, err)
	return setup
}

// behindToken answers the token endpoint, and every other call by answer.
func behindToken(answer http.HandlerFunc) http.HandlerFunc {
	return receiverstest.BehindToken("/gettoken", tokenBody, answer)
}

func TestAppContract(t *testing.T) {
	t.Parallel()
	for _, c := range []wecom.Config{app("markdown"), app("textcard"), app("template_card")} {
		faults := receiverstest.HTTPFaults(func(int) relay.Kind { return relay.Transient })
		if c.MessageType == "textcard" {
			faults = append(faults, appAnswers()...)
		}
		t.Run(nameOf(c), func(t *testing.T) {
			t.Parallel()
			receiverstest.Run(t, receiverstest.Suite{
				New: func(t *testing.T, env relay.Env, target string) relay.Setup {
					t.Helper()
					c := c
					c.MaxParts = receiverstest.MaxParts
					return buildApp(t, c, env, target+"/cgi-bin")
				},
				Vendor:    receiverstest.HTTPVendor(behindToken(receiverstest.Answer(http.StatusOK, okBody))),
				Faults:    faults,
				Hang:      receiverstest.HTTPHang,
				Secrets:   []string{corpSecret, appToken},
				Check:     checkApp,
				Templates: words(t),
			})
		})
	}
}

// appAnswers are those of WeCom to an application, and those of its token endpoint.
func appAnswers() []receiverstest.Fault {
	var faults []receiverstest.Fault
	add := func(name string, code int, kind relay.Kind, after time.Duration, way func(http.HandlerFunc) http.HandlerFunc) {
		body := fmt.Sprintf(`{"errcode":%d,"errmsg":"%s %s, hint: [17], from ip: 203.0.113.9"}`, code, name, corpSecret)
		faults = append(faults, receiverstest.Fault{
			Name:   fmt.Sprintf("%s %d", name, code),
			Vendor: receiverstest.HTTPVendor(way(receiverstest.Answer(http.StatusOK, strings.ReplaceAll(body, " "+corpSecret, "")))),
			Kind:   kind, RetryAfter: after,
		})
	}
	for code, kind := range map[int]relay.Kind{
		-1: relay.Transient, 6000: relay.Transient, 45033: relay.Transient, 987654: relay.Transient,
		42001: relay.TokenExpired, 40014: relay.TokenExpired, 40001: relay.TokenExpired,
		41001: relay.Misconfigured, 40056: relay.Misconfigured, 301002: relay.Misconfigured, 48002: relay.Misconfigured,
		50003: relay.Misconfigured, 60011: relay.Misconfigured, 60020: relay.Misconfigured,
		60111: relay.Refused, 46004: relay.Refused, 40031: relay.Refused, 40032: relay.Refused, 81013: relay.Refused,
		82001: relay.Refused, 82002: relay.Refused, 82003: relay.Refused, 86003: relay.Refused,
		40058: relay.Refused, 45002: relay.Refused, 44004: relay.Refused, 40008: relay.Refused, 40007: relay.Refused,
		40006: relay.Refused, 40009: relay.Refused, 40033: relay.Refused, 40035: relay.Refused, 40063: relay.Refused,
		45034: relay.Refused, 301019: relay.Refused,
	} {
		add("send", code, kind, 0, behindToken)
	}
	add("send", 45009, relay.RateLimited, time.Minute, behindToken)
	direct := func(answer http.HandlerFunc) http.HandlerFunc { return answer }
	for code, kind := range map[int]relay.Kind{
		-1: relay.Transient, 40001: relay.Misconfigured, 40013: relay.Misconfigured, 40091: relay.Misconfigured,
		41002: relay.Misconfigured, 41004: relay.Misconfigured, 0: relay.Transient,
	} {
		add("gettoken", code, kind, 0, direct)
	}
	add("gettoken", 45009, relay.RateLimited, time.Minute, direct)
	return faults
}

// checkApp fails when WeCom would not take the request of an application.
func checkApp(t *testing.T, m relay.Message) {
	t.Helper()
	var r struct {
		ToUser   string `json:"touser"`
		AgentID  int    `json:"agentid"`
		Type     string `json:"msgtype"`
		Check    int    `json:"enable_duplicate_check"`
		Interval int    `json:"duplicate_check_interval"`
		Text     struct {
			Content string `json:"content"`
		} `json:"text"`
		Markdown struct {
			Content string `json:"content"`
		} `json:"markdown"`
		Textcard struct {
			Title       string `json:"title"`
			Description string `json:"description"`
			URL         string `json:"url"`
		} `json:"textcard"`
	}
	require.NoError(t, json.Unmarshal(m.Body, &r))
	require.Equal(t, "alice|bob", r.ToUser)
	require.Equal(t, 1000002, r.AgentID)
	require.Equal(t, 1, r.Check)
	require.True(t, r.Interval >= 1800 && r.Interval <= 4*3600)
	switch r.Type {
	case "text":
		require.NotEmpty(t, r.Text.Content)
		require.LessOrEqual(t, len(r.Text.Content), 2048)
	case "markdown":
		require.NotEmpty(t, r.Markdown.Content)
		require.LessOrEqual(t, len(r.Markdown.Content), 2048)
	case "textcard":
		require.NotEmpty(t, r.Textcard.Title)
		require.LessOrEqual(t, len(r.Textcard.Title), 128)
		require.NotEmpty(t, r.Textcard.Description)
		require.LessOrEqual(t, len(r.Textcard.Description), 512)
		checkLink(t, r.Textcard.URL)
	case "news", "template_card":
	default:
		require.Fail(t, "message type", r.Type)
	}
	for _, markup := range []string{"<@", "<!", "@here", "<b>", "<script>", "\u202e", "\u0001"} {
		require.NotContains(t, m.Text, markup)
	}
}

// TestAppGolden: what an application sends of each notification.
func TestAppGolden(t *testing.T) {
	t.Parallel()
	env := receiverstest.Env(t, words(t))
	for _, c := range appsOfEachType() {
		receiverstest.GoldenStories(t, filepath.Join("app", nameOf(c)), *update, func(common relay.Common) relay.Setup {
			c.Common = common
			return buildApp(t, c, env, "http://localhost/cgi-bin")
		})
	}
}

func TestAppRecipients(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		app       wecom.Application
		want, key string
	}{
		"written down": {
			wecom.Application{ToUser: "@all", ToParty: "1|2", ToTag: "3"},
			`{"touser":"@all","toparty":"1|2","totag":"3"}`,
			"user:@all party:1|2 tag:3",
		},
		"from labels, as strangers write them": {
			wecom.Application{ToUser: "alice|{{ .CommonLabels.owner }}"}, `{"touser":"alice|bob"}`, "user:alice|bob",
		},
		"a chat": {
			wecom.Application{ChatID: "{{ .CommonLabels.chat }}"}, `{"chatid":"room-10086"}`, "chat:room-10086",
		},
		"nobody": {wecom.Application{ToUser: "{{ .CommonLabels.nobody }}"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := app("text")
			tt.app.CorpID, tt.app.AgentID, tt.app.Secret = c.CorpID, c.AgentID, c.Secret
			c.Application = tt.app
			setup := buildApp(t, c, receiverstest.Env(t, words(t)), "http://localhost")
			d := receiverstest.Delivery(t, "single-firing")
			d.Notification().CommonLabels["owner"] = "@all, bob;alice <@x> " + strings.Repeat("y", 65)
			d.Notification().CommonLabels["chat"] = "room-10086"
			to, err := setup.Destination(d.Notification())
			if tt.want == "" {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, to.Address)
			require.Equal(t, tt.key, to.Key)
			require.False(t, setup.ByRoom)
		})
	}
}

func TestAppByRoom(t *testing.T) {
	t.Parallel()
	c := app("text")
	c.ToUser, c.ChatID = "", "room-{{ .Snapshot.RoomID }}"
	require.True(t, buildApp(t, c, receiverstest.Env(t, words(t)), "http://localhost").ByRoom)
}

func TestValidateApp(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*wecom.Config)
		want   []string
	}{
		"fine":        {func(*wecom.Config) {}, nil},
		"a chat":      {func(c *wecom.Config) { c.ToUser, c.ChatID = "", "room" }, nil},
		"by file":     {func(c *wecom.Config) { c.Secret, c.SecretFile = secret.String{}, "f" }, nil},
		"two secrets": {func(c *wecom.Config) { c.SecretFile = "f" }, []string{": at most one of secret & secret_file must be configured"}},
		"to both": {
			func(c *wecom.Config) { c.ChatID = "room" },
			[]string{"chat_id: at most one of chat_id & to_user, to_party, to_tag must be configured"},
		},
		"half of it": {
			func(c *wecom.Config) { c.Application = wecom.Application{CorpID: "ww1"} },
			[]string{
				"agent_id: is required", ": one of secret & secret_file must be configured",
				": one of to_user, to_party, to_tag & chat_id must be configured",
			},
		},
		"a robot too": {
			func(c *wecom.Config) { c.Robot = robot() },
			[]string{": at most one of a robot (url, key, urls) & an application (corp_id) must be configured"},
		},
		"what robots have": {
			func(c *wecom.Config) { c.Mention.All, c.TextTwin, c.MessageType = true, true, "markdown" },
			[]string{"mention: is for robots: an application sends to those in to_user", "text_twin: is for robots"},
		},
		"types of robots": {
			func(c *wecom.Config) { c.MessageType = "markdown_v2" },
			[]string{`message_type: must be markdown, text, textcard, news or template_card, not "markdown_v2"`},
		},
		"types of members": {
			func(c *wecom.Config) { c.ToUser, c.ChatID, c.MessageType = "", "room", "template_card" },
			[]string{`message_type: must be markdown, text, textcard or news, not "template_card"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := app("text")
			tt.change(&c)
			c.SetDefaults(wecom.Globals{})
			f := fault.New()
			c.Validate(f)
			var got []string
			for _, each := range f.All() {
				got = append(got, each.Path+": "+each.Message)
			}
			require.Equal(t, tt.want, got)
		})
	}
}
