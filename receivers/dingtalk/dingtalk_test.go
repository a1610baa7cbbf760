package dingtalk_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/robots"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/receivers/dingtalk"
	"github.com/alertrelay/relay/receivers/receiverstest"
	"github.com/alertrelay/relay/templates"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	token   = "0123456789abcdef0123456789abcdef"
	signing = "SECtest0001"
	path    = "/robot/send?access_token=" + token
	okBody  = `{"errcode":0,"errmsg":"ok"}`
)

func TestContract(t *testing.T) {
	t.Parallel()
	for _, c := range types() {
		faults := receiverstest.HTTPFaults(func(int) relay.Kind { return relay.Transient })[:1]
		if c.MessageType == "markdown" { // what DingTalk answers is the same for all
			faults = append(receiverstest.HTTPFaults(func(int) relay.Kind { return relay.Transient }), answers()...)
		}
		t.Run(c.MessageType, func(t *testing.T) {
			t.Parallel()
			receiverstest.Run(t, receiverstest.Suite{
				New: func(t *testing.T, env relay.Env, target string) relay.Setup {
					t.Helper()
					c := c // tests run side by side
					c.MaxParts = receiverstest.MaxParts
					c.Robot = dingtalk.Robot{URL: secret.New(target + path), Secret: secret.New(signing)}
					return build(t, c, env)
				},
				Vendor:    receiverstest.HTTPVendor(receiverstest.Answer(http.StatusOK, okBody)),
				Faults:    faults,
				Hang:      receiverstest.HTTPHang,
				Secrets:   []string{token, signing, "sign="},
				Check:     check,
				Templates: words(t),
			})
		})
	}
}

// types are configurations of each message type.
func types() []dingtalk.Config {
	return []dingtalk.Config{
		{MessageType: "markdown"},
		{MessageType: "text"},
		{MessageType: "link", PictureURL: "https://example.com/bell.png", OpenInBrowser: true},
		{MessageType: "actionCard", ButtonLayout: "horizontal"},
		{MessageType: "feedCard", PictureURL: "https://example.com/bell.png"},
	}
}

// answers are those of DingTalk itself.
func answers() []receiverstest.Fault {
	var faults []receiverstest.Fault
	for _, a := range seen() {
		faults = append(faults, receiverstest.Fault{
			Name:   a.name,
			Vendor: receiverstest.HTTPVendor(receiverstest.Answer(http.StatusOK, a.body)),
			Kind:   a.kind, RetryAfter: a.after,
		})
	}
	return faults
}

type answer struct {
	name, body string
	kind       relay.Kind
	after      time.Duration
}

