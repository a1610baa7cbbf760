package sandbox_test

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/sandbox"
)

// hostile is what nobody should ever put into a label.
const hostile = `"><script>document.title='owned'</script><img src=x onerror=document.title='owned'>` +
	` [a](javascript:document.title='owned') <javascript:alert(1)|b> **x** @all`

// fill delivers one message with text to every inbox.
func fill(t *testing.T, sb *sandbox.Sandbox, text string) {
	t.Helper()
	quoted, err := json.Marshal(text)
	require.NoError(t, err)
	q := string(quoted)
	ding := sb.DingTalk.Add(sandbox.DingTalkRobot{Token: "t", Group: "G " + text, Robot: text})
	require.Zero(t, errcode(t, post(t, ding, `{"msgtype":"markdown","markdown":{"title":`+q+`,"text":`+q+`}}`)))
	require.Zero(t, errcode(t, post(t, ding, `{"msgtype":"text","text":{"content":`+q+`}}`)))
	wecom := sb.WeCom.Add(sandbox.WeComRobot{Key: "k", Group: text, Robot: text})
	require.Zero(t, errcode(t, post(t, wecom, `{"msgtype":"markdown","markdown":{"content":`+q+`}}`)))
	require.Zero(t, errcode(t, post(t, wecom, `{"msgtype":"text","text":{"content":`+q+`}}`)))
	slack := sb.Slack.Add(sandbox.SlackHook{Team: "T", Bot: "B", Token: "X", Channel: text, App: text, Limit: sandbox.NoLimit()})
	for _, body := range []string{
		`{"text":` + q + `}`,
		`{"attachments":[{"color":` + q + `,"title":` + q + `,"title_link":` + q + `,"text":` + q + `,"pretext":` + q +
			`,"fields":[{"title":` + q + `,"value":` + q + `}],"actions":[{"type":"button","text":` + q + `,"url":` + q +
			`,"style":` + q + `}],"footer":` + q + `}]}`,
		`{"text":"x","blocks":[{"type":"section","text":{"type":"mrkdwn","text":` + q + `}},{"type":"divider"},` +
			`{"type":"actions","elements":[{"type":"button","text":{"type":"plain_text","text":"b"},"url":` + q + `}]}]}`,
	} {
		require.Equal(t, "ok", post(t, slack, body).body)
	}
	m := letter(t, "ops@example.org")
	m.Subject(text)
	m.SetBodyString("text/plain", text)
	m.AddAlternativeString("text/html", "<p>"+html.EscapeString(text)+`</p><script>top.document.title='owned'</script>`)
	require.NoError(t, dial(t, sb, sb.Mail.Addr()).DialAndSendWithContext(t.Context(), m))
}

func get(t *testing.T, url string, change ...func(*http.Request)) reply {
	t.Helper()
	return post(t, url, "", append(change, func(r *http.Request) { r.Method, r.Body = http.MethodGet, nil })...)
}

func TestPageShowsWhatWasDelivered(t *testing.T) {
	t.Parallel()
	sb, _ := start(t)
	require.Contains(t, get(t, sb.URL()+"/").body, "The first alert is on its way")
	fill(t, sb, "告警 hello")
	page := get(t, sb.URL()+"/")
	require.Equal(t, 200, page.status)
	require.Equal(t, 8, strings.Count(page.body, `data-seq="`))

	var news struct {
		Last     int
		Titles   map[string]string
		Messages []struct{ Inbox, HTML string }
	}
	require.NoError(t, json.Unmarshal([]byte(get(t, sb.URL()+"/updates?after=7").body), &news))
	require.Equal(t, 8, news.Last)
	require.Len(t, news.Messages, 1)
	require.Equal(t, "email", news.Messages[0].Inbox)
	require.Contains(t, news.Messages[0].HTML, "告警 hello")
	require.Equal(t, "ops@example.org", news.Titles["email"])
	require.Equal(t, 400, get(t, sb.URL()+"/updates?after=x").status)
}

func TestPageShowsHostileTextAsText(t *testing.T) {
	t.Parallel()
	sb, _ := start(t)
	fill(t, sb, hostile)
	for _, path := range []string{"/", "/updates?after=0"} {
		body := get(t, sb.URL()+path).body
		require.NotContains(t, body, "<script>document")
		require.NotContains(t, body, "<img src=x")
		require.NotContains(t, strings.ToLower(body), `href="javascript`)
		require.NotContains(t, body, "style=", "the policy allows no style in an attribute")
	}
}

