package sandbox_test

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/sandbox"
)

// wecomApp starts an application and returns the URLs of its calls by name, with a good token.
func wecomApp(t *testing.T, a sandbox.WeComApp) (*sandbox.Sandbox, *clock, func(call string) string) {
	t.Helper()
	sb, clk := start(t)
	a.CorpID, a.AgentID, a.Secret = "ww", 7, "s"
	api := sb.WeCom.AddApp(a)
	token := wecomToken(t, api)
	return sb, clk, func(call string) string { return api + call + "?access_token=" + token }
}

func wecomToken(t *testing.T, api string) string {
	t.Helper()
	var got struct {
		Token string `json:"access_token"`
		Life  int    `json:"expires_in"`
	}
	require.NoError(t, json.Unmarshal([]byte(get(t, api+"gettoken?corpid=ww&corpsecret=s").body), &got))
	require.NotEmpty(t, got.Token)
	require.LessOrEqual(t, got.Life, 7200)
	return got.Token
}

func TestWeComTokens(t *testing.T) {
	t.Parallel()
	sb, clk := start(t)
	api := sb.WeCom.AddApp(sandbox.WeComApp{CorpID: "ww", AgentID: 7, Secret: "s"})
	for query, code := range map[string]int{
		"": 41002, "?corpid=ww": 41004, "?corpid=x&corpsecret=s": 40013, "?corpid=ww&corpsecret=x": 40001,
	} {
		require.Equal(t, code, errcode(t, get(t, api+"gettoken"+query)), query)
	}
	first := wecomToken(t, api)
	require.Equal(t, first, wecomToken(t, api), "the same while it is good")
	send := func(token string) int {
		return errcode(t, post(t, api+"message/send?access_token="+token,
			`{"touser":"a","agentid":7,"msgtype":"text","text":{"content":"x"}}`))
	}
	require.Zero(t, send(first))
	require.Equal(t, 41001, send(""))
	require.Equal(t, 40014, send("unknown"))
	clk.Advance(2 * time.Hour)
	require.Equal(t, 42001, send(first))
	second := wecomToken(t, api)
	require.NotEqual(t, first, second)
	require.Zero(t, send(second))
	sb.WeCom.Revoke()
	require.Equal(t, 42001, send(second))
	sb.WeCom.AddApp(sandbox.WeComApp{CorpID: "ww", AgentID: 7, Secret: "s", ExpiredAs40014: true})
	require.Equal(t, 40014, send(second), "as was seen too")
	require.Equal(t, 3, sb.WeCom.Issued())
}

