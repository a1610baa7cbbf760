package sandbox_test

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/sandbox"
)

const wecomText = `{"msgtype":"text","text":{"content":"告警"}}`

func TestWeComAnswers(t *testing.T) {
	t.Parallel()
	content := func(kind string, n int) string {
		return `{"msgtype":"` + kind + `","` + kind + `":{"content":"` + strings.Repeat("x", n) + `"}}`
	}
	picture := func(raw string, sum string) string {
		if sum == "" {
			h := md5.Sum([]byte(raw))
			sum = hex.EncodeToString(h[:])
		}
		return `{"msgtype":"image","image":{"base64":"` + base64.StdEncoding.EncodeToString([]byte(raw)) + `","md5":"` + sum + `"}}`
	}
	article := `{"title":"t","url":"http://h"}`
	news := func(articles ...string) string {
		return `{"msgtype":"news","news":{"articles":[` + strings.Join(articles, ",") + `]}}`
	}
	card := func(fields string) string {
		return `{"msgtype":"template_card","template_card":{` + fields + `}}`
	}
	const title, action = `"main_title":{"title":"t"}`, `"card_action":{"type":1,"url":"http://h"}`
	list := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("{},", n), ",") + "]" }
	for name, c := range map[string]struct {
		robot    sandbox.WeComRobot
		otherKey bool
		body     string
		code     int
		text     string
	}{
		"unknown key":  {otherKey: true, code: 93000, text: "invalid webhook url, hint: ["},
		"disabled":     {robot: sandbox.WeComRobot{Disabled: true}, code: 93004},
		"removed":      {robot: sandbox.WeComRobot{Removed: true}, code: 93008},
		"not JSON":     {body: `<xml/>`, code: 40008, text: "Warning: wrong json format. invalid message type"},
		"no type":      {body: `{"text":{"content":"x"}}`, code: 40008, text: "\"invalid message type, hint"},
		"unknown type": {body: `{"msgtype":"link"}`, code: 40008},
		"no content":   {body: `{"msgtype":"text"}`, code: 44004, text: "empty content"},
		"empty":        {body: content("markdown", 0), code: 44004},
		"empty v2":     {body: content("markdown_v2", 0), code: 44004},
		"text 2049":    {body: content("text", 2049), code: 40058, text: "text.content exceed max length 2048. invalid Request Parameter"},
		"text 2048":    {body: content("text", 2048)},
		"text 5120 as seen in 2022": {
			robot: sandbox.WeComRobot{TextLimit: 5120}, body: content("text", 5120),
		},
		"markdown 4097":    {body: content("markdown", 4097), code: 40058, text: "markdown.content exceed max length 4096"},
		"markdown 4096":    {body: content("markdown", 4096)},
		"markdown_v2 4097": {body: content("markdown_v2", 4097), code: 40058, text: "markdown_v2.content"},
		"683 Chinese, 2049 bytes": {
			body: `{"msgtype":"text","text":{"content":"` + strings.Repeat("告", 683) + `"}}`, code: 40058,
		},
		"escaped Chinese counts decoded": {
			body: `{"msgtype":"text","text":{"content":"` + strings.Repeat(`\u544a`, 682) + `"}}`,
		},
		"image not Base64":        {body: `{"msgtype":"image","image":{"base64":"***","md5":"x"}}`, code: 40009},
		"image over 2 MB":         {body: picture(strings.Repeat("x", 2<<20+1), ""), code: 40009},
		"image wrong md5":         {body: picture("x", "00"), code: 301019},
		"image":                   {body: picture("x", "")},
		"news empty":              {body: news(), code: 40058},
		"news nine":               {body: news(article, article, article, article, article, article, article, article, article), code: 40058},
		"news no scheme":          {body: news(`{"title":"t","url":"example.org"}`), code: 45034},
		"news":                    {body: news(article)},
		"file unknown":            {body: `{"msgtype":"file","file":{"media_id":"x"}}`, code: 40007},
		"card type":               {body: card(`"card_type":"button",` + title + `,` + action), code: 40058},
		"card no action":          {body: card(`"card_type":"text_notice",` + title), code: 40058},
		"card no title":           {body: card(`"card_type":"text_notice",` + action), code: 40058},
		"card seven rows":         {body: card(`"card_type":"text_notice",` + title + `,` + action + `,"horizontal_content_list":` + list(7)), code: 40058},
		"card four jumps":         {body: card(`"card_type":"text_notice",` + title + `,` + action + `,"jump_list":` + list(4)), code: 40058},
		"card five columns":       {body: card(`"card_type":"news_notice",` + title + `,` + action + `,"vertical_content_list":` + list(5)), code: 40058},
		"card sub title":          {body: card(`"card_type":"text_notice","sub_title_text":"s",` + action)},
		"card":                    {body: card(`"card_type":"text_notice",` + title + `,` + action)},
		"card action without URL": {body: card(`"card_type":"text_notice",` + title + `,"card_action":{"type":1}`), code: 40058},
		"card row without name": {
			body: card(`"card_type":"text_notice",` + title + `,` + action + `,"horizontal_content_list":[{"value":"v"}]`), code: 40058,
		},
		"card row without URL": {
			body: card(`"card_type":"text_notice",` + title + `,` + action +
				`,"horizontal_content_list":[{"type":1,"keyname":"k","value":"v"}]`), code: 40058,
		},
		"card jump without title": {
			body: card(`"card_type":"text_notice",` + title + `,` + action + `,"jump_list":[{"type":1,"url":"http://h"}]`), code: 40058,
		},
		"card without picture": {body: card(`"card_type":"news_notice",` + title + `,` + action), code: 40058},
		"card too wide": {
			body: card(`"card_type":"news_notice",` + title + `,` + action + `,"card_image":{"url":"http://p","aspect_ratio":3}`),
			code: 40058,
		},
		"card with picture": {
			body: card(`"card_type":"news_notice",` + title + `,` + action + `,"card_image":{"url":"http://p","aspect_ratio":2.25}`),
		},
		"unknown fields": {body: `{"msgtype":"text","text":{"content":"x","more":1},"safe":"0"}`},
		"a warning is a success": {
			robot: sandbox.WeComRobot{WarnOnSuccess: true}, text: "ok. Warning: wrong json format. ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sb, _ := start(t)
			c.robot.Key = "key"
			url := sb.WeCom.Add(c.robot)
			if c.otherKey {
				url = sb.URL() + "/cgi-bin/webhook/send?key=other"
			}
			if c.body == "" {
				c.body = wecomText
			}
			got := post(t, url, c.body)
			require.Equal(t, c.code, errcode(t, got))
			require.Contains(t, got.body, c.text)
			if c.code != 0 {
				require.Regexp(t, `hint: \[\d{25}\], from ip: 127\.0\.0\.1, more info at https://open\.work\.weixin\.qq\.com/devtool/query\?e=`,
					got.body)
			}
			require.Equal(t, c.code == 0, len(sb.Inbox("wecom")) == 1)
		})
	}
}