// Cards have places of their own for what strangers wrote.
func TestPageShowsHostileCardsAsText(t *testing.T) {
	t.Parallel()
	sb, _ := start(t)
	raw, err := json.Marshal(hostile)
	require.NoError(t, err)
	q := string(raw)
	ding := sb.DingTalk.Add(sandbox.DingTalkRobot{Token: "t", Group: hostile, Robot: hostile})
	for _, body := range []string{
		`{"msgtype":"link","link":{"title":` + q + `,"text":` + q + `,"messageUrl":` + q + `,"picUrl":` + q + `}}`,
		`{"msgtype":"actionCard","actionCard":{"title":` + q + `,"text":` + q + `,"btns":[{"title":` + q + `,"actionURL":` + q + `}]}}`,
		`{"msgtype":"actionCard","actionCard":{"title":` + q + `,"text":` + q + `,"singleTitle":` + q +
			`,"singleURL":"dingtalk://dingtalkclient/page/link?url=javascript:alert(1)"}}`,
		`{"msgtype":"feedCard","feedCard":{"links":[{"title":` + q + `,"messageURL":` + q + `,"picURL":` + q + `}]}}`,
	} {
		require.Zero(t, errcode(t, post(t, ding, body)))
	}
	wecom := sb.WeCom.Add(sandbox.WeComRobot{Key: "k", Group: hostile, Robot: hostile})
	for _, body := range []string{
		`{"msgtype":"markdown_v2","markdown_v2":{"content":` + q + `}}`,
		`{"msgtype":"news","news":{"articles":[{"title":` + q + `,"description":` + q + `,"url":"javascript:alert(1)"}]}}`,
		`{"msgtype":"template_card","template_card":{"card_type":"text_notice","source":{"desc":` + q + `},"main_title":{"title":` + q +
			`,"desc":` + q + `},"sub_title_text":` + q + `,"horizontal_content_list":[{"keyname":` + q + `,"value":` + q + `,"url":` + q +
			`}],"jump_list":[{"type":1,"title":` + q + `,"url":"javascript://x/%0aalert(1)"}],"card_action":{"type":1,"url":"http://h"}}}`,
	} {
		require.Zero(t, errcode(t, post(t, wecom, body)))
	}
	for _, path := range []string{"/", "/updates?after=0"} {
		body := get(t, sb.URL()+path).body
		require.Equal(t, 7, strings.Count(body, "data-seq="))
		require.NotContains(t, body, "<script>document")
		require.NotContains(t, body, "<img src=x")
		require.NotContains(t, strings.ToLower(body), `href="javascript`)
		require.NotContains(t, strings.ToLower(body), `href=\"javascript`)
	}
}

func TestPageAllowsNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	sb, _ := start(t)
	fill(t, sb, "x")
	for path, want := range map[string]string{
		"/": "default-src 'none'; style-src 'self'; script-src 'self'", "/page.js": "default-src 'none'",
		"/page.css": "default-src 'none'", "/favicon.svg": "default-src 'none'", "/mail/8": "sandbox allow-popups",
		"/elsewhere/jaeger/trace/x": "default-src 'none'",
	} {
		r := get(t, sb.URL()+path)
		require.Equal(t, 200, r.status, path)
		require.Contains(t, r.header.Get("Content-Security-Policy"), want, path)
		require.Equal(t, "nosniff", r.header.Get("X-Content-Type-Options"))
		require.NotContains(t, strings.ReplaceAll(r.body, "http://www.w3.org/2000/svg", ""), "http://", path)
		require.NotContains(t, r.body, "https://", path)
	}
	require.Equal(t, 404, get(t, sb.URL()+"/mail/99").status)
	require.Equal(t, 404, get(t, sb.URL()+"/elsewhere/nowhere").status)
	require.Equal(t, 404, get(t, sb.URL()+"/nothing").status)
}

func TestPageSpeaksTheReadersLanguage(t *testing.T) {
	t.Parallel()
	sb, _ := start(t)
	for name, c := range map[string]struct{ query, header, want string }{
		"browser in Chinese": {header: "zh-CN,zh;q=0.9,en;q=0.8", want: "relay 做了什么"},
		"browser in English": {header: "en-US,en;q=0.9,zh;q=0.8", want: "What the relay did"},
		"nothing said":       {want: "What the relay did"},
		"switched":           {query: "?lang=zh", header: "en", want: "relay 做了什么"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := get(t, sb.URL()+"/"+c.query, func(r *http.Request) { r.Header.Set("Accept-Language", c.header) }).body
			require.Contains(t, body, c.want)
		})
	}
}

func TestMailIsShownWithItsPictures(t *testing.T) {
	t.Parallel()
	sb, _ := start(t)
	require.NoError(t, dial(t, sb, sb.Mail.Addr()).DialAndSendWithContext(t.Context(), letter(t, "ops@example.org")))
	body := get(t, sb.URL()+"/mail/1").body
	require.Contains(t, body, `<base target="_blank">`)
	require.Contains(t, body, "data:image/png;base64,cG5n")
}