func TestWeComAppAnswers(t *testing.T) {
	t.Parallel()
	text := func(n int) string {
		return `{"touser":"a","agentid":7,"msgtype":"text","text":{"content":"` + strings.Repeat("x", n) + `"}}`
	}
	card := func(fields string) string {
		return `{"touser":"a","agentid":"7","msgtype":"template_card","template_card":{"card_type":"button_interaction",` +
			fields + `}}`
	}
	const good = `"main_title":{"title":"t"},"task_id":"t-1","button_list":[{"type":1,"text":"b","url":"http://h"}]`
	ids := strings.TrimSuffix(strings.Repeat("x|", 101), "|")
	for name, c := range map[string]struct {
		app   sandbox.WeComApp
		call  string
		body  string
		code  int
		text  string
		flags []string
	}{
		"text":            {body: text(2048)},
		"text is cut":     {body: text(2049), flags: []string{"text cut"}},
		"not JSON":        {body: `<xml/>`, code: 40008},
		"of robots":       {body: `{"touser":"a","agentid":7,"msgtype":"markdown_v2","markdown_v2":{"content":"x"}}`, code: 40008},
		"markdown":        {body: `{"touser":"a","agentid":7,"msgtype":"markdown","markdown":{"content":"` + strings.Repeat("x", 2049) + `"}}`, code: 40058},
		"wrong agent":     {body: strings.Replace(text(1), "7", "8", 1), code: 40056},
		"nobody":          {body: strings.Replace(text(1), `"touser":"a"`, `"touser":""`, 1), code: 82001},
		"101 parties":     {body: strings.Replace(text(1), `"touser":"a"`, `"toparty":"`+ids+`"`, 1), code: 82002},
		"101 tags":        {body: strings.Replace(text(1), `"touser":"a"`, `"totag":"`+ids+`"`, 1), code: 82003},
		"all unknown":     {app: sandbox.WeComApp{Members: []string{"b"}}, body: text(1), code: 81013},
		"some unknown":    {app: sandbox.WeComApp{Members: []string{"b"}}, body: strings.Replace(text(1), `"a"`, `"A|B"`, 1), text: `"invaliduser":"a"`},
		"address":         {app: sandbox.WeComApp{CIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, body: text(1), code: 60020},
		"Alertmanager's":  {body: `{"touser":"a","agentid":"7","safe":"0","msgtype":"text","text":{"content":"x"},"markdown":{"content":""}}`},
		"textcard":        {body: `{"touser":"a","agentid":7,"msgtype":"textcard","textcard":{"title":"t","description":"d","url":"http://h"}}`},
		"textcard no URL": {body: `{"touser":"a","agentid":7,"msgtype":"textcard","textcard":{"title":"t","description":"d","url":"h"}}`, code: 45034},
		"textcard empty":  {body: `{"touser":"a","agentid":7,"msgtype":"textcard","textcard":{"title":"t","url":"http://h"}}`, code: 44004},
		"card":            {body: card(good), text: `"response_code":"code-`},
		"card no task":    {body: card(strings.Replace(good, "t-1", "", 1)), code: 40058},
		"card no button":  {body: card(`"main_title":{"title":"t"},"task_id":"t"`), code: 40058},
		"card dead link":  {body: card(strings.Replace(good, "http://h", "h", 1)), code: 40058},
		"chat": {
			app: sandbox.WeComApp{Chats: []string{"c"}}, call: "appchat/send",
			body: `{"chatid":"c","msgtype":"text","text":{"content":"x"}}`,
		},
		"no such chat": {call: "appchat/send", body: `{"chatid":"c","msgtype":"text","text":{"content":"x"}}`, code: 86003},
		"no card in a chat": {
			app: sandbox.WeComApp{Chats: []string{"c"}}, call: "appchat/send",
			body: strings.Replace(card(good), `"touser":"a"`, `"chatid":"c"`, 1), code: 40008,
		},
		"unknown field": {body: strings.Replace(text(1), `"touser"`, `"toUser":"b","touser"`, 1), flags: []string{"unknown field toUser"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sb, _, url := wecomApp(t, c.app)
			if c.call == "" {
				c.call = "message/send"
			}
			got := post(t, url(c.call), c.body)
			require.Equal(t, c.code, errcode(t, got), got.body)
			require.Contains(t, got.body, c.text)
			if c.code == 0 {
				require.Equal(t, c.flags, sb.Inbox("wecom")[0].Flags)
			}
		})
	}
}

func TestWeComDropsWithoutAWord(t *testing.T) {
	t.Parallel()
	sb, clk, url := wecomApp(t, sandbox.WeComApp{})
	for range 31 {
		require.Zero(t, errcode(t, post(t, url("message/send"), `{"touser":"a","agentid":7,"msgtype":"text","text":{"content":"x"}}`)))
	}
	require.Len(t, sb.Inbox("wecom"), 30, "the 31st in a minute is dropped")
	clk.Advance(time.Minute)
	const twice = `{"touser":"a","agentid":7,"msgtype":"text","text":{"content":"x"},"enable_duplicate_check":1}`
	for range 2 {
		require.Zero(t, errcode(t, post(t, url("message/send"), twice)))
	}
	require.Len(t, sb.Inbox("wecom"), 31)
	clk.Advance(30 * time.Minute)
	require.Zero(t, errcode(t, post(t, url("message/send"), twice)))
	require.Len(t, sb.Inbox("wecom"), 32)
}

func TestWeComCardIsUpdatedOnce(t *testing.T) {
	t.Parallel()
	sb, clk, url := wecomApp(t, sandbox.WeComApp{})
	const card = `"template_card":{"card_type":"button_interaction","main_title":{"title":"TITLE"},TASK` +
		`"button_list":[{"type":1,"text":"b","url":"http://h"}]}`
	create := func(task string) string {
		body := strings.NewReplacer("TITLE", "before", "TASK", `"task_id":"`+task+`",`).Replace(card)
		var got struct {
			Code string `json:"response_code"`
		}
		require.NoError(t, json.Unmarshal([]byte(post(t, url("message/send"),
			`{"touser":"a","agentid":7,"msgtype":"template_card",`+body+`}`).body), &got))
		return got.Code
	}
	update := func(code string) int {
		body := strings.NewReplacer("TITLE", "after", "TASK", "").Replace(card)
		return errcode(t, post(t, url("message/update_template_card"),
			`{"atall":1,"agentid":7,"response_code":"`+code+`",`+body+`}`))
	}
	code := create("one")
	require.Equal(t, 40096, update("unknown"))
	require.Zero(t, update(code))
	require.Equal(t, "after", sb.Inbox("wecom")[0].Title)
	require.Equal(t, 1, sb.Inbox("wecom")[0].Updates)
	require.Equal(t, 40096, update(code))

	code = create("two")
	clk.Advance(72*time.Hour - time.Second)
	token := wecomToken(t, sb.URL()+"/cgi-bin/")
	url = func(call string) string { return sb.URL() + "/cgi-bin/" + call + "?access_token=" + token }
	clk.Advance(time.Second)
	require.Equal(t, 40096, update(code), "three days have passed")
}

// dingtalkApp starts an application and returns a function that makes its calls with a good token.
func dingtalkApp(t *testing.T, a sandbox.DingTalkApp) (*sandbox.Sandbox, *clock, func(method, path, body string) reply) {
	t.Helper()
	sb, clk := start(t)
	a.Key, a.Secret, a.RobotCode = "k", "s", "r"
	if a.Groups == nil {
		a.Groups = map[string]string{"cid": "Group"}
	}
	a.Templates = []string{"tpl"}
	api := sb.DingTalk.AddApp(a)
	token := dingtalkToken(t, api)
	return sb, clk, func(method, path, body string) reply {
		return post(t, api+path, body, func(r *http.Request) {
			r.Method = method
			r.Header.Set("x-acs-dingtalk-access-token", token)
		})
	}
}

func dingtalkToken(t *testing.T, api string) string {
	t.Helper()
	var got struct {
		Token string `json:"accessToken"`
	}
	require.NoError(t, json.Unmarshal([]byte(post(t, api+"/v1.0/oauth2/accessToken", `{"appKey":"k","appSecret":"s"}`).body), &got))
	require.NotEmpty(t, got.Token)
	return got.Token
}

func TestDingTalkTokens(t *testing.T) {
	t.Parallel()
	sb, clk, call := dingtalkApp(t, sandbox.DingTalkApp{})
	wrong := post(t, sb.URL()+"/v1.0/oauth2/accessToken", `{"appKey":"k","appSecret":"x"}`)
	require.Equal(t, 400, wrong.status)
	require.Contains(t, wrong.body, "invalidClientIdOrSecret")
	const body = `{"msgParam":"{\"content\":\"x\"}","msgKey":"sampleText","openConversationId":"cid","robotCode":"r"}`
	require.Equal(t, 200, call("POST", "/v1.0/robot/groupMessages/send", body).status)
	clk.Advance(2*time.Hour - time.Second)
	dingtalkToken(t, sb.URL()) // renews it
	clk.Advance(time.Second)
	require.Equal(t, 200, call("POST", "/v1.0/robot/groupMessages/send", body).status)
	sb.DingTalk.Revoke()
	stale := func() {
		got := call("POST", "/v1.0/robot/groupMessages/send", body)
		require.Equal(t, 400, got.status)
		require.Contains(t, got.body, "InvalidAuthentication")
	}
	stale()

	sb, clk, call = dingtalkApp(t, sandbox.DingTalkApp{})
	clk.Advance(sandbox.DingTalkTokenLife - time.Second)
	require.Equal(t, 200, call("POST", "/v1.0/robot/groupMessages/send", body).status)
	clk.Advance(time.Second)
	stale() // it has expired
	require.Equal(t, 1, sb.DingTalk.Issued())
}

// The token endpoints can be slow, or down, while everything else is as always.
func TestTokenEndpointsInTrouble(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*sandbox.Sandbox) (method, url, body string, inject func(string, ...sandbox.Fault)){
		"dingtalk": func(sb *sandbox.Sandbox) (method, url, body string, inject func(string, ...sandbox.Fault)) {
			api := sb.DingTalk.AddApp(sandbox.DingTalkApp{Key: "k", Secret: "s"})
			return http.MethodPost, api + "/v1.0/oauth2/accessToken", `{"appKey":"k","appSecret":"s"}`, sb.DingTalk.Inject
		},
		"wecom": func(sb *sandbox.Sandbox) (method, url, body string, inject func(string, ...sandbox.Fault)) {
			api := sb.WeCom.AddApp(sandbox.WeComApp{CorpID: "ww", AgentID: 7, Secret: "s"})
			return http.MethodGet, api + "gettoken?corpid=ww&corpsecret=s", "", sb.WeCom.Inject
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sb, _ := start(t)
			method, url, body, inject := open(sb)
			token := func() (reply, error) {
				return try(t, url, body, func(r *http.Request) { r.Method = method })
			}
			inject(sandbox.AccountToken, sandbox.FaultStatus(503))
			down, err := token()
			require.NoError(t, err)
			require.Equal(t, 503, down.status)

			release, answers := make(chan struct{}), make(chan reply, 2)
			inject(sandbox.AccountToken, sandbox.FaultHang(release))
			for range 2 { // one of them has to wait
				go func() {
					got, _ := token()
					answers <- got
				}()
			}
			require.Equal(t, 200, (<-answers).status)
			require.Empty(t, answers)
			close(release)
			require.Equal(t, 200, (<-answers).status)
		})
	}
}