// What the vendor ignores or cuts is said, so that a sender's slip shows.
func TestWeComFlags(t *testing.T) {
	t.Parallel()
	for body, want := range map[string][]string{
		`{"msgtype":"text","text":{"content":"x","mentioned":["a"]}}`: {"unknown field text.mentioned"},
		`{"msgtype":"news","news":{"articles":[{"title":"` + strings.Repeat("长", 43) + `","url":"http://h","picUrl":"x"}]}}`: {
			"unknown field news.articles.picUrl", "news.articles: text cut",
		},
		`{"msgtype":"template_card","template_card":{"card_type":"text_notice","main_title":{"title":"t","text":"x"},` +
			`"card_action":{"type":1,"url":"http://h"}}}`: {"unknown field template_card.main_title.text"},
		wecomText: nil,
	} {
		sb, _ := start(t)
		require.Zero(t, errcode(t, post(t, sb.WeCom.Add(sandbox.WeComRobot{Key: "k"}), body)))
		require.Equal(t, want, sb.Inbox("wecom")[0].Flags)
	}
}

func TestWeComRate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limit   sandbox.Limit
		blocked time.Duration // from the 21st message
	}{
		"strict":  {blocked: time.Minute},
		"lenient": {limit: sandbox.WeComLenient(), blocked: 41 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sb, clk := start(t)
			url := sb.WeCom.Add(sandbox.WeComRobot{Key: "k", Limit: c.limit})
			for i := range 20 {
				if i > 0 {
					clk.Advance(time.Second)
				}
				require.Zero(t, errcode(t, post(t, url, wecomText)))
			}
			require.Equal(t, 45009, errcode(t, post(t, url, wecomText)))
			clk.Advance(c.blocked - time.Millisecond)
			require.Equal(t, 45009, errcode(t, post(t, url, wecomText)))
			clk.Advance(time.Millisecond)
			require.Zero(t, errcode(t, post(t, url, wecomText)))
		})
	}
}

