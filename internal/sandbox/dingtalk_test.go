package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/sandbox"
)

const dingtalkText = `{"msgtype":"text","text":{"content":"告警 hello"}}`

// errcode reads the code of an answer of DingTalk or WeCom.
func errcode(t *testing.T, r reply) int {
	t.Helper()
	require.Equal(t, http.StatusOK, r.status)
	require.Equal(t, "application/json", r.contentType)
	var body struct {
		Code *int   `json:"errcode"`
		Text string `json:"errmsg"`
	}
	require.NoError(t, json.Unmarshal([]byte(r.body), &body), r.body)
	require.NotNil(t, body.Code)
	require.NotEmpty(t, body.Text)
	return *body.Code
}

// The vendor's own example and two computed independently.
func TestDingTalkSign(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ timestamp, secret, want string }{
		{"1700000000000", "SECtest0001", "iK9eW9jtGBT4TttaiEbfCz5U5QFsyS/Rb/r8GW+V/x4="},
		{"1700000000000", "SEC2", "c227HQTWt2wV3iB3fp+NN+TzK6sdOcH/xEmqzvi37cY="},
		{"1577262236757", "this is a secret", "DJrE6qdyVGCQz9z5r2MDuNcNAhwYnuAkyj13cx169CA="},
	} {
		require.Equal(t, c.want, sandbox.DingTalkSign(c.secret, c.timestamp))
	}
}

