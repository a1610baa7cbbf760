package sandbox

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// slackMaxAttachments is the most attachments of a message. https://docs.slack.dev/messaging/formatting-message-text
const slackMaxAttachments = 100

// SlackRate is the documented rate of an incoming webhook: one a second. The size of bursts is not published.
// https://docs.slack.dev/apis/web-api/rate-limits
func SlackRate() Limit { return Limit{Messages: 1, Per: time.Second} }

// A SlackHook is an incoming webhook: /services/{Team}/{Bot}/{Token}.
type SlackHook struct {
	Team, Bot, Token string
	Channel          string // its name, without #
	App              string // who posts

	Archived   bool  // answers 410 channel_is_archived
	Prohibited bool  // answers 403 action_prohibited
	Limit      Limit // zero: SlackRate; negative Messages: none
	Burst      int   // messages that may come at once; default 1
}

// Slack emulates incoming webhooks, POST /services/T…/B…/X….
type Slack struct {
	endpoint

	url   string
	mu    sync.Mutex
	hooks map[string]*slackHook // by T/B
}

type slackHook struct {
	SlackHook

	rate bucket
}

func newSlack(b *board, url string) *Slack {
	return &Slack{endpoint: endpoint{inbox: InboxSlack, board: b}, url: url, hooks: map[string]*slackHook{}}
}

// Add adds a webhook, or changes the settings of one with the same team and bot, and returns its URL.
func (s *Slack) Add(h SlackHook) string {
	h.Limit = h.Limit.or(SlackRate())
	key := h.Team + "/" + h.Bot
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.hooks[key]; known != nil {
		known.SlackHook = h
	} else {
		s.hooks[key] = &slackHook{SlackHook: h}
	}
	return s.url + "/services/" + url.PathEscape(h.Team) + "/" + url.PathEscape(h.Bot) + "/" + url.PathEscape(h.Token)
}

// ServeHTTP answers as the vendor does: a status and a bare word.
func (s *Slack) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, _ := splitHook(r.URL.Path)
	s.serve(w, r, key, s.judge)
}

// splitHook cuts /services/T/B/X into T/B and X.
func splitHook(path string) (key, token string) {
	parts := strings.Split(strings.TrimPrefix(path, "/services/"), "/")
	if len(parts) != 3 {
		return "", ""
	}
	return parts[0] + "/" + parts[1], parts[2]
}

// judge checks a message. The order is a choice; the vendor's is not documented.
func (s *Slack) judge(c *call) ruling {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, token := splitHook(c.URL.Path)
	hook := s.hooks[c.account]
	switch {
	case hook == nil:
		return slackWord(http.StatusNotFound, "no_service")
	case hook.Token != token:
		return slackWord(http.StatusForbidden, "invalid_token")
	case hook.Archived:
		return slackWord(http.StatusGone, "channel_is_archived")
	case hook.Prohibited:
		return slackWord(http.StatusForbidden, "action_prohibited")
	}
	m, wrong := decodeSlack(c)
	if wrong != "" {
		return slackWord(http.StatusBadRequest, wrong)
	}
	if ok, wait := hook.rate.take(hook.Limit, hook.Burst, c.now); !ok {
		return slackTooFast(wait)
	}
	v := slackWord(http.StatusOK, "ok")
	v.message = m.message(hook.SlackHook)
	return v
}

func slackWord(status int, word string) ruling {
	return ruling{
		answer:  answer{status: status, contentType: "text/html", body: []byte(word)},
		verdict: Verdict{Code: status, Text: word},
	}
}

// slackTooFast is the only answer in JSON; it names whole seconds.
func slackTooFast(wait time.Duration) ruling {
	seconds := strconv.Itoa(max(1, int((wait+time.Second-1)/time.Second)))
	return ruling{
		answer: answer{
			status: http.StatusTooManyRequests, contentType: "application/json; charset=utf-8",
			header: http.Header{"Retry-After": {seconds}},
			body:   []byte(`{"retry_after":` + seconds + `,"ok":false,"error":"rate_limited"}`),
		},
		verdict: Verdict{Code: http.StatusTooManyRequests, Text: "rate_limited"},
	}
}

// A SlackMessage is the part of a body that a reader sees.
type SlackMessage struct {
	Text        string            `json:"text"`
	Blocks      []SlackBlock      `json:"blocks"`
	Attachments []SlackAttachment `json:"attachments"`

	// What follows is of a bot's messages. Channel and TS name the message, Thread is the TS of the one it replies to.
	Channel string `json:"-"`
	TS      string `json:"-"`
	Thread  string `json:"-"`
	// Earlier is how it was before each update, oldest first.
	Earlier []*SlackMessage `json:"-"`
	Deleted bool            `json:"-"`
}