// seen are DingTalk's answers as they were seen.
func seen() []answer {
	return []answer{
		{"busy", `{"errcode":-1,"errmsg":"系统繁忙"}`, relay.Transient, 0},
		{"too fast", `{"errcode":130101,"errmsg":"send too fast, exceed 20 times per minute"}`, relay.RateLimited, 10 * time.Minute},
		{"too fast, in the table's code", `{"errcode":410100,"errmsg":"发送速度太快而限流"}`, relay.RateLimited, 10 * time.Minute},
		{
			"address throttled", `{"status":1111,"wait":5,"source":"x5","punish":"deny","uuid":"u"}`,
			relay.RateLimited, 5 * time.Minute,
		},
		{
			"address throttled, together with a code",
			`{"status":1111,"punish":"deny","errcode":130101,"errmsg":"send too fast"}`, relay.RateLimited, 10 * time.Minute,
		},
		{"app limit", `{"errcode":90018,"errmsg":"您的服务器调用钉钉开放平台当前接口的所有请求都被暂时禁用了"}`, relay.Transient, 0},
		{"platform limit", `{"errcode":90002,"errmsg":"限流"}`, relay.Transient, 0},
		{"platform limit, the first", `{"errcode":90001,"errmsg":"限流"}`, relay.Transient, 0},
		{"signature out of time", `{"errcode":310000,"errmsg":"invalid timestamp"}`, relay.Transient, 0},
		{"signature out of time, in Chinese", `{"errcode":310000,"errmsg":"description:签名已过期;solution:请重新生成"}`, relay.Transient, 0},
		{"wrong signature", `{"errcode":310000,"errmsg":"sign not match, more: [https://ding-doc.dingtalk.com]"}`, relay.Misconfigured, 0},
		{
			"wrong signature, newer text",
			`{"errcode":310000,"errmsg":"description:机器人发送签名不匹配;solution:请确认签名和生成签名的时间戳必须都放在调用的网址中，请确认机器人的密钥加密和填写正确;"}`,
			relay.Misconfigured, 0,
		},
		{"keyword missing", `{"errcode":310000,"errmsg":"keywords not in content"}`, relay.Misconfigured, 0},
		{"keyword missing, newer text", `{"errcode":310000,"errmsg":"description:关键词不匹配;solution:请联系群管理员"}`, relay.Misconfigured, 0},
		{"address not allowed", `{"errcode":310000,"errmsg":"ip 203.0.113.9 not in whitelist"}`, relay.Misconfigured, 0},
		{"address not allowed, newer text", `{"errcode":310000,"errmsg":"description:ip 不在白名单中;solution:请联系对应群的管理员"}`, relay.Misconfigured, 0},
		{"no such token", `{"errcode":300005,"errmsg":"token is not exist"}`, relay.Misconfigured, 0},
		{"no such token, older code", `{"errcode":300001,"errmsg":"token is not exist"}`, relay.Misconfigured, 0},
		{"no such token, the table's code", `{"errcode":400101,"errmsg":"access_token不存在"}`, relay.Misconfigured, 0},
		{"not POST", `{"errcode":43002,"errmsg":"需要POST请求"}`, relay.Misconfigured, 0},
		{"headers changed on the way", `{"errcode":43004,"errmsg":"无效的HTTP HEADER Content-Type"}`, relay.Misconfigured, 0},
		{"authorisation missing", `{"errcode":43007,"errmsg":"需要授权"}`, relay.Misconfigured, 0},
		{"no token of an app", `{"errcode":88,"errmsg":"不合法的access_token"}`, relay.Misconfigured, 0},
		{"secret of an app", `{"errcode":40001,"errmsg":"获取access_token时Secret错误"}`, relay.Misconfigured, 0},
		{"wrong token of an app", `{"errcode":40014,"errmsg":"不合法的access_token"}`, relay.Misconfigured, 0},
		{"old token of an app", `{"errcode":42001,"errmsg":"access_token超时"}`, relay.Misconfigured, 0},
		{"group dissolved", `{"errcode":400013,"errmsg":"群已被解散"}`, relay.Misconfigured, 0},
		{"robot disabled", `{"errcode":400102,"errmsg":"description:机器人已经停用或者未启用"}`, relay.Misconfigured, 0},
		{"robot removed", `{"errcode":400106,"errmsg":"机器人不存在"}`, relay.Misconfigured, 0},
		{"quota used up", `{"errcode":90030,"errmsg":"webhook over limit"}`, relay.Misconfigured, 0},
		{"quota used up, older code", `{"errcode":90020,"errmsg":"调用次数超限"}`, relay.Misconfigured, 0},
		{"token missing", `{"errcode":40035,"errmsg":"缺少参数 access_token"}`, relay.Refused, 0},
		{"parameter missing", `{"errcode":40035,"errmsg":"缺少参数 json"}`, relay.Refused, 0},
		{"message type", `{"errcode":400105,"errmsg":"不支持的消息类型"}`, relay.Refused, 0},
		{"unsafe link", `{"errcode":430101,"errmsg":"含有不安全的外链"}`, relay.Refused, 0},
		{"unfit text", `{"errcode":430102,"errmsg":"文本内容不合适"}`, relay.Refused, 0},
		{"unfit picture", `{"errcode":430103,"errmsg":"图片内容不合适"}`, relay.Refused, 0},
		{"unfit content", `{"errcode":430104,"errmsg":"内容不合适"}`, relay.Refused, 0},
		{"too long", `{"errcode":460101,"errmsg":"message too long, exceed 20000 bytes"}`, relay.Refused, 0},
		{"too long, older code", `{"errcode":101002,"errmsg":"message is too long"}`, relay.Refused, 0},
		{"code in quotes", `{"errcode":"300005","errmsg":"token is not exist"}`, relay.Misconfigured, 0},
		{"unknown code", `{"errcode":987654,"errmsg":"?"}`, relay.Transient, 0},
		{"no code", `{"success":true}`, relay.Transient, 0},
		{"null code", `{"errcode":null}`, relay.Transient, 0},
		{"no object", `[0]`, relay.Transient, 0},
		{"code in words", `{"errcode":"zero"}`, relay.Transient, 0},
		{"shows the token", `{"errcode":300005,"errmsg":"no ` + token + `"}`, relay.Misconfigured, 0},
	}
}