func TestWeComMentions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		want []string
		all  bool
	}{
		"lists of a text": {
			body: `{"msgtype":"text","text":{"content":"x","mentioned_list":["a","@all"],"mentioned_mobile_list":["138"]}}`,
			want: []string{"a", "138"}, all: true,
		},
		"inside markdown":             {body: `{"msgtype":"markdown","markdown":{"content":"hi <@a> and <@b>, not < @c>"}}`, want: []string{"a", "b"}},
		"markdown_v2 mentions nobody": {body: `{"msgtype":"markdown_v2","markdown_v2":{"content":"<@a>"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sb, _ := start(t)
			post(t, sb.WeCom.Add(sandbox.WeComRobot{Key: "k"}), c.body)
			require.Equal(t, c.want, sb.Inbox("wecom")[0].Mentioned)
			require.Equal(t, c.all, sb.Inbox("wecom")[0].MentionAll)
		})
	}
}

func TestWeComMedia(t *testing.T) {
	t.Parallel()
	sb, clk := start(t)
	sb.WeCom.Add(sandbox.WeComRobot{Key: "k"})
	sb.WeCom.Add(sandbox.WeComRobot{Key: "other"})
	upload := func(kind, part, name, content string) reply {
		var buf bytes.Buffer
		form := multipart.NewWriter(&buf)
		w, err := form.CreateFormFile(part, name)
		require.NoError(t, err)
		_, err = w.Write([]byte(content))
		require.NoError(t, err)
		require.NoError(t, form.Close())
		return post(t, sb.URL()+"/cgi-bin/webhook/upload_media?key=k&type="+kind, buf.String(),
			func(r *http.Request) { r.Header.Set("Content-Type", form.FormDataContentType()) })
	}
	require.Equal(t, 40006, errcode(t, upload("file", "media", "a.txt", "12345")))
	require.Equal(t, 40006, errcode(t, upload("voice", "media", "a.amr", strings.Repeat("x", 2<<20+1))))
	require.Equal(t, 40006, errcode(t, upload("file", "wrong", "a.txt", "123456")))
	require.Equal(t, 40006, errcode(t, upload("other", "media", "a.txt", "123456")))

	var got struct {
		ID string `json:"media_id"`
	}
	require.NoError(t, json.Unmarshal([]byte(upload("file", "media", "a.txt", "123456").body), &got))
	send := func(key string) int {
		return errcode(t, post(t, sb.URL()+"/cgi-bin/webhook/send?key="+key,
			`{"msgtype":"file","file":{"media_id":"`+got.ID+`"}}`))
	}
	require.Zero(t, send("k"))
	require.Equal(t, 40007, send("other"), "a file belongs to one robot")
	clk.Advance(72 * time.Hour)
	require.Equal(t, 40007, send("k"), "a file lives three days")
}
