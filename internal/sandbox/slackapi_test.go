package sandbox_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/sandbox"
)

// bearer makes a call of the Web API with a token.
func bearer(token string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
}

func TestSlackAPIAnswers(t *testing.T) {
	t.Parallel()
	const update = "/api/chat.update"
	long := strings.Repeat("告", 4001)
	for name, c := range map[string]struct {
		bot    sandbox.SlackBot
		path   string
		change func(*http.Request)
		body   string // TS and ID stand for a message posted before
		word   string // empty: ok
	}{
		"by name":        {body: `{"channel":"#ops","text":"x"}`},
		"by bare name":   {body: `{"channel":"ops","text":"x"}`},
		"by id":          {body: `{"channel":"ID","text":"x"}`},
		"no token":       {change: bearer(""), word: "not_authed"},
		"unknown token":  {change: bearer("xoxb-other"), word: "invalid_auth"},
		"token in JSON":  {change: bearer(""), body: `{"token":"xoxb-1","channel":"ops","text":"x"}`, word: "not_authed"},
		"revoked":        {bot: sandbox.SlackBot{Refuse: "token_revoked"}, word: "token_revoked"},
		"expired":        {bot: sandbox.SlackBot{Refuse: "token_expired"}, word: "token_expired"},
		"scope":          {bot: sandbox.SlackBot{Refuse: "missing_scope"}, word: "missing_scope"},
		"archived":       {bot: sandbox.SlackBot{Archived: []string{"ops"}}, word: "is_archived"},
		"channel":        {body: `{"channel":"nowhere","text":"x"}`, word: "channel_not_found"},
		"nothing":        {body: `{"channel":"ops"}`, word: "no_text"},
		"no JSON":        {body: `{`, word: "invalid_arguments"},
		"GET":            {change: func(r *http.Request) { bearer("xoxb-1")(r); r.Method = http.MethodGet }, word: "invalid_arguments"},
		"method":         {path: "/api/chat.sing", word: "unknown_method"},
		"auth.test":      {path: "/api/auth.test"},
		"blocks":         {body: `{"channel":"ops","blocks":[{"type":"section"}]}`, word: "invalid_blocks"},
		"blocks, format": {body: `{"channel":"ops","blocks":{}}`, word: "invalid_blocks_format"},
		"attachments":    {body: `{"channel":"ops","attachments":[` + strings.Repeat(`{},`, 100) + `{}]}`, word: "too_many_attachments"},
		"a long text":    {body: `{"channel":"ops","text":"` + long + `"}`},
		"a form": {
			change: func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") },
			body:   "token=xoxb-1&channel=ops&text=x",
		},
		"update":                {path: update, body: `{"channel":"ID","ts":"TS","text":"y"}`},
		"update by name":        {path: update, body: `{"channel":"#ops","ts":"TS","text":"y"}`, word: "channel_not_found"},
		"update of nothing":     {path: update, body: `{"channel":"ID","ts":"1.000001","text":"y"}`, word: "message_not_found"},
		"update, too long":      {path: update, body: `{"channel":"ID","ts":"TS","text":"` + long + `"}`, word: "msg_too_long"},
		"update, as long":       {path: update, body: `{"channel":"ID","ts":"TS","text":"` + long[:len(long)-3] + `"}`},
		"update, bad blocks":    {path: update, body: `{"channel":"ID","ts":"TS","blocks":[{"type":"x"}]}`, word: "invalid_blocks"},
		"update, window closed": {bot: sandbox.SlackBot{EditWindow: time.Nanosecond}, path: update, body: `{"channel":"ID","ts":"TS","text":"y"}`, word: "edit_window_closed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sb, clk := start(t)
			bot := sandbox.SlackBot{Token: "xoxb-1", App: "relay", Channels: []string{"ops"}, Posts: sandbox.NoLimit()}
			require.Equal(t, sb.URL()+"/api/chat.postMessage", sb.SlackAPI.Add(bot))
			var first struct{ Channel, TS string }
			posted := post(t, sb.URL()+"/api/chat.postMessage", `{"channel":"ops","text":"first"}`, bearer("xoxb-1"))
			require.NoError(t, json.Unmarshal([]byte(posted.body), &first))
			clk.Advance(time.Second)
			c.bot.Token, c.bot.Channels, c.bot.Posts = bot.Token, bot.Channels, bot.Posts
			sb.SlackAPI.Add(c.bot)
			if c.path == "" {
				c.path = "/api/chat.postMessage"
			}
			if c.body == "" {
				c.body = `{"channel":"ops","text":"x"}`
			}
			if c.change == nil {
				c.change = bearer("xoxb-1")
			}
			got := post(t, sb.URL()+c.path, strings.NewReplacer("TS", first.TS, `"ID"`, strconv.Quote(first.Channel)).Replace(c.body), c.change)
			require.Equal(t, http.StatusOK, got.status)
			require.Equal(t, "application/json; charset=utf-8", got.contentType)
			var answer struct {
				OK    bool
				Error string
			}
			require.NoError(t, json.Unmarshal([]byte(got.body), &answer))
			require.Equal(t, c.word == "", answer.OK, got.body)
			require.Equal(t, c.word, answer.Error)
		})
	}
}