// wire is a request as DingTalk reads it.
type wire struct {
	Type string `json:"msgtype"`
	Text *struct {
		Content string `json:"content"`
	} `json:"text"`
	Markdown *struct {
		Title string `json:"title"`
		Text  string `json:"text"`
	} `json:"markdown"`
	Link *struct {
		Title   string `json:"title"`
		Text    string `json:"text"`
		URL     string `json:"messageUrl"`
		Picture string `json:"picUrl"`
	} `json:"link"`
	ActionCard *struct {
		Title       string `json:"title"`
		Text        string `json:"text"`
		SingleTitle string `json:"singleTitle"`
		SingleURL   string `json:"singleURL"`
		Orientation string `json:"btnOrientation"`
		Buttons     []struct {
			Title string `json:"title"`
			URL   string `json:"actionURL"`
		} `json:"btns"`
	} `json:"actionCard"`
	FeedCard *struct {
		Links []struct {
			Title   string `json:"title"`
			URL     string `json:"messageURL"`
			Picture string `json:"picURL"`
		} `json:"links"`
	} `json:"feedCard"`
	At *struct {
		Mobiles []string `json:"atMobiles"`
		UserIDs []string `json:"atUserIds"`
		All     bool     `json:"isAtAll"`
	} `json:"at"`
	UUID string `json:"msgUuid"`
}

func read(t *testing.T, m relay.Message) wire {
	t.Helper()
	var w wire
	d := json.NewDecoder(bytes.NewReader(m.Body))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&w))
	return w
}

func check(t *testing.T, m relay.Message) {
	t.Helper()
	require.LessOrEqual(t, len(m.Body), 19_000)
	w := read(t, m)
	require.Equal(t, m.ID, w.UUID)
	require.Nil(t, w.At, "nobody was to be mentioned")
	isMarkup := w.Type == "markdown" || w.Type == "actionCard"
	for _, alive := range []string{
		"@here", "@all", "@1380", "<b>", "<a ", "<font", "<script>", "<!channel>", "\u202e", "\u0001",
		"*bold*", "`cmd`", "](https://evil", "\n> quote",
	} {
		if !isMarkup && strings.ContainsAny(alive[:1], "*`]\n") {
			continue // no markup there
		}
		require.NotContains(t, strings.NewReplacer(`\*`, "＊", "\\`", "｀", `\]`, "］").Replace(m.Text), alive)
	}
	switch w.Type {
	case "markdown":
		require.NotEmpty(t, w.Markdown.Title)
		require.NotContains(t, w.Markdown.Title, "\n")
		require.Equal(t, m.Text, w.Markdown.Text)
		require.NotEmpty(t, w.Markdown.Text)
		require.Nil(t, w.Text)
	case "text":
		require.Equal(t, m.Text, w.Text.Content)
		require.NotEmpty(t, w.Text.Content)
		require.Nil(t, w.Markdown)
	case "link":
		require.NotEmpty(t, w.Link.Title)
		require.Equal(t, m.Text, w.Link.Text)
		require.True(t, strings.HasPrefix(w.Link.URL, "dingtalk://dingtalkclient/page/link?url=http"), w.Link.URL)
	case "actionCard":
		require.NotEmpty(t, w.ActionCard.Title)
		require.Equal(t, m.Text, w.ActionCard.Text)
		if w.ActionCard.SingleTitle != "" {
			checkLink(t, w.ActionCard.SingleURL)
			require.Empty(t, w.ActionCard.Buttons)
			break
		}
		require.GreaterOrEqual(t, len(w.ActionCard.Buttons), 2)
		for _, b := range w.ActionCard.Buttons {
			require.NotEmpty(t, b.Title)
			checkLink(t, b.URL)
		}
	case "feedCard":
		require.NotEmpty(t, w.FeedCard.Links)
		for _, l := range w.FeedCard.Links {
			require.NotEmpty(t, l.Title)
			require.NotContains(t, l.Title, "\n")
			checkLink(t, l.URL)
			checkLink(t, l.Picture)
		}
	default:
		require.Fail(t, "message type", w.Type)
	}
}

func checkLink(t *testing.T, link string) {
	t.Helper()
	require.True(t, strings.HasPrefix(link, "http://") || strings.HasPrefix(link, "https://"), link)
}

// words are the real texts.
func words(tb testing.TB) relay.Renderer {
	tb.Helper()
	set, err := templates.New(templates.Config{Timezone: "Asia/Shanghai", Timeout: time.Minute})
	require.NoError(tb, err)
	return set
}

// build makes the integration of c with its defaults.
func build(t *testing.T, c dingtalk.Config, env relay.Env) relay.Setup {
	t.Helper()
	c.SetDefaults(dingtalk.Globals{})
	f := fault.New()
	c.Validate(f)
	require.Empty(t, f.All())
	setup, err := dingtalk.New(c, env)
	require.NoError(t, err)
	return setup
}