func TestDingTalkAppAnswers(t *testing.T) {
	t.Parallel()
	message := func(key, param string) string {
		quoted, _ := json.Marshal(param)
		return `{"msgParam":` + string(quoted) + `,"msgKey":"` + key + `","openConversationId":"cid","robotCode":"r"}`
	}
	const buttons = `"actionTitle1":"a","actionURL1":"http://a","actionTitle2":"b","actionURL2":"http://b"`
	card := `{"cardTemplateId":"tpl","outTrackId":"o","cardData":{"cardParamMap":{"title":"t"}},` +
		`"openSpaceId":"dtv1.card//IM_GROUP.cid","imGroupOpenDeliverModel":{"robotCode":"r"},"callbackType":"STREAM"}`
	const send, create = "/v1.0/robot/groupMessages/send", "/v1.0/card/instances/createAndDeliver"
	for name, c := range map[string]struct {
		app   sandbox.DingTalkApp
		path  string
		body  string
		code  string
		flags []string
	}{
		"text":           {path: send, body: message("sampleText", `{"content":"x"}`)},
		"markdown":       {path: send, body: message("sampleMarkdown", `{"title":"t","text":"x"}`)},
		"two buttons":    {path: send, body: message("sampleActionCard2", `{"title":"t","text":"x",`+buttons+`}`)},
		"a button short": {path: send, body: message("sampleActionCard3", `{"title":"t","text":"x",`+buttons+`}`), code: "invalidParameter.msgParam.invalid"},
		"more than it has": {
			path: send, body: message("sampleText", `{"content":"x","title":"t"}`), flags: []string{"unknown field msgParam.title"},
		},
		"no such key":        {path: send, body: message("sampleFeedCard", `{}`), code: "invalidParameter.msgKey.invalid"},
		"too long":           {path: send, body: message("sampleText", `{"content":"`+strings.Repeat("x", 15_000)+`"}`), code: "invalidParameter.msgParam.tooLong"},
		"param is no JSON":   {path: send, body: message("sampleText", `x`), code: "invalidParameter.msgParam.invalid"},
		"stopped":            {app: sandbox.DingTalkApp{Stopped: true}, path: send, body: message("sampleText", `{"content":"x"}`), code: "bot.stopped"},
		"another group":      {app: sandbox.DingTalkApp{Groups: map[string]string{"x": ""}}, path: send, body: message("sampleText", `{"content":"x"}`), code: "invalidParameter.openConversationId.invalid"},
		"too fast":           {app: sandbox.DingTalkApp{Limit: sandbox.Limit{Per: time.Minute}}, path: send, body: message("sampleText", `{"content":"x"}`), code: "send.too.fast"},
		"card":               {path: create, body: card},
		"card template":      {path: create, body: strings.Replace(card, "tpl", "x", 1), code: "param.templateNotExist"},
		"card space":         {path: create, body: strings.Replace(card, "IM_GROUP", "X", 1), code: "param.openSpaceId.error"},
		"card value":         {path: create, body: strings.Replace(card, `"t"`, `"`+strings.Repeat("x", 1025)+`"`, 1), code: "param.cardData.error"},
		"card robot":         {path: create, body: strings.Replace(card, `"r"`, `"x"`, 1), code: "invalidParameter.robotCode.notExist"},
		"card field":         {path: create, body: strings.Replace(card, `"outTrackId"`, `"outTrackID":"x","outTrackId"`, 1), flags: []string{"unknown field outTrackID"}},
		"no such call":       {path: "/v1.0/robot/oToMessages/batchSend", body: "{}", code: "InvalidAction.NotFound"},
		"card without an id": {path: create, body: strings.Replace(card, `"o"`, `""`, 1), code: "param.outTrackId.error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sb, _, call := dingtalkApp(t, c.app)
			got := call("POST", c.path, c.body)
			if c.code != "" {
				require.GreaterOrEqual(t, got.status, 400)
				require.Contains(t, got.body, `"code":"`+c.code+`"`)
				require.Empty(t, sb.Inbox("dingtalk"))
				return
			}
			require.Equal(t, 200, got.status, got.body)
			require.Equal(t, c.flags, sb.Inbox("dingtalk")[0].Flags)
		})
	}
}