func TestSlackAPIThreadsAndUpdates(t *testing.T) {
	t.Parallel()
	sb, clk := start(t)
	sb.SlackAPI.Add(sandbox.SlackBot{Token: "xoxb-1", App: "relay", Channels: []string{"ops"}, Posts: sandbox.NoLimit()})
	// slack-go was written against the real service.
	api := slack.New("xoxb-1", slack.OptionAPIURL(sb.URL()+"/api/"))
	attachment := func(color string) slack.MsgOption {
		return slack.MsgOptionAttachments(slack.Attachment{Color: color, Text: color})
	}
	channel, ts, err := api.PostMessageContext(t.Context(), "#ops", slack.MsgOptionText("firing", false), attachment("danger"))
	require.NoError(t, err)
	_, later, err := api.PostMessageContext(t.Context(), channel, slack.MsgOptionText("reply", false), slack.MsgOptionTS(ts))
	require.NoError(t, err)
	require.Greater(t, later, ts)
	_, _, _, err = api.UpdateMessageContext(t.Context(), channel, ts, slack.MsgOptionText("over", false), attachment("good"))
	require.NoError(t, err)

	in := sb.Inbox(sandbox.InboxSlack)
	require.Len(t, in, 2)
	require.Equal(t, "good", in[0].Slack.Attachments[0].Color)
	require.Contains(t, in[0].Text, "over")
	require.Len(t, in[0].Slack.Earlier, 1)
	require.Equal(t, "danger", in[0].Slack.Earlier[0].Attachments[0].Color)
	require.Equal(t, ts, in[1].Slack.Thread)
	require.Positive(t, in[0].Changed)
	require.Equal(t, 3, sb.Counts(sandbox.InboxSlack).Delivered)

	_, _, _, err = api.UpdateMessageContext(t.Context(), channel, ts, slack.MsgOptionText("without", false))
	require.NoError(t, err)
	require.Len(t, sb.Inbox(sandbox.InboxSlack)[0].Slack.Attachments, 1, "attachments are kept if not given")

	_, _, err = api.PostMessageContext(t.Context(), channel, slack.MsgOptionText("lost", false), slack.MsgOptionTS("1.000001"))
	require.NoError(t, err)
	in = sb.Inbox(sandbox.InboxSlack)
	require.Equal(t, []string{"a reply to an unknown thread"}, in[2].Flags)

	sb.SlackAPI.Delete(in[0].Slack)
	require.True(t, sb.Inbox(sandbox.InboxSlack)[0].Slack.Deleted)
	_, _, _, err = api.UpdateMessageContext(t.Context(), channel, ts, slack.MsgOptionText("x", false))
	var refused slack.SlackErrorResponse
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "message_not_found", refused.Err)
	clk.Advance(time.Second)
}

func TestSlackAPIRates(t *testing.T) {
	t.Parallel()
	sb, clk := start(t)
	bot := sandbox.SlackBot{Token: "xoxb-1", App: "relay", Channels: []string{"ops", "pay"}}
	sb.SlackAPI.Add(bot)
	api := slack.New("xoxb-1", slack.OptionAPIURL(sb.URL()+"/api/"))
	say := func(channel string) error {
		_, _, err := api.PostMessageContext(t.Context(), channel, slack.MsgOptionText("x", false))
		return err
	}
	channel, ts, err := api.PostMessageContext(t.Context(), "ops", slack.MsgOptionText("x", false))
	require.NoError(t, err)
	var limited *slack.RateLimitedError
	require.ErrorAs(t, say("ops"), &limited)
	require.Equal(t, time.Second, limited.RetryAfter)
	require.NoError(t, say("pay"), "each channel has its own")
	for range 50 {
		_, _, _, err = api.UpdateMessageContext(t.Context(), channel, ts, slack.MsgOptionText("x", false))
		require.NoError(t, err, "updates are counted apart from posts")
	}
	_, _, _, err = api.UpdateMessageContext(t.Context(), channel, ts, slack.MsgOptionText("x", false))
	require.ErrorAs(t, err, &limited)
	require.Equal(t, 2*time.Second, limited.RetryAfter)
	clk.Advance(time.Minute)
	require.NoError(t, say("ops"))

	bot.BareRate = true
	sb.SlackAPI.Add(bot)
	var status slack.StatusCodeError
	require.ErrorAs(t, say("ops"), &status)
	bot.RateInBody = true
	sb.SlackAPI.Add(bot)
	var refused slack.SlackErrorResponse
	require.ErrorAs(t, say("ops"), &refused)
	require.Equal(t, "ratelimited", refused.Err)
}