func TestSignature(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, secret string
		timestamp    int64
		want         string // in the URL
	}{
		{"slashes and plus", "SECtest0001", 1700000000000, "iK9eW9jtGBT4TttaiEbfCz5U5QFsyS%2FRb%2Fr8GW%2BV%2Fx4%3D"},
		{"another secret", "SEC2", 1700000000000, "c227HQTWt2wV3iB3fp%2BNN%2BTzK6sdOcH%2FxEmqzvi37cY%3D"},
		{"spaces in the secret", "this is a secret", 1577262236757, "DJrE6qdyVGCQz9z5r2MDuNcNAhwYnuAkyj13cx169CA%3D"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var queries []string
			target := receiverstest.HTTPVendor(func(w http.ResponseWriter, r *http.Request) {
				queries = append(queries, r.URL.RawQuery)
				receiverstest.Answer(http.StatusOK, okBody)(w, r)
			})(t)
			env := receiverstest.Env(t, receiverstest.Words{})
			now := time.UnixMilli(tt.timestamp)
			env.Now = func() time.Time { return now }
			setup := build(t, dingtalk.Config{
				Robot: dingtalk.Robot{URL: secret.New(target + path), Secret: secret.New(tt.secret)},
			}, env)
			for range 2 {
				_, err := setup.Send(t.Context(), relay.Message{Body: []byte("{}")})
				require.NoError(t, err)
			}
			require.Contains(t, "&"+queries[0], "&sign="+tt.want)
			require.Equal(t, queries[0], queries[1], "the URL does not grow")

			now = now.Add(time.Second)
			_, err := setup.Send(t.Context(), relay.Message{Body: []byte("{}")})
			require.NoError(t, err)
			require.NotContains(t, queries[2], tt.want, "signed anew")
		})
	}
}

func TestStaleSignatureTwiceIsForAPerson(t *testing.T) {
	t.Parallel()
	bodies := []string{
		`{"errcode":310000,"errmsg":"invalid timestamp"}`,
		`{"errcode":310000,"errmsg":"invalid timestamp"}`,
		okBody,
		`{"errcode":310000,"errmsg":"invalid timestamp"}`,
	}
	target := receiverstest.HTTPVendor(func(w http.ResponseWriter, r *http.Request) {
		receiverstest.Answer(http.StatusOK, bodies[0])(w, r)
		bodies = bodies[1:]
	})(t)
	setup := build(t, dingtalk.Config{
		Robot: dingtalk.Robot{URL: secret.New(target + path), Secret: secret.New(signing)},
	}, receiverstest.Env(t, receiverstest.Words{}))
	send := func() error {
		_, err := setup.Send(t.Context(), relay.Message{Body: []byte("{}")})
		return err
	}
	require.Equal(t, relay.Transient, relay.KindOf(send()), "the next request has a new signature")
	require.Equal(t, relay.Misconfigured, relay.KindOf(send()), "the clock is wrong")
	require.NoError(t, send())
	require.Equal(t, relay.Transient, relay.KindOf(send()))
}

func TestPoolSendsThroughTheClaimedRobot(t *testing.T) {
	t.Parallel()
	var tokens []string
	target := receiverstest.HTTPVendor(func(w http.ResponseWriter, r *http.Request) {
		tokens = append(tokens, r.URL.Query().Get("access_token"))
		receiverstest.Answer(http.StatusOK, `{"errcode":"0","errmsg":"ok"}`)(w, r)
	})(t)
	file := filepath.Join(t.TempDir(), "two.url")
	require.NoError(t, os.WriteFile(file, []byte(target+"/robot/send?access_token=two\n"), 0o600))
	setup := build(t, dingtalk.Config{URLs: []dingtalk.PoolRobot{
		{Robot: dingtalk.Robot{URL: secret.New(target + "/robot/send?access_token=one")}},
		{Robot: dingtalk.Robot{URLFile: secret.File(file)}},
	}}, receiverstest.Env(t, receiverstest.Words{}))
	require.Len(t, setup.Limiters, 2)
	require.NotEqual(t, setup.Limiters[0], setup.Limiters[1])

	for _, limiter := range []relay.LimiterID{setup.Limiters[1], setup.Limiters[0], ""} {
		_, err := setup.Send(t.Context(), relay.Message{Limiter: limiter, Body: []byte("{}")})
		require.NoError(t, err)
	}
	require.Equal(t, []string{"two", "one", "one"}, tokens)

	require.NoError(t, os.WriteFile(file, []byte(target+"/robot/send?access_token=rotated"), 0o600))
	_, err := setup.Send(t.Context(), relay.Message{Limiter: setup.Limiters[1], Body: []byte("{}")})
	require.NoError(t, err)
	require.Equal(t, "rotated", tokens[3], "files are read at each use")

	require.NoError(t, os.Remove(file))
	_, err = setup.Send(t.Context(), relay.Message{Limiter: setup.Limiters[1], Body: []byte("{}")})
	require.Equal(t, relay.Misconfigured, relay.KindOf(err))
}