func TestDingTalkCardIsUpdated(t *testing.T) {
	t.Parallel()
	sb, _, call := dingtalkApp(t, sandbox.DingTalkApp{})
	const create, path = "/v1.0/card/instances/createAndDeliver", "/v1.0/card/instances"
	card := `{"cardTemplateId":"tpl","outTrackId":"o","cardData":{"cardParamMap":{"title":"t","text":"x"}},` +
		`"openSpaceId":"dtv1.card//IM_GROUP.cid","imGroupOpenDeliverModel":{"robotCode":"r"},"callbackType":"STREAM"}`
	update := `{"outTrackId":"o","cardData":{"cardParamMap":{"title":"u"}},"cardUpdateOptions":{"updateCardDataByKey":true}}`
	require.Contains(t, call("PUT", path, update).body, "param.cardNotExist")
	require.Equal(t, 200, call("POST", create, card).status)
	require.Contains(t, call("POST", create, card).body, "param.outTrackId.exist")
	require.Equal(t, 200, call("PUT", path, update).status)
	require.Equal(t, map[string]string{"title": "u", "text": "x"}, sb.Inbox("dingtalk")[0].Params, "the others stay")
	require.Equal(t, 200, call("PUT", path, strings.Replace(update, "true", "false", 1)).status)
	require.Equal(t, map[string]string{"title": "u"}, sb.Inbox("dingtalk")[0].Params)
	sb.DingTalk.Forget()
	require.Equal(t, 400, call("PUT", path, update).status)
}
