package dingtalk_test

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
	"github.com/alertrelay/relay/receivers/dingtalk"
	"github.com/alertrelay/relay/receivers/receiverstest"
)

const (
	appSecret = "app-secret-0123456789"
	appToken  = "token-0123456789-abcdefgh"
	tokenBody = `{"accessToken":"` + appToken + `","expireIn":7200}`
	sentBody  = `{"processQueryKey":"q","success":true,"result":{"deliverResults":[{"success":true}]}}`
	groupID   = "cidG+niQ3Ny/NwUc5KE7mANUQ=="
)

// application is one that sends a message type.
func application(messageType string) dingtalk.Config {
	c := dingtalk.Config{MessageType: messageType, Application: dingtalk.Application{
		AppKey: "dingkey1", AppSecret: secret.New(appSecret), ConversationID: groupID,
	}}
	if messageType == "card" {
		c.CardTemplateID = "alert.schema"
	}
	return c
}

func applications() []dingtalk.Config {
	var all []dingtalk.Config
	for _, messageType := range []string{"markdown", "text", "link", "actionCard", "card"} {
		all = append(all, application(messageType))
	}
	return all
}

// buildApp makes the application of c with its defaults, at an API.
func buildApp(t *testing.T, c dingtalk.Config, env relay.Env, api string) relay.Setup {
	t.Helper()
	c.SetDefaults(dingtalk.Globals{OpenAPIURL: api})
	f := fault.New()
	c.Validate(f)
	require.Empty(t, f.All())
	setup, err := dingtalk.New(c, env)
	require.NoError(t, err)
	return setup
}

// behindToken answers the token endpoint, and every other call by answer.
func behindToken(answer http.HandlerFunc) http.HandlerFunc {
	return receiverstest.BehindToken("/accessToken", tokenBody, answer)
}

func TestAppContract(t *testing.T) {
	t.Parallel()
	for _, c := range []dingtalk.Config{application("markdown"), application("actionCard"), application("card")} {
		faults := receiverstest.HTTPFaults(func(int) relay.Kind { return relay.Transient })
		if c.MessageType != "markdown" { // those to a message and to a card
			faults = append(faults, appAnswers()...)
		}
		t.Run(c.MessageType, func(t *testing.T) {
			t.Parallel()
			receiverstest.Run(t, receiverstest.Suite{
				New: func(t *testing.T, env relay.Env, target string) relay.Setup {
					t.Helper()
					c := c
					c.MaxParts = receiverstest.MaxParts
					return buildApp(t, c, env, target)
				},
				Vendor:    receiverstest.HTTPVendor(behindToken(receiverstest.Answer(http.StatusOK, sentBody))),
				Faults:    faults,
				Hang:      receiverstest.HTTPHang,
				Secrets:   []string{appSecret, appToken},
				Check:     checkApp,
				Templates: words(t),
			})
		})
	}
}

// appAnswers are those of DingTalk to an application.
func appAnswers() []receiverstest.Fault {
	var faults []receiverstest.Fault
	for _, a := range []struct {
		status int
		code   string
		kind   relay.Kind
		after  time.Duration
	}{
		{400, "InvalidAuthentication", relay.TokenExpired, 0},
		{400, "invalidClientIdOrSecret", relay.Misconfigured, 0},
		{400, "send.too.fast", relay.RateLimited, time.Minute},
		{400, "send.byToken.tooFast", relay.RateLimited, time.Minute},
		{400, "too.many.group", relay.RateLimited, time.Minute},
		{403, "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi", relay.RateLimited, 2 * time.Second},
		{403, "Forbidden.AccessDenied.QpsLimitForApi", relay.RateLimited, 2 * time.Second},
		{403, "Forbidden.AccessDenied.ApiCountLimitForOrg", relay.Misconfigured, 0},
		{403, "Forbidden.AccessDenied.AccessTokenPermissionDenied", relay.Misconfigured, 0},
		{400, "keywords.not.match", relay.Misconfigured, 0},
		{400, "sign.not.match", relay.Misconfigured, 0},
		{400, "group.disbanded", relay.Misconfigured, 0},
		{400, "bot.stopped", relay.Misconfigured, 0},
		{400, "invalidParameter.robotCode.notExist", relay.Misconfigured, 0},
		{400, "invalidParameter.openConversationId.invalid", relay.Misconfigured, 0},
		{400, "invalidParameter.msgParam.tooLong", relay.Refused, 0},
		{400, "param.error", relay.Refused, 0},
		{500, "system.error", relay.Transient, 0},
		{400, "something.new", relay.Transient, 0},
		{200, "something.new", relay.Transient, 0},
	} {
		body := fmt.Sprintf(`{"code":"%s","requestid":"1","message":"a message"}`, a.code)
		faults = append(faults, receiverstest.Fault{
			Name:   fmt.Sprintf("%d %s", a.status, a.code),
			Vendor: receiverstest.HTTPVendor(behindToken(receiverstest.Answer(a.status, body))),
			Kind:   a.kind, RetryAfter: a.after,
		})
	}
	deny := `{"status":1111,"wait":5,"source":"x5","punish":"deny","uuid":"u"}`
	return append(
		faults,
		receiverstest.Fault{
			Name: "address throttled", Vendor: receiverstest.HTTPVendor(behindToken(receiverstest.Answer(200, deny))),
			Kind: relay.RateLimited, RetryAfter: 5 * time.Minute,
		},
		receiverstest.Fault{
			Name: "nothing of it", Vendor: receiverstest.HTTPVendor(behindToken(receiverstest.Answer(200, `{}`))),
			Kind: relay.Transient,
		},
		receiverstest.Fault{
			Name: "token without token", Vendor: receiverstest.HTTPVendor(receiverstest.Answer(200, `{}`)), Kind: relay.Transient,
		},
	)
}

