package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// slackMaxUpdate is the longest text of an update, in characters. https://docs.slack.dev/reference/methods/chat.update#errors
const slackMaxUpdate = 4000

// SlackPostRate and SlackUpdateRate are the documented rates of a bot: posts for each channel, updates for the app.
// https://docs.slack.dev/apis/web-api/rate-limits
func SlackPostRate() Limit { return Limit{Messages: 1, Per: time.Second} }

// SlackUpdateRate is that of chat.update, tier 3.
func SlackUpdateRate() Limit { return Limit{Messages: 50, Per: time.Minute} }

// A SlackBot is a bot with the channels it is in.
type SlackBot struct {
	Token    string
	App      string   // who posts
	Channels []string // names, without #

	Archived []string // of the channels
	// Refuse is a word that every call is answered with: token_revoked, token_expired, missing_scope.
	Refuse string
	// EditWindow is how long a message may be changed; zero for ever.
	EditWindow time.Duration

	Posts   Limit // zero: SlackPostRate; negative Messages: none
	Burst   int   // posts that may come at once in a channel; default 1
	Updates Limit // zero: SlackUpdateRate
	// BareRate answers 429 without Retry-After, RateInBody answers 200 with ratelimited in the body.
	BareRate, RateInBody bool
}

// SlackAPI emulates the methods of the Web API that a bot needs: chat.postMessage, chat.update and auth.test.
type SlackAPI struct {
	endpoint

	url    string
	mu     sync.Mutex
	bots   map[string]*slackBot // by token
	last   int64                // the last ts, in microseconds
	posted map[string]*slackPosted
}

type slackBot struct {
	SlackBot

	posts   map[string]*bucket // by channel id
	updates window
}

// slackPosted is what the vendor remembers of a message, by channel id and ts.
type slackPosted struct {
	bot    *slackBot
	at     time.Time
	thread string
}

func newSlackAPI(b *board, url string) *SlackAPI {
	return &SlackAPI{
		endpoint: endpoint{inbox: InboxSlack, board: b}, url: url, bots: map[string]*slackBot{},
		posted: map[string]*slackPosted{},
	}
}

// Add adds a bot, or changes the settings of the one with the same token, and returns the URL of chat.postMessage.
func (s *SlackAPI) Add(b SlackBot) string {
	b.Posts, b.Updates = b.Posts.or(SlackPostRate()), b.Updates.or(SlackUpdateRate())
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.bots[b.Token]; known != nil {
		known.SlackBot = b
	} else {
		s.bots[b.Token] = &slackBot{SlackBot: b, posts: map[string]*bucket{}}
	}
	return s.url + "/api/chat.postMessage"
}

// Delete removes a message, as somebody in the channel does by hand.
func (s *SlackAPI) Delete(m *SlackMessage) {
	s.mu.Lock()
	delete(s.posted, m.Channel+"/"+m.TS)
	s.mu.Unlock()
	s.board.edit(InboxSlack, func(shown *Message) bool {
		if !shown.Slack.is(m.Channel, m.TS) {
			return false
		}
		gone := *shown.Slack // who has read the inbox holds the other one
		gone.Deleted = true
		shown.Slack = &gone
		return true
	})
}

// slackChannelID is the id of a channel, which does not show its name.
func slackChannelID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return "C" + strings.ToUpper(hex.EncodeToString(sum[:5]))
}

// ServeHTTP answers as the Web API does: 200 with ok or an error word.
func (s *SlackAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.serve(w, r, r.URL.Path, s.judge)
}