func TestMentions(t *testing.T) {
	t.Parallel()
	mention := dingtalk.Mention{Mobiles: []string{"13800000000", "1380000000"}, UserIDs: []string{"a01"}, All: true}
	tests := []struct {
		name, messageType, text string
		want                    string
	}{
		{"added to markdown", "markdown", "disk full", "disk full\n\n@13800000000 @1380000000 @a01"},
		{"added to text", "text", "disk full", "disk full\n\n@13800000000 @1380000000 @a01"},
		{
			"only what is missing", "markdown", "disk full @13800000000\n@a01",
			"disk full @13800000000\n@a01\n\n@1380000000",
		},
		{"none missing", "markdown", "@13800000000 @1380000000 @a01", "@13800000000 @1380000000 @a01"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			setup := build(t, dingtalk.Config{
				Robot:   dingtalk.Robot{URL: secret.New("http://localhost" + path)},
				Mention: mention, MessageType: tt.messageType,
			}, receiverstest.Env(t, fixed(tt.text)))
			messages, err := setup.Render(receiverstest.Delivery(t, "single-firing"))
			require.NoError(t, err)
			w := read(t, messages[0])
			require.Equal(t, tt.want, messages[0].Text)
			require.Equal(t, mention.Mobiles, w.At.Mobiles)
			require.Equal(t, mention.UserIDs, w.At.UserIDs)
			require.True(t, w.At.All)
			require.Equal(t, tt.messageType, w.Type)
		})
	}
}

func TestPeopleAreMentioned(t *testing.T) {
	t.Parallel()
	setup := build(t, dingtalk.Config{
		Robot:   dingtalk.Robot{URL: secret.New("http://localhost" + path)},
		Mention: dingtalk.Mention{UserIDs: []string{"a01"}},
	}, receiverstest.Env(t, fixed("disk full")))
	d := receiverstest.Delivery(t, "single-firing")
	d.People = []relay.Person{
		{Name: "alice", DingTalkUserID: "a01", Mobile: "138"},
		{Name: "bob", Mobile: "139"},
		{Name: "carol", SlackID: "U01"},
		{Name: "dave", DingTalkUserID: "d01"},
	}
	messages, err := setup.Render(d)
	require.NoError(t, err)
	w := read(t, messages[0])
	require.Equal(t, []string{"a01", "d01"}, w.At.UserIDs)
	require.Equal(t, []string{"139"}, w.At.Mobiles)
	require.Equal(t, "disk full\n\n@139 @a01 @d01", messages[0].Text)

	for n := range 100 {
		d.People = append(d.People, relay.Person{Mobile: strconv.Itoa(13800000000 + n)})
	}
	messages, err = setup.Render(d)
	require.NoError(t, err)
	w = read(t, messages[0])
	require.Len(t, append(w.At.UserIDs, w.At.Mobiles...), 50, "DingTalk takes no more")
}

// People are mentioned by what the labels say of them, and by the directory, as DingTalk knows them; never everyone.
func TestMentionsFromTheAlert(t *testing.T) {
	t.Parallel()
	setup := build(t, dingtalk.Config{
		Robot: dingtalk.Robot{URL: secret.New("http://localhost" + path)},
		Mention: dingtalk.Mention{
			Mobiles: []string{"13800000000", "{{ .CommonAnnotations.oncall }}"},
			UserIDs: []string{"{{ .CommonLabels.owner }}", "{{ .CommonLabels.nobody }}"},
		},
	}, receiverstest.Env(t, words(t)))
	d := receiverstest.Delivery(t, "single-firing")
	d.Notification().CommonLabels["owner"] = "a01, @all,@a02;ALL <@b> $(x) 你好"
	d.Notification().CommonAnnotations["oncall"] = "+852-12345678 13800000000"
	d.People = []relay.Person{{DingTalkUserID: "a03", Mobile: "13900000000"}, {Mobile: "13700000000"}, {Email: "a@example.org"}}
	messages, err := setup.Render(d)
	require.NoError(t, err)
	w := read(t, messages[0])
	require.Equal(t, []string{"13800000000", "+852-12345678", "13700000000"}, w.At.Mobiles)
	require.Equal(t, []string{"a01", "a02", "a03"}, w.At.UserIDs)
	require.False(t, w.At.All)
	require.Contains(t, w.Markdown.Text, "@13800000000 @+852-12345678 @13700000000 @a01 @a02 @a03")

	d.Notification().CommonLabels["owner"] = strings.Repeat("x", 65) + numbers(60)
	d.Plain = false
	messages, err = setup.Render(d)
	require.NoError(t, err)
	w = read(t, messages[0])
	require.Len(t, append(w.At.Mobiles, w.At.UserIDs...), 50, "DingTalk takes no more")

	d.Plain = true
	messages, err = setup.Render(d)
	require.NoError(t, err)
	require.Equal(t, []string{"a03"}, read(t, messages[0]).At.UserIDs, "no template takes part in the plain form")
}