// A SlackAttachment is the older, coloured way to structure a message.
// https://docs.slack.dev/legacy/legacy-messaging/legacy-secondary-message-attachments
type SlackAttachment struct {
	Fallback  string        `json:"fallback"`
	Color     string        `json:"color"`
	Pretext   string        `json:"pretext"`
	Author    string        `json:"author_name"`
	Title     string        `json:"title"`
	TitleLink string        `json:"title_link"`
	Text      string        `json:"text"`
	Fields    []SlackField  `json:"fields"`
	Actions   []SlackAction `json:"actions"`
	Footer    string        `json:"footer"`
	Timestamp json.Number   `json:"ts"`
	MrkdwnIn  []string      `json:"mrkdwn_in"`
	Blocks    []SlackBlock  `json:"blocks"`
}

// A SlackField is a small table cell of an attachment.
type SlackField struct {
	Title string `json:"title"`
	Value string `json:"value"`
	Short bool   `json:"short"`
}

// A SlackAction is a button of an attachment.
type SlackAction struct {
	Type  string `json:"type"`
	Text  string `json:"text"`
	URL   string `json:"url"`
	Style string `json:"style"`
}

// slackBody is a body before its parts are looked at.
type slackBody struct {
	Text        string          `json:"text"`
	Blocks      json.RawMessage `json:"blocks"`
	Attachments json.RawMessage `json:"attachments"`
}

// decodeSlack returns the message, or Slack's word for what is wrong with it.
func decodeSlack(c *call) (*SlackMessage, string) {
	raw := c.body
	if t, _, err := mime.ParseMediaType(c.Header.Get("Content-Type")); err == nil &&
		t == "application/x-www-form-urlencoded" && !bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		form, err := url.ParseQuery(string(raw))
		if err != nil {
			return nil, "invalid_payload"
		}
		raw = []byte(form.Get("payload"))
	}
	var body *slackBody
	if json.Unmarshal(raw, &body) != nil || body == nil || c.Method != http.MethodPost {
		return nil, "invalid_payload"
	}
	return body.decode()
}

// decode returns the message, or Slack's word for what is wrong with its parts.
func (body *slackBody) decode() (*SlackMessage, string) {
	m := &SlackMessage{Text: body.Text}
	if isNothing(body.Blocks) && isNothing(body.Attachments) && body.Text == "" {
		return nil, "no_text"
	}
	if !isNothing(body.Blocks) {
		if bytes.TrimSpace(body.Blocks)[0] != '[' {
			return nil, "invalid_blocks_format"
		}
		if json.Unmarshal(body.Blocks, &m.Blocks) != nil || !validBlocks(m.Blocks) {
			return nil, "invalid_blocks"
		}
	}
	if !isNothing(body.Attachments) {
		if json.Unmarshal(body.Attachments, &m.Attachments) != nil {
			return nil, "invalid_payload"
		}
	}
	if len(m.Attachments) > slackMaxAttachments {
		return nil, "too_many_attachments"
	}
	for _, a := range m.Attachments {
		if !validBlocks(a.Blocks) {
			return nil, "invalid_blocks"
		}
	}
	return m, ""
}

// isNothing reports whether a field is missing, null or an empty list.
func isNothing(raw json.RawMessage) bool {
	switch string(bytes.Join(bytes.Fields(raw), nil)) {
	case "", "null", "[]":
		return true
	}
	return false
}

// message is what the channel sees. With blocks, text is only the fallback of a push notification.
func (m *SlackMessage) message(h SlackHook) *Message {
	out := &Message{Group: h.Channel, Robot: h.App, Type: "text", Slack: m}
	var lines []string
	add := func(parts ...string) {
		for _, p := range parts {
			if p != "" {
				lines = append(lines, p)
			}
		}
	}
	if len(m.Blocks) == 0 {
		add(m.Text)
	} else {
		out.Type = "blocks"
		add(blockTexts(m.Blocks)...)
	}
	for _, a := range m.Attachments {
		out.Type = "attachments"
		if out.Title == "" {
			out.Title = a.Title
		}
		add(a.Pretext, a.Title, a.Text)
		for _, f := range a.Fields {
			add(f.Title, f.Value)
		}
		add(blockTexts(a.Blocks)...)
		add(a.Footer)
	}
	out.Text = strings.Join(lines, "\n")
	out.MentionAll = strings.Contains(out.Text, "<!channel>") || strings.Contains(out.Text, "<!here>") ||
		strings.Contains(out.Text, "<!everyone>")
	for _, id := range inlineMentions(out.Text) {
		id, _, _ = strings.Cut(id, "|")
		out.Mentioned = append(out.Mentioned, id)
	}
	if utf8.RuneCountInString(m.Text) > slackMaxText {
		out.Flags = append(out.Flags, "text over 40000 characters is cut")
	}
	return out
}

// slackMaxText is where Slack cuts a text, in characters.
// https://docs.slack.dev/changelog/2018-truncating-really-long-messages
const slackMaxText = 40_000