// judge checks a call. The order is a choice; the vendor's is not documented.
func (s *SlackAPI) judge(c *call) ruling {
	args, ok := slackArguments(c)
	if !ok {
		return slackError("invalid_arguments")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	bot := s.bots[args.Token]
	switch {
	case args.Token == "":
		return slackError("not_authed")
	case bot == nil:
		return slackError("invalid_auth")
	case bot.Refuse != "":
		return slackError(bot.Refuse)
	}
	switch strings.TrimPrefix(c.URL.Path, "/api/") {
	case "auth.test":
		return slackOK(map[string]any{"user": bot.App, "team": "sandbox"})
	case "chat.postMessage":
		return s.post(c, bot, args)
	case "chat.update":
		return s.update(c, bot, args)
	}
	return slackError("unknown_method")
}

// slackArgs are the arguments of a call, from JSON or a form.
type slackArgs struct {
	Token, Channel, TS, ThreadTS string
	body                         slackBody
	hasText                      bool
}

// slackArguments reads JSON with the token in the header, or a form with the token in either place.
func slackArguments(c *call) (slackArgs, bool) {
	var a slackArgs
	if token, ok := strings.CutPrefix(c.Header.Get("Authorization"), "Bearer "); ok {
		a.Token = token
	}
	kind, _, _ := mime.ParseMediaType(c.Header.Get("Content-Type"))
	if kind == "application/json" {
		var body struct {
			slackBody

			Text     *string `json:"text"`
			Channel  string  `json:"channel"`
			TS       string  `json:"ts"`
			ThreadTS string  `json:"thread_ts"`
		}
		if json.Unmarshal(c.body, &body) != nil {
			return a, false
		}
		a.Channel, a.TS, a.ThreadTS, a.body = body.Channel, body.TS, body.ThreadTS, body.slackBody
		if body.Text != nil {
			a.body.Text, a.hasText = *body.Text, true
		}
		return a, c.Method == http.MethodPost
	}
	form, err := url.ParseQuery(string(c.body))
	if err != nil {
		return a, false
	}
	if form.Has("token") {
		a.Token = form.Get("token")
	}
	a.Channel, a.TS, a.ThreadTS = form.Get("channel"), form.Get("ts"), form.Get("thread_ts")
	a.body.Text, a.hasText = form.Get("text"), form.Has("text")
	if form.Has("blocks") {
		a.body.Blocks = json.RawMessage(form.Get("blocks"))
	}
	if form.Has("attachments") {
		a.body.Attachments = json.RawMessage(form.Get("attachments"))
	}
	return a, c.Method == http.MethodPost
}

// channel finds the channel that a call names by its name or id; word is what is wrong with it.
func (b *slackBot) channel(named string) (name, word string) {
	for _, name := range b.Channels {
		if named == slackChannelID(name) || strings.TrimPrefix(named, "#") == name {
			if slices.Contains(b.Archived, name) {
				return name, "is_archived"
			}
			return name, ""
		}
	}
	return "", "channel_not_found"
}

func (s *SlackAPI) post(c *call, bot *slackBot, a slackArgs) ruling {
	name, word := bot.channel(a.Channel)
	if word != "" {
		return slackError(word)
	}
	m, word := a.body.decode()
	if word != "" {
		return slackError(word)
	}
	id := slackChannelID(name)
	if bot.posts[id] == nil {
		bot.posts[id] = &bucket{}
	}
	if ok, wait := bot.posts[id].take(bot.Posts, bot.Burst, c.now); !ok {
		return bot.tooFast(wait)
	}
	s.last = max(s.last+100, c.now.UnixMicro())
	m.Channel, m.TS = id, fmt.Sprintf("%d.%06d", s.last/1_000_000, s.last%1_000_000)
	shown := m.message(SlackHook{Channel: name, App: bot.App})
	if a.ThreadTS != "" {
		m.Thread = a.ThreadTS
		if parent := s.posted[id+"/"+a.ThreadTS]; parent == nil || parent.thread != "" {
			shown.Flags = append(shown.Flags, "a reply to an unknown thread")
		}
	}
	s.posted[id+"/"+m.TS] = &slackPosted{bot: bot, at: c.now, thread: a.ThreadTS}
	v := slackOK(map[string]any{
		"channel": id, "ts": m.TS, "message": map[string]any{"text": m.Text, "ts": m.TS, "type": "message"},
	})
	v.message = shown
	if m.Thread != "" { // its parent shows it
		v.edits = append(v.edits, func(parent *Message) bool { return parent.Slack.is(id, m.Thread) })
	}
	return v
}

func (s *SlackAPI) update(c *call, bot *slackBot, a slackArgs) ruling {
	i := slices.IndexFunc(bot.Channels, func(name string) bool { return a.Channel == slackChannelID(name) })
	if i < 0 { // by its id, not by its name
		return slackError("channel_not_found")
	}
	known := s.posted[a.Channel+"/"+a.TS]
	switch {
	case known == nil:
		return slackError("message_not_found")
	case known.bot != bot:
		return slackError("cant_update_message")
	case bot.EditWindow > 0 && c.now.Sub(known.at) > bot.EditWindow:
		return slackError("edit_window_closed")
	case utf8.RuneCountInString(a.body.Text) > slackMaxUpdate:
		return slackError("msg_too_long")
	}
	m, word := a.body.decode()
	if word != "" {
		return slackError(word)
	}
	if !bot.updates.take(bot.Updates, c.now) {
		return bot.tooFast(bot.Updates.Per / time.Duration(bot.Updates.Messages))
	}
	v := slackOK(map[string]any{"channel": a.Channel, "ts": a.TS, "text": m.Text})
	v.delivered = true
	v.edits = append(v.edits, func(shown *Message) bool {
		if !shown.Slack.is(a.Channel, a.TS) {
			return false
		}
		before := shown.Slack
		if !a.hasText && a.body.Blocks == nil {
			m.Blocks = before.Blocks // they are kept only if no text is given
		}
		if a.body.Attachments == nil {
			m.Attachments = before.Attachments
		}
		m.Channel, m.TS, m.Thread = before.Channel, before.TS, before.Thread
		m.Earlier = append(slices.Clone(before.Earlier), before)
		next := m.message(SlackHook{Channel: shown.Group, App: shown.Robot})
		shown.Slack, shown.Type, shown.Title, shown.Text = m, next.Type, next.Title, next.Text
		shown.Body = c.body
		return true
	})
	return v
}

func (b *slackBot) tooFast(wait time.Duration) ruling {
	v := slackError("ratelimited")
	if b.RateInBody {
		return v
	}
	v.answer.status, v.verdict.Code = http.StatusTooManyRequests, http.StatusTooManyRequests
	if !b.BareRate {
		v.answer.header = http.Header{"Retry-After": {strconv.Itoa(max(1, int((wait+time.Second-1)/time.Second)))}}
	}
	return v
}

func slackOK(fields map[string]any) ruling {
	fields["ok"] = true
	body, _ := json.Marshal(fields)
	return ruling{
		answer:  answer{status: http.StatusOK, contentType: "application/json; charset=utf-8", body: body},
		verdict: Verdict{Code: http.StatusOK, Text: "ok"},
	}
}

// slackError answers with a word. What Slack says beside it depends on the word.
func slackError(word string) ruling {
	fields := map[string]any{"ok": false, "error": word}
	switch word {
	case "missing_scope":
		fields["needed"], fields["provided"] = "chat:write", "identify"
	case "invalid_blocks":
		fields["response_metadata"] = map[string]any{"messages": []string{"[ERROR] invalid block [json-pointer:/blocks/0]"}}
	}
	body, _ := json.Marshal(fields)
	return ruling{
		answer:  answer{status: http.StatusOK, contentType: "application/json; charset=utf-8", body: body},
		verdict: Verdict{Code: http.StatusOK, Text: word},
	}
}

// is tells whether it is the message of a channel with a ts.
func (m *SlackMessage) is(channel, ts string) bool {
	return m != nil && m.TS == ts && m.Channel == channel
}

// Forget makes the messages so far those of another bot, as after the app was installed anew.
func (s *SlackAPI) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.posted {
		m.bot = nil
	}
}