// checkApp fails when DingTalk would not take the request of an application.
func checkApp(t *testing.T, m relay.Message) {
	t.Helper()
	var r struct {
		Param  string `json:"msgParam"`
		Key    string `json:"msgKey"`
		Group  string `json:"openConversationId"`
		Robot  string `json:"robotCode"`
		Card   string `json:"cardTemplateId"`
		Track  string `json:"outTrackId"`
		Params struct {
			Map map[string]string `json:"cardParamMap"`
		} `json:"cardData"`
	}
	require.NoError(t, json.Unmarshal(m.Body, &r))
	if r.Card != "" {
		require.Equal(t, m.ID, r.Track)
		for _, value := range r.Params.Map {
			require.LessOrEqual(t, len(value), 1024)
		}
		return
	}
	require.LessOrEqual(t, len(r.Param), 15_000)
	require.Equal(t, groupID, r.Group)
	require.Equal(t, "dingkey1", r.Robot)
	var param map[string]string
	require.NoError(t, json.Unmarshal([]byte(r.Param), &param))
	for name, value := range param {
		require.NotEmpty(t, value, name)
		if strings.Contains(strings.ToLower(name), "url") {
			checkLink(t, value)
		}
	}
	for _, alive := range []string{"@here", "<b>", "<script>", "<!channel>", "\u202e", "\u0001"} {
		require.NotContains(t, m.Text, alive)
	}
}

// TestAppGolden: what an application sends of each notification.
func TestAppGolden(t *testing.T) {
	t.Parallel()
	env := receiverstest.Env(t, words(t))
	for _, c := range applications() {
		receiverstest.GoldenStories(t, filepath.Join("app", c.MessageType), *update, func(common relay.Common) relay.Setup {
			c.Common = common
			return buildApp(t, c, env, "http://localhost")
		})
	}
}

func TestAppDestination(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		groupID:                              groupID,
		"{{ .CommonLabels.conversation }}":   "cid123==",
		"{{ .CommonAnnotations.hostile }}":   "",
		"{{ .CommonLabels.no_such_label }}":  "",
		"{{ .CommonLabels.conversation }} x": "",
	} {
		c := application("text")
		c.ConversationID = source
		setup := buildApp(t, c, receiverstest.Env(t, words(t)), "http://localhost")
		d := receiverstest.Delivery(t, "single-firing")
		d.Notification().CommonLabels["conversation"] = "cid123=="
		d.Notification().CommonAnnotations["hostile"] = "cid\n<@all>"
		to, err := setup.Destination(d.Notification())
		require.Equal(t, want == "", err != nil, source)
		require.Equal(t, want, to.Address)
		require.False(t, setup.ByRoom)
	}
	c := application("text")
	c.ConversationID = "{{ .Snapshot.RoomID }}"
	require.True(t, buildApp(t, c, receiverstest.Env(t, words(t)), "http://localhost").ByRoom)
}

func TestValidateApp(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*dingtalk.Config)
		want   []string
	}{
		"fine": {func(*dingtalk.Config) {}, nil},
		"half of it": {
			func(c *dingtalk.Config) {
				c.Application, c.MessageType = dingtalk.Application{RobotCode: "r", MaxAge: -1}, "card"
			},
			[]string{
				"app_key: is required", ": one of app_secret & app_secret_file must be configured",
				"conversation_id: is required", "card_template_id: is required", "max_age: must be more than 0",
			},
		},
		"a robot too": {
			func(c *dingtalk.Config) { c.AccessToken, c.AppSecretFile = secret.New(token), "f" },
			[]string{
				": at most one of a custom robot (url, access_token, urls) & an application (app_key) must be configured",
				": at most one of app_secret & app_secret_file must be configured",
			},
		},
		"what custom robots have": {
			func(c *dingtalk.Config) { c.MessageType, c.Mention.All, c.Keyword = "feedCard", true, "x" },
			[]string{
				"keyword: is for custom robots",
				`message_type: must be markdown, text, link, actionCard or card, not "feedCard"`,
				"picture_url: is required: DingTalk takes no feedCard without pictures",
				"mention: is for custom robots: that of an application mentions nobody",
			},
		},
		"keys of cards": {
			func(c *dingtalk.Config) {
				c.CardTemplateID, c.CardParams = "t", map[string]string{strings.Repeat("x", 101): ""}
			},
			[]string{
				"card_params: a name has between 1 and 100 bytes", "card_template_id: is for message_type: card",
				"card_params: is for message_type: card",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := application("text")
			tt.change(&c)
			c.SetDefaults(dingtalk.Globals{})
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