func TestDingTalkAnswers(t *testing.T) {
	t.Parallel()
	now := newClock().Now()
	stamp := func(at time.Time) string { return strconv.FormatInt(at.UnixMilli(), 10) }
	signed := func(at time.Time, secret string) string {
		return "&timestamp=" + stamp(at) + "&sign=" + url.QueryEscape(sandbox.DingTalkSign(secret, stamp(at)))
	}
	elsewhere := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for name, c := range map[string]struct {
		robot sandbox.DingTalkRobot
		query string // behind the token
		noToken,
		otherToken bool
		change func(*http.Request)
		body   string
		code   int
		text   string
	}{
		"not POST":          {change: func(r *http.Request) { r.Method = http.MethodGet }, code: 43002, text: "需要POST请求"},
		"no token":          {noToken: true, code: 40035, text: "缺少参数 access_token"},
		"unknown token":     {otherToken: true, code: 300005, text: "token is not exist"},
		"content type form": {change: contentType("text/plain"), code: 43004},
		"content type none": {change: func(r *http.Request) { r.Header.Del("Content-Type") }, code: 43004},
		"disabled":          {robot: sandbox.DingTalkRobot{Disabled: true}, code: 400102, text: "机器人已经停用"},
		"caller elsewhere": {
			robot: sandbox.DingTalkRobot{CIDRs: elsewhere}, code: 310000, text: "ip 127.0.0.1 not in whitelist",
		},
		"caller allowed": {robot: sandbox.DingTalkRobot{CIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}},
		"no timestamp":   {robot: sandbox.DingTalkRobot{Secret: "SEC"}, code: 310000, text: "invalid timestamp"},
		"timestamp not digits": {
			robot: sandbox.DingTalkRobot{Secret: "SEC"}, query: "&timestamp=x&sign=y", code: 310000, text: "invalid timestamp",
		},
		"timestamp in seconds": {
			robot: sandbox.DingTalkRobot{Secret: "SEC"},
			query: fmt.Sprintf("&timestamp=%d&sign=y", now.Unix()), code: 310000, text: "invalid timestamp",
		},
		"timestamp an hour and a millisecond old": {
			robot: sandbox.DingTalkRobot{Secret: "SEC"}, query: signed(now.Add(-time.Hour-time.Millisecond), "SEC"),
			code: 310000, text: "invalid timestamp",
		},
		"timestamp an hour old":   {robot: sandbox.DingTalkRobot{Secret: "SEC"}, query: signed(now.Add(-time.Hour), "SEC")},
		"timestamp an hour ahead": {robot: sandbox.DingTalkRobot{Secret: "SEC"}, query: signed(now.Add(time.Hour), "SEC")},
		"wrong secret": {
			robot: sandbox.DingTalkRobot{Secret: "SEC"}, query: signed(now, "SEC2"), code: 310000, text: "sign not match",
		},
		"encoded twice": {
			robot: sandbox.DingTalkRobot{Secret: "SECtest"},
			query: "&timestamp=" + stamp(now) + "&sign=" +
				url.QueryEscape(url.QueryEscape(sandbox.DingTalkSign("SECtest", stamp(now)))),
			code: 310000, text: "sign not match",
		},
		"a grown URL": {
			robot: sandbox.DingTalkRobot{Secret: "SEC"}, query: signed(now, "SEC") + signed(now, "SEC"),
			code: 310000, text: "sign not match",
		},
		"signed": {robot: sandbox.DingTalkRobot{Secret: "SEC"}, query: signed(now, "SEC")},
		"new wording of a signature": {
			robot: sandbox.DingTalkRobot{Secret: "SEC", NewWording: true}, query: signed(now, "no"),
			code: 310000, text: "description:机器人发送签名不匹配",
		},
		"body of 20001 bytes": {body: dingtalkOfSize(20_001), code: 460101, text: "20000bytes"},
		"body of 20000 bytes": {body: dingtalkOfSize(20_000)},
		"body empty":          {body: " ", code: 40035, text: "缺少参数 json"},
		"body an array":       {body: "[]", code: 40035},
		"body null":           {body: "null", code: 40035},
		"body cut":            {body: `{"msgtype":"text"`, code: 40035},
		"msgtype missing":     {body: `{"text":{"content":"x"}}`, code: 400105},
		"msgtype unknown":     {body: `{"msgtype":"image","image":{}}`, code: 400105},
		"text empty":          {body: `{"msgtype":"text","text":{"content":""}}`, code: 40035},
		"text under another":  {body: `{"msgtype":"text","markdown":{"title":"t","text":"x"}}`, code: 40035},
		"markdown untitled":   {body: `{"msgtype":"markdown","markdown":{"text":"x"}}`, code: 40035},
		"markdown":            {body: `{"msgtype":"markdown","markdown":{"title":"t","text":"x"}}`},
		"link without URL":    {body: `{"msgtype":"link","link":{"title":"t","text":"x"}}`, code: 40035},
		"link":                {body: `{"msgtype":"link","link":{"title":"t","text":"x","messageUrl":"http://h"}}`},
		"card without button": {body: `{"msgtype":"actionCard","actionCard":{"title":"t","text":"x"}}`, code: 40035},
		"card button wrong": {
			body: `{"msgtype":"actionCard","actionCard":{"title":"t","text":"x","btns":[{"title":"b"}]}}`, code: 40035,
		},
		"card with one": {
			body: `{"msgtype":"actionCard","actionCard":{"title":"t","text":"x","singleTitle":"b","singleURL":"http://h"}}`,
		},
		"card with many": {
			body: `{"msgtype":"actionCard","actionCard":{"title":"t","text":"x","btns":[{"title":"b","actionURL":"http://h"}]}}`,
		},
		"link in the capitals of a feed": {
			body: `{"msgtype":"link","link":{"title":"t","text":"x","messageURL":"http://h"}}`, code: 40035,
		},
		"feed in the capitals of a link": {
			body: `{"msgtype":"feedCard","feedCard":{"links":[{"title":"t","messageURL":"http://h","picUrl":"http://p"}]}}`,
			code: 40035,
		},
		"feed empty": {body: `{"msgtype":"feedCard","feedCard":{"links":[]}}`, code: 40035},
		"feed":       {body: `{"msgtype":"feedCard","feedCard":{"links":[{"title":"t","messageURL":"u","picURL":"p"}]}}`},
		"feed wrong": {body: `{"msgtype":"feedCard","feedCard":{"links":[{"title":"t","messageUrl":"u"}]}}`, code: 40035},
		"keyword missing": {
			robot: sandbox.DingTalkRobot{Keywords: []string{"故障", "msgtype"}}, code: 310000, text: "keywords not in content",
		},
		"keyword there":         {robot: sandbox.DingTalkRobot{Keywords: []string{"故障", "告警"}}},
		"unknown fields":        {body: `{"msgtype":"text","text":{"content":"x","more":1},"extra":true}`},
		"code as string":        {robot: sandbox.DingTalkRobot{CodeAsString: true}, code: -1, text: `"errcode":"0"`},
		"charset in upper case": {change: contentType("application/json; charset=UTF-8")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sb, _ := start(t)
			c.robot.Token = "token"
			target := sb.DingTalk.Add(c.robot) + c.query
			if c.noToken {
				target = sb.URL() + "/robot/send"
			}
			if c.otherToken {
				target = sb.URL() + "/robot/send?access_token=other"
			}
			if c.body == "" {
				c.body = dingtalkText
			}
			if c.change == nil {
				c.change = func(*http.Request) {}
			}
			got := post(t, target, c.body, c.change)
			require.Contains(t, got.body, c.text)
			if c.code == -1 { // only the text matters
				return
			}
			require.Equal(t, c.code, errcode(t, got))
			require.Len(t, sb.Requests("dingtalk"), 1)
			require.Equal(t, c.code, sb.Requests("dingtalk")[0].Verdict.Code)
			require.Equal(t, c.code == 0, len(sb.Inbox("dingtalk")) == 1)
		})
	}
}