func numbers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " u%d", i)
	}
	return b.String()
}

// A card that would lead nowhere is no card.
func TestCardWithoutAddress(t *testing.T) {
	t.Parallel()
	for messageType, want := range map[string]string{"link": "text", "actionCard": "markdown", "feedCard": "markdown"} {
		t.Run(messageType, func(t *testing.T) {
			t.Parallel()
			c := dingtalk.Config{
				Robot: dingtalk.Robot{URL: secret.New("http://localhost" + path)}, MessageType: messageType,
			}
			switch messageType {
			case "actionCard":
				c.Buttons = []robots.Button{{Title: "click", URL: "javascript:alert(1)"}, {Title: " ", URL: "https://example.com"}}
			case "feedCard":
				c.PictureURL = "{{ .CommonLabels.nothing }}"
			default:
				c.LinkURL = "data:text/html,x"
			}
			setup := build(t, c, receiverstest.Env(t, words(t)))
			messages, err := setup.Render(receiverstest.Delivery(t, "single-firing"))
			require.NoError(t, err)
			require.Equal(t, want, read(t, messages[0]).Type)
			require.Contains(t, messages[0].Text, "web-1.example.com:9100")
		})
	}
}

func TestActionCardWithOneButton(t *testing.T) {
	t.Parallel()
	setup := build(t, dingtalk.Config{
		Robot: dingtalk.Robot{URL: secret.New("http://localhost" + path)}, MessageType: "actionCard",
		Buttons: []robots.Button{{Title: "{{ .Name }}", URL: "{{ .Runbook }}"}, {Title: "none", URL: "{{ .RelayURL }}"}},
	}, receiverstest.Env(t, words(t)))
	messages, err := setup.Render(receiverstest.Delivery(t, "single-firing"))
	require.NoError(t, err)
	card := read(t, messages[0]).ActionCard
	require.Equal(t, "HighCPUUsage", card.SingleTitle)
	require.Equal(t, "https://runbooks.example.com/HighCPUUsage", card.SingleURL)
	require.Empty(t, card.Buttons)
	require.Empty(t, card.Orientation)
}

func TestKeyword(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"disk full":     "disk full\n\n告警",
		"告警: disk full": "告警: disk full",
	} {
		setup := build(t, dingtalk.Config{
			Robot: dingtalk.Robot{URL: secret.New("http://localhost" + path)}, Keyword: "告警",
		}, receiverstest.Env(t, fixed(text)))
		messages, err := setup.Render(receiverstest.Delivery(t, "single-firing"))
		require.NoError(t, err)
		require.Equal(t, want, messages[0].Text)
	}
}

func TestLongNotificationEndsCompact(t *testing.T) {
	t.Parallel()
	setup := build(t, dingtalk.Config{
		Common: relay.Common{MaxParts: 2},
		Robot:  dingtalk.Robot{URL: secret.New("http://localhost" + path)},
	}, receiverstest.Env(t, receiverstest.Words{}))
	messages, err := setup.Render(receiverstest.Many(2000))
	require.NoError(t, err)
	require.Len(t, messages, 2)
	require.Equal(t, "markdown", read(t, messages[0]).Type)
	last := messages[1]
	require.Equal(t, "text", read(t, last).Type)
	require.Contains(t, last.Text, "(2/2)")
	require.Contains(t, last.Text, "https://relay.example.com/api/v1/notifications/01JD4F7Q8ZR6T5W4X3Y2V1B0N9")
	require.Positive(t, last.Omitted)
	require.Greater(t, len(last.Body), 17_000, "as much as fits")
}

