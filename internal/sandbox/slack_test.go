package sandbox_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/sandbox"
)

func TestSlackAnswers(t *testing.T) {
	t.Parallel()
	blocks := func(list ...string) string { return `{"text":"t","blocks":[` + strings.Join(list, ",") + `]}` }
	section := func(n int) string {
		return `{"type":"section","text":{"type":"mrkdwn","text":"` + strings.Repeat("告", n) + `"}}`
	}
	many := func(n int, item string) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }
	field := func(n int) string { return `{"type":"mrkdwn","text":"` + strings.Repeat("x", n) + `"}` }
	button := func(text, url string) string {
		return `{"type":"button","text":{"type":"plain_text","text":"` + text + `"},"url":"` + url + `"}`
	}
	long := strings.Repeat("x", 4000)
	for name, c := range map[string]struct {
		hook   sandbox.SlackHook
		path   string
		change func(*http.Request)
		body   string
		status int
		word   string
	}{
		"unknown pair":          {path: "/services/T0/B9/X0", status: 404, word: "no_service"},
		"short path":            {path: "/services/T0/B0", status: 404, word: "no_service"},
		"wrong token":           {path: "/services/T0/B0/X9", status: 403, word: "invalid_token"},
		"archived":              {hook: sandbox.SlackHook{Archived: true}, status: 410, word: "channel_is_archived"},
		"prohibited":            {hook: sandbox.SlackHook{Prohibited: true}, status: 403, word: "action_prohibited"},
		"not JSON":              {body: "hello", status: 400, word: "invalid_payload"},
		"an array":              {body: "[]", status: 400, word: "invalid_payload"},
		"null":                  {body: "null", status: 400, word: "invalid_payload"},
		"GET":                   {change: func(r *http.Request) { r.Method = http.MethodGet }, status: 400, word: "invalid_payload"},
		"nothing":               {body: `{}`, status: 400, word: "no_text"},
		"empty lists":           {body: `{"text":"","blocks":[ ],"attachments":null}`, status: 400, word: "no_text"},
		"blocks a string":       {body: `{"text":"t","blocks":"x"}`, status: 400, word: "invalid_blocks_format"},
		"blocks of strings":     {body: `{"text":"t","blocks":["x"]}`, status: 400, word: "invalid_blocks"},
		"unknown block":         {body: blocks(`{"type":"table_of_doom"}`), status: 400, word: "invalid_blocks"},
		"51 blocks":             {body: blocks(many(51, `{"type":"divider"}`)), status: 400, word: "invalid_blocks"},
		"50 blocks":             {body: blocks(many(50, `{"type":"divider"}`))},
		"section of 3001":       {body: blocks(section(3001)), status: 400, word: "invalid_blocks"},
		"section of 3000":       {body: blocks(section(3000))},
		"section empty":         {body: blocks(section(0)), status: 400, word: "invalid_blocks"},
		"section without text":  {body: blocks(`{"type":"section"}`), status: 400, word: "invalid_blocks"},
		"section a bare string": {body: blocks(`{"type":"section","text":"x"}`), status: 400, word: "invalid_blocks"},
		"11 fields":             {body: blocks(`{"type":"section","fields":[` + many(11, field(1)) + `]}`), status: 400, word: "invalid_blocks"},
		"field of 2001":         {body: blocks(`{"type":"section","fields":[` + field(2001) + `]}`), status: 400, word: "invalid_blocks"},
		"fields":                {body: blocks(`{"type":"section","fields":[` + many(10, field(2000)) + `]}`)},
		"header mrkdwn":         {body: blocks(`{"type":"header","text":` + field(1) + `}`), status: 400, word: "invalid_blocks"},
		"header of 151": {
			body: blocks(`{"type":"header","text":{"type":"plain_text","text":"` + long[:151] + `"}}`), status: 400, word: "invalid_blocks",
		},
		"header of 150": {body: blocks(`{"type":"header","text":{"type":"plain_text","text":"` + long[:150] + `"}}`)},
		"11 elements":   {body: blocks(`{"type":"context","elements":[` + many(11, field(1)) + `]}`), status: 400, word: "invalid_blocks"},
		"no elements":   {body: blocks(`{"type":"context","elements":[]}`), status: 400, word: "invalid_blocks"},
		"context":       {body: blocks(`{"type":"context","elements":[` + many(10, field(1)) + `]}`)},
		"26 buttons":    {body: blocks(`{"type":"actions","elements":[` + many(26, button("b", "http://h")) + `]}`), status: 400, word: "invalid_blocks"},
		"button of 76":  {body: blocks(`{"type":"actions","elements":[` + button(long[:76], "http://h") + `]}`), status: 400, word: "invalid_blocks"},
		"button URL of 3001": {
			body: blocks(`{"type":"actions","elements":[` + button("b", long[:3001]) + `]}`), status: 400, word: "invalid_blocks",
		},
		"button":            {body: blocks(`{"type":"actions","elements":[` + button(long[:75], long[:3000]) + `]}`)},
		"image without alt": {body: blocks(`{"type":"image","image_url":"http://h"}`), status: 400, word: "invalid_blocks"},
		"image":             {body: blocks(`{"type":"image","image_url":"http://h","alt_text":"a"}`)},
		"block_id of 256": {
			body: blocks(`{"type":"divider","block_id":"` + long[:256] + `"}`), status: 400, word: "invalid_blocks",
		},
		"markdown block":        {body: blocks(`{"type":"markdown","text":"**b**"}`)},
		"101 attachments":       {body: `{"attachments":[` + many(101, `{"text":"x"}`) + `]}`, status: 400, word: "too_many_attachments"},
		"100 attachments":       {body: `{"attachments":[` + many(100, `{"text":"x"}`) + `]}`},
		"bad block in one":      {body: `{"attachments":[{"blocks":[{"type":"section"}]}]}`, status: 400, word: "invalid_blocks"},
		"attachments a string":  {body: `{"attachments":"x"}`, status: 400, word: "invalid_payload"},
		"form field":            {body: "payload=" + url.QueryEscape(`{"text":"x"}`), change: contentType("application/x-www-form-urlencoded")},
		"form field missing":    {body: "text=x", change: contentType("application/x-www-form-urlencoded"), status: 400, word: "invalid_payload"},
		"JSON without a header": {change: func(r *http.Request) { r.Header.Del("Content-Type") }},
		"unknown fields":        {body: `{"text":"x","replace_original":false,"delete_original":false,"username":"me"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sb, _ := start(t)
			c.hook.Team, c.hook.Bot, c.hook.Token = "T0", "B0", "X0"
			target := sb.Slack.Add(c.hook)
			if c.path != "" {
				target = sb.URL() + c.path
			}
			if c.body == "" {
				c.body = `{"text":"x"}`
			}
			if c.change == nil {
				c.change = func(*http.Request) {}
			}
			if c.status == 0 {
				c.status, c.word = 200, "ok"
			}
			got := post(t, target, c.body, c.change)
			require.Equal(t, c.status, got.status)
			require.Equal(t, c.word, got.body)
			require.Equal(t, "text/html", got.contentType)
			require.Equal(t, c.status == 200, len(sb.Inbox("slack")) == 1)
			require.Equal(t, c.status, sb.Requests("slack")[0].Verdict.Code)
		})
	}
}

func TestSlackRate(t *testing.T) {
	t.Parallel()
	sb, clk := start(t)
	url := sb.Slack.Add(sandbox.SlackHook{Team: "T", Bot: "B", Token: "X", Burst: 3})
	for range 3 {
		require.Equal(t, "ok", post(t, url, `{"text":"x"}`).body)
	}
	got := post(t, url, `{"text":"x"}`)
	require.Equal(t, http.StatusTooManyRequests, got.status)
	require.Equal(t, "1", got.header.Get("Retry-After"))
	require.Equal(t, "application/json; charset=utf-8", got.contentType)
	require.JSONEq(t, `{"retry_after":1,"ok":false,"error":"rate_limited"}`, got.body)
	clk.Advance(999 * time.Millisecond)
	require.Equal(t, http.StatusTooManyRequests, post(t, url, `{"text":"x"}`).status)
	clk.Advance(time.Millisecond)
	require.Equal(t, "ok", post(t, url, `{"text":"x"}`).body)
	require.Equal(t, http.StatusTooManyRequests, post(t, url, `{"text":"x"}`).status)
	clk.Advance(time.Hour)
	for range 3 {
		require.Equal(t, "ok", post(t, url, `{"text":"x"}`).body, "the bucket is full again, but not fuller")
	}
	require.Equal(t, http.StatusTooManyRequests, post(t, url, `{"text":"x"}`).status)
}

func TestSlackMentions(t *testing.T) {
	t.Parallel()
	sb, _ := start(t)
	url := sb.Slack.Add(sandbox.SlackHook{Team: "T", Bot: "B", Token: "X", Limit: sandbox.NoLimit()})
	post(t, url, `{"text":"<@U1> &lt;@U2&gt; &lt;!here&gt;"}`)
	post(t, url, `{"attachments":[{"text":"<!channel> <@U3|bob>"}]}`)
	in := sb.Inbox("slack")
	require.Equal(t, []string{"U1"}, in[0].Mentioned)
	require.False(t, in[0].MentionAll)
	require.Equal(t, []string{"U3"}, in[1].Mentioned)
	require.True(t, in[1].MentionAll)
}

// slack-go was written against the real service: what it makes of our answers says whether they look like Slack's.
func TestSlackGoAgainstTheEmulator(t *testing.T) {
	t.Parallel()
	message := &slack.WebhookMessage{
		Text:        "fallback",
		Attachments: []slack.Attachment{{Color: "danger", Title: "Firing", Text: "a &lt;b&gt;", Ts: json.Number("1700000000")}},
		Blocks: &slack.Blocks{BlockSet: []slack.Block{
			slack.NewHeaderBlock(slack.NewTextBlockObject(slack.PlainTextType, "Firing", true, false)),
			slack.NewSectionBlock(slack.NewTextBlockObject(slack.MarkdownType, "*bold*", false, false), nil, nil),
			slack.NewContextBlock("c", slack.NewTextBlockObject(slack.MarkdownType, "context", false, false)),
			slack.NewActionBlock("a", slack.NewButtonBlockElement("x", "v",
				slack.NewTextBlockObject(slack.PlainTextType, "Open", false, false))),
			slack.NewDividerBlock(),
		}},
	}
	sb, _ := start(t)
	url := sb.Slack.Add(sandbox.SlackHook{Team: "T", Bot: "B", Token: "X"})
	require.NoError(t, slack.PostWebhookContext(t.Context(), url, message))
	got := sb.Inbox("slack")[0].Slack
	require.Equal(t, "danger", got.Attachments[0].Color)
	require.Len(t, got.Blocks, 5)
	require.Contains(t, string(sb.Requests("slack")[0].Body), `"replace_original":false,"delete_original":false`)

	var limited *slack.RateLimitedError
	require.ErrorAs(t, slack.PostWebhookContext(t.Context(), url, message), &limited)
	require.Equal(t, time.Second, limited.RetryAfter)

	var status slack.StatusCodeError
	require.ErrorAs(t, slack.PostWebhookContext(t.Context(), sb.URL()+"/services/T/no/X", message), &status)
	require.Equal(t, http.StatusNotFound, status.Code)

	sb.Slack.Inject("T/B", sandbox.FaultAnswer(200, "text/html", "not ok"))
	require.NoError(t, slack.PostWebhookContext(t.Context(), url, message), "slack-go does not look at the body")
	require.Len(t, sb.Inbox("slack"), 1)
}