func contentType(value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Content-Type", value) }
}

func dingtalkOfSize(n int) string {
	frame := `{"msgtype":"text","text":{"content":""}}`
	return `{"msgtype":"text","text":{"content":"` + strings.Repeat("x", n-len(frame)) + `"}}`
}

func TestDingTalkRate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limit sandbox.Limit
		code  int
		// blocked is how long after the 21st message the 22nd is still refused.
		blocked time.Duration
	}{
		"strict":  {limit: sandbox.Limit{}, code: 130101, blocked: 10 * time.Minute},
		"lenient": {limit: sandbox.DingTalkLenient(), code: 130101, blocked: 41 * time.Second},
		"scaled":  {limit: sandbox.Limit{Messages: 20, Per: time.Minute, Ban: time.Hour}, code: 410100, blocked: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sb, clk := start(t)
			robot := sandbox.DingTalkRobot{Token: "t", Limit: c.limit, RateCode410100: c.code == 410100}
			url := sb.DingTalk.Add(robot)
			for range 20 {
				require.Zero(t, errcode(t, post(t, url, dingtalkText)))
				clk.Advance(time.Second)
			}
			clk.Advance(-time.Second)
			require.Equal(t, c.code, errcode(t, post(t, url, dingtalkText)))
			clk.Advance(c.blocked - time.Millisecond)
			require.Equal(t, c.code, errcode(t, post(t, url, dingtalkText)))
			sb.DingTalk.Add(robot) // changing its settings does not free it
			clk.Advance(time.Millisecond)
			require.Zero(t, errcode(t, post(t, url, dingtalkText)))
			require.Len(t, sb.Inbox("dingtalk"), 21)
		})
	}
}

func TestDingTalkRefusedMessagesAreNotCounted(t *testing.T) {
	t.Parallel()
	sb, _ := start(t)
	url := sb.DingTalk.Add(sandbox.DingTalkRobot{Token: "t", Limit: sandbox.Limit{Messages: 1, Per: time.Minute}})
	for range 5 {
		require.Equal(t, 400105, errcode(t, post(t, url, `{}`)))
	}
	require.Zero(t, errcode(t, post(t, url, dingtalkText)))
}

func TestDingTalkShowsAMessageIDOnce(t *testing.T) {
	t.Parallel()
	sb, _ := start(t)
	url := sb.DingTalk.Add(sandbox.DingTalkRobot{Token: "t"})
	other := sb.DingTalk.Add(sandbox.DingTalkRobot{Token: "t2"})
	const body = `{"msgUuid":"m1","msgtype":"text","text":{"content":"x"}}`
	for range 3 {
		require.Zero(t, errcode(t, post(t, url, body)))
	}
	require.Zero(t, errcode(t, post(t, other, body)))
	require.Len(t, sb.Inbox("dingtalk"), 2)
	require.Len(t, sb.Requests("dingtalk"), 4)
}