func TestBodyIsRawUTF8(t *testing.T) {
	t.Parallel()
	setup := build(t, dingtalk.Config{Robot: dingtalk.Robot{URL: secret.New("http://localhost" + path)}},
		receiverstest.Env(t, fixed("磁盘 🔥 <b>&</b>")))
	messages, err := setup.Render(receiverstest.Delivery(t, "single-firing"))
	require.NoError(t, err)
	require.Contains(t, string(messages[0].Body), "磁盘 🔥 <b>&</b>")
}

func TestTemplateWithoutBounds(t *testing.T) {
	t.Parallel()
	setup := build(t, dingtalk.Config{
		Robot: dingtalk.Robot{URL: secret.New("http://localhost" + path)},
		Text:  `{{ range .Alerts }}{{ .Labels.instance }}: {{ .Annotations.description }}{{ end }}`,
	}, receiverstest.Env(t, words(t)))
	d := receiverstest.Many(3)
	d.Notification().Alerts[1].Annotations["description"] = strings.Repeat("磁盘🔥", 10_000)
	messages, err := setup.Render(d)
	require.NoError(t, err)
	require.Len(t, messages, 3)
	for _, m := range messages {
		check(t, m)
	}
	require.Contains(t, messages[1].Text, "db-001: 磁盘🔥磁盘🔥")
	require.Contains(t, messages[1].Text, "… (+")
}

// TestGolden: what DingTalk gets of each notification, in each message type and language.
func TestGolden(t *testing.T) {
	t.Parallel()
	env := receiverstest.Env(t, words(t))
	for _, c := range types() {
		receiverstest.GoldenStories(t, c.MessageType, *update, func(common relay.Common) relay.Setup {
			c.Common, c.URL, c.Mention = common, secret.New("http://localhost"+path), mentionOf(c.MessageType)
			return build(t, c, env)
		})
	}
}

// TestGoldenIsComplete: whoever adds a message type records all there is to tell in it.
func TestGoldenIsComplete(t *testing.T) {
	t.Parallel()
	receiverstest.RequireMatrix(t, dingtalk.RobotTypes()...)
	for _, messageType := range dingtalk.AppTypes() {
		receiverstest.RequireMatrix(t, filepath.Join("app", messageType))
	}
}

// mentionOf is somebody whom a message type can mention.
func mentionOf(messageType string) dingtalk.Mention {
	switch messageType {
	case "markdown", "text":
		return dingtalk.Mention{Mobiles: []string{"13800000000"}}
	case "actionCard":
		return dingtalk.Mention{UserIDs: []string{"a01"}}
	}
	return dingtalk.Mention{}
}

// fixed is a renderer whose texts are always the same.
type fixed string

func (f fixed) Text(string, string) (relay.Template, error) { return f, nil }
func (f fixed) HTML(string, string) (relay.Template, error) { return f, nil }
func (f fixed) Plain(string, relay.View) string             { return string(f) }

func (f fixed) Compact(string, relay.View, relay.Alerts, int) (string, int) {
	return string(f), 0
}

func (f fixed) Execute(relay.View) (string, error) { return string(f), nil }