// A picture is served as one, and whatever else a robot sends as a picture as nothing that a browser would run.
func TestPictureIsShown(t *testing.T) {
	t.Parallel()
	sb, _ := start(t)
	wecom := sb.WeCom.Add(sandbox.WeComRobot{Key: "k"})
	for n, c := range []struct{ content, contentType string }{
		{"\x89PNG\x0D\x0A\x1A\x0A", "image/png"}, {"<svg onload='alert(1)'/>", "application/octet-stream"},
	} {
		sum := md5.Sum([]byte(c.content))
		body := fmt.Sprintf(`{"msgtype":"image","image":{"base64":%q,"md5":"%x"}}`,
			base64.StdEncoding.EncodeToString([]byte(c.content)), sum)
		require.Zero(t, errcode(t, post(t, wecom, body)))
		address := fmt.Sprintf("/picture/%d", n+1)
		require.Contains(t, get(t, sb.URL()+"/").body, `src="`+address+`"`)
		r := get(t, sb.URL()+address)
		require.Equal(t, c.content, r.body)
		require.Equal(t, c.contentType, r.header.Get("Content-Type"))
		require.Contains(t, r.header.Get("Content-Security-Policy"), "default-src 'none'")
	}
	require.Equal(t, 404, get(t, sb.URL()+"/picture/3").status)
}

// The timeline tells what became of each webhook, and why one was suppressed.
func TestTimeline(t *testing.T) {
	t.Parallel()
	at := newClock().Now()
	events := []sandbox.Event{ // newest first
		{At: at.Add(6 * time.Second), Type: "failed", Notification: "b", Inbox: "slack", Detail: "404 no_service"},
		{At: at.Add(5 * time.Second), Type: "retrying", Notification: "b", Inbox: "wecom", Attempt: 1, Detail: "timeout"},
		{At: at.Add(5 * time.Second), Type: "accepted", Notification: "b", Status: "resolved", Alerts: 2},
		{At: at.Add(3 * time.Second), Type: "duplicate", Notification: "a"},
		{At: at.Add(time.Second), Type: "sent", Notification: "a", Inbox: "dingtalk", Attempt: 2, Duration: 12 * time.Millisecond},
		{At: at, Type: "accepted", Notification: "a", Status: "firing", Alerts: 1, Entries: 4},
	}
	sb, _ := start(t, func(o *sandbox.Options) {
		o.Zone = time.UTC
		o.Events = func() []sandbox.Event { return events }
	})
	body := strings.Join(strings.Fields(get(t, sb.URL()+"/?lang=en").body), " ")
	for _, want := range []string{
		"<b>3</b> webhooks in", "<b>1</b> suppressed", "<b>1</b> messages out", "<b>6</b> waiting", "<b>1</b> failed",
		"same state as 10:00:00, 3.0 s earlier", "sent · 12 ms", "attempt 2", "404 no_service", "timeout",
		`<time>10:00:05</time><span class="status resolved">resolved</span><span class="head">2 alerts</span>`,
	} {
		require.Contains(t, body, want)
	}
	require.Less(t, strings.Index(body, "10:00:05"), strings.Index(body, "10:00:03"), "the newest stands first")
	require.Contains(t, get(t, sb.URL()+"/?lang=zh").body, "与 10:00:00 的状态相同，仅隔 3.0 秒")
}

func TestStoryIsToldAsAlertmanagerWould(t *testing.T) {
	t.Parallel()
	var bodies []map[string]any
	relay := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		raw, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(raw, &body)
		bodies = append(bodies, body)
		_, _ = w.Write([]byte(`{"status":"accepted"}`))
	})
	url := serve(t, relay)
	require.NoError(t, sandbox.Story{Webhook: url, Elsewhere: "http://e", Speed: 1000}.Tell(t.Context()))
	require.Len(t, bodies, 4)
	for i, want := range []struct {
		status string
		alerts int
	}{{"firing", 1}, {"firing", 1}, {"firing", 2}, {"resolved", 2}} {
		require.Equal(t, want.status, bodies[i]["status"])
		require.Len(t, bodies[i]["alerts"], want.alerts)
		require.Equal(t, "4", bodies[i]["version"])
		require.Equal(t, bodies[0]["groupKey"], bodies[i]["groupKey"])
		for _, a := range bodies[i]["alerts"].([]any) {
			alert := a.(map[string]any)
			require.Regexp(t, `^[0-9a-f]{16}$`, alert["fingerprint"])
			require.Equal(t, want.status == "firing", alert["endsAt"] == "0001-01-01T00:00:00Z")
		}
	}
	require.Equal(t, bodies[0]["alerts"], bodies[1]["alerts"], "the second Alertmanager tells the same")

	refusing := serve(t, http.NotFoundHandler())
	require.ErrorContains(t, sandbox.Story{Webhook: refusing, Speed: 1000}.Tell(t.Context()), "404")
}