// What the vendor ignores is said, so that a sender's slip shows.
func TestDingTalkFlags(t *testing.T) {
	t.Parallel()
	for body, want := range map[string][]string{
		`{"msgtype":"text","text":{"content":"x","Content":"y"},"atAll":true}`: {
			"unknown field atAll", "unknown field text.Content",
		},
		`{"msgtype":"actionCard","actionCard":{"title":"t","text":"x","btnOrientation":"2",` +
			`"btns":[{"title":"b","actionURL":"http://h","url":"x"},{"title":"c","actionURL":"javascript:x"}]}}`: {
			"unknown field actionCard.btns.url", "btnOrientation is 0 or 1", "no address to open: javascript:x",
		},
		`{"msgtype":"actionCard","actionCard":{"title":"t","text":"x","singleTitle":"s","singleURL":"http://h",` +
			`"btns":[{"title":"b","actionURL":"http://h"}]}}`: {"btns are ignored beside singleTitle"},
		`{"msgtype":"link","link":{"title":"t","text":"x","messageUrl":` +
			`"dingtalk://dingtalkclient/page/link?url=http%3A%2F%2Fh&pc_slide=false","picUrl":"http://p"}}`: nil,
	} {
		sb, _ := start(t)
		require.Zero(t, errcode(t, post(t, sb.DingTalk.Add(sandbox.DingTalkRobot{Token: "t"}), body)))
		require.Equal(t, want, sb.Inbox("dingtalk")[0].Flags)
	}
}

func TestDingTalkMentions(t *testing.T) {
	t.Parallel()
	fifty := strings.Repeat(`"x",`, 50) + `"y"`
	for name, c := range map[string]struct {
		body      string
		mentioned []string
		all       bool
		flags     int
	}{
		"in at and in the text": {
			body:      `{"msgtype":"markdown","markdown":{"title":"t","text":"@13800000000 look"},"at":{"atMobiles":["13800000000"]}}`,
			mentioned: []string{"13800000000"},
		},
		"only in at": {
			body:  `{"msgtype":"markdown","markdown":{"title":"t","text":"look"},"at":{"atMobiles":["13800000000"]}}`,
			flags: 1,
		},
		"only in the text": {body: `{"msgtype":"text","text":{"content":"@alice look"}}`},
		"a longer id":      {body: `{"msgtype":"text","text":{"content":"@alice2"},"at":{"atUserIds":["alice"]}}`, flags: 1},
		"an id after a longer one": {
			body:      `{"msgtype":"text","text":{"content":"@alice2 @alice"},"at":{"atUserIds":["alice"]}}`,
			mentioned: []string{"alice"},
		},
		"everyone": {body: `{"msgtype":"text","text":{"content":"x"},"at":{"isAtAll":true}}`, all: true},
		"not in a link": {
			body:  `{"msgtype":"link","link":{"title":"t","text":"@a","messageUrl":"http://h"},"at":{"isAtAll":true,"atUserIds":["a"]}}`,
			flags: 1,
		},
		"in a card, by its text alone": {
			body: `{"msgtype":"actionCard","actionCard":{"title":"t","text":"x @a01 y@b",` +
				`"singleTitle":"b","singleURL":"http://h"}}`,
			mentioned: []string{"a01"},
		},
		"in a card, by at": {
			body: `{"msgtype":"actionCard","actionCard":{"title":"t","text":"x @a01",` +
				`"singleTitle":"b","singleURL":"http://h"},"at":{"atUserIds":["a01"]}}`,
			mentioned: []string{"a01"}, flags: 1,
		},
		"too many": {body: `{"msgtype":"text","text":{"content":"@x @y"},"at":{"atUserIds":[` + fifty + `]}}`, flags: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sb, _ := start(t)
			post(t, sb.DingTalk.Add(sandbox.DingTalkRobot{Token: "t"}), c.body)
			m := sb.Inbox("dingtalk")[0]
			if c.mentioned != nil {
				require.Equal(t, c.mentioned, m.Mentioned)
			}
			require.Equal(t, c.all, m.MentionAll)
			require.Len(t, m.Flags, c.flags)
		})
	}
}