func BenchmarkRender(b *testing.B) {
	client := http.DefaultClient
	c := dingtalk.Config{Robot: dingtalk.Robot{URL: secret.New("http://localhost" + path)}}
	c.SetDefaults(dingtalk.Globals{})
	setup, err := dingtalk.New(c, relay.Env{Templates: words(b), HTTPClient: client, Now: time.Now})
	require.NoError(b, err)
	for name, n := range map[string]int{"1 alert": 1, "50 alerts": 50, "500 alerts": 500} {
		b.Run(name, func(b *testing.B) {
			d := receiverstest.Many(n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := setup.Render(d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestWrongTemplatesAreLocated(t *testing.T) {
	t.Parallel()
	c := dingtalk.Config{
		Robot: dingtalk.Robot{URL: secret.New("http://localhost" + path)},
		Title: "{{ end }} title", Text: "{{ if }} text",
	}
	c.SetDefaults(dingtalk.Globals{})
	_, err := dingtalk.New(c, receiverstest.Env(t, receiverstest.Words{}))
	f := fault.New()
	f.Add(err)
	require.Len(t, f.All(), 2)
	require.Equal(t, "title", f.All()[0].Path)
	require.Equal(t, "text", f.All()[1].Path)
}

func TestValidate(t *testing.T) {
	t.Parallel()
	link := secret.New("https://oapi.dingtalk.com" + path)
	tests := []struct {
		name   string
		config dingtalk.Config
		want   []string
	}{
		{"url", dingtalk.Config{Robot: dingtalk.Robot{URL: link}}, nil},
		{"url file", dingtalk.Config{Robot: dingtalk.Robot{URLFile: "dingtalk.url"}}, nil},
		{"access token", dingtalk.Config{Robot: dingtalk.Robot{AccessToken: secret.New(token)}}, nil},
		{"pool", dingtalk.Config{URLs: []dingtalk.PoolRobot{{Robot: dingtalk.Robot{URL: link}}}}, nil},
		{
			"nothing",
			dingtalk.Config{},
			[]string{": one of url, url_file, access_token & access_token_file must be configured"},
		},
		{
			"all at once",
			dingtalk.Config{
				Robot:       dingtalk.Robot{URL: secret.New("oapi.dingtalk.com"), URLFile: "f", Secret: secret.New("s"), SecretFile: "f"},
				MessageType: "card",
				Mention:     dingtalk.Mention{Mobiles: make([]string, 51), UserIDs: []string{"@a01"}},
			},
			[]string{
				": at most one of url, url_file, access_token & access_token_file must be configured",
				"url: must be an http or https URL with an access_token",
				"secret: at most one of secret & secret_file must be configured",
				`message_type: must be markdown, text, link, actionCard or feedCard, not "card"`,
				"mention: DingTalk takes at most 50 people, these are 52",
				"mention.user_ids[0]: must be one word without @",
			},
		},
		{
			"keys of other message types",
			dingtalk.Config{
				Robot: dingtalk.Robot{URL: link}, Buttons: []robots.Button{{Title: "b"}}, ButtonLayout: "round", AlertTitle: "x",
				LinkURL: "x", PictureURL: "x", OpenInBrowser: true,
			},
			[]string{
				"buttons[0]: title and url are required",
				`button_layout: must be vertical or horizontal, not "round"`,
				"buttons: is for message_type: actionCard",
				"button_layout: is for message_type: actionCard",
				"alert_title: is for message_type: feedCard",
				"link_url: is for message_type: link, feedCard",
				"picture_url: is for message_type: link, feedCard",
				"open_in_browser: is for message_type: link, actionCard, feedCard",
			},
		},
		{
			"a feedCard has pictures, and mentions nobody",
			dingtalk.Config{
				Robot: dingtalk.Robot{URL: link}, MessageType: "feedCard", Mention: dingtalk.Mention{UserIDs: []string{"a01"}},
			},
			[]string{
				"picture_url: is required: DingTalk takes no feedCard without pictures",
				"mention: a feedCard mentions nobody",
			},
		},
		{
			"an actionCard mentions by user id",
			dingtalk.Config{Robot: dingtalk.Robot{URL: link}, MessageType: "actionCard", Mention: dingtalk.Mention{All: true}},
			[]string{"mention: an actionCard mentions people by user_ids only"},
		},
		{
			"pool with faults",
			dingtalk.Config{
				Robot: dingtalk.Robot{URL: link},
				URLs:  []dingtalk.PoolRobot{{}, {Robot: dingtalk.Robot{URL: link, AccessToken: secret.New(token)}}},
			},
			[]string{
				"urls: at most one of url, access_token & urls must be configured",
				"urls[0]: one of url, url_file, access_token & access_token_file must be configured",
				"urls[1]: at most one of url, url_file, access_token & access_token_file must be configured",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.config.SetDefaults(dingtalk.Globals{})
			f := fault.New()
			tt.config.Validate(f)
			var got []string
			for _, each := range f.All() {
				require.NotContains(t, each.Message, token)
				if !strings.HasPrefix(each.Path, "mention.mobiles") {
					got = append(got, each.Path+": "+each.Message)
				}
			}
			require.Equal(t, tt.want, got)
		})
	}
}

func TestDefaultName(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "room-10086.url")
	require.NoError(t, os.WriteFile(file, []byte("http://localhost"+path), 0o600))
	env := receiverstest.Env(t, receiverstest.Words{})
	byFile := build(t, dingtalk.Config{Robot: dingtalk.Robot{URLFile: secret.File(file)}}, env)
	require.Equal(t, "room-10086", byFile.Name)
	byURL := build(t, dingtalk.Config{Robot: dingtalk.Robot{URL: secret.New("http://localhost" + path)}}, env)
	require.Regexp(t, "^[0-9a-f]{12}$", byURL.Name)
	byToken := build(t, dingtalk.Config{Robot: dingtalk.Robot{AccessToken: secret.New(token)}}, env)
	require.Equal(t, byURL.Limiters, byToken.Limiters, "one robot, one limiter")
	require.Equal(t, byURL.Limiters, byFile.Limiters)
	require.Equal(t, relay.Limit{Messages: 20, Per: time.Minute}, byURL.Limit)
}
