package dingtalk

import (
	"errors"
	"fmt"
	"strings"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/robots"
	"github.com/alertrelay/relay/internal/split"
)

// The limits of a message. DingTalk refuses a body over 20,000 bytes (errcode 460101); some of them stay free, because
// it is not documented how they are counted.
const (
	maxBody  = 19_000
	maxTitle = 200 // shown in one line
)

// body is the request. https://open.dingtalk.com/document/development/robot-message-type
type body struct {
	Type       string      `json:"msgtype"`
	Text       *text       `json:"text,omitempty"`
	Markdown   *markdown   `json:"markdown,omitempty"`
	Link       *link       `json:"link,omitempty"`
	ActionCard *actionCard `json:"actionCard,omitempty"`
	FeedCard   *feedCard   `json:"feedCard,omitempty"`
	At         *at         `json:"at,omitempty"`
	// UUID keeps DingTalk from showing a message twice, when the answer to the first call was lost.
	UUID string `json:"msgUuid"`
}

type text struct {
	Content string `json:"content"`
}

type markdown struct {
	Title string `json:"title"`
	Text  string `json:"text"`
}

// writer renders deliveries into the bodies of messages.
type writer struct {
	templates   relay.Renderer
	locale      string
	title, text relay.Template
	card        card
	messageType string
	maxParts    int
	maxBody     int // bytes
	mention     mention
	keyword     string
	externalURL string
	mute        bool // nobody can be mentioned
}

func newWriter(c Config, env relay.Env) (writer, error) {
	w := writer{
		templates:   env.Templates,
		locale:      c.Locale,
		messageType: c.MessageType,
		maxParts:    c.Parts(),
		maxBody:     maxBody,
		keyword:     c.Keyword,
		externalURL: env.ExternalURL,
	}
	var errs [4]error
	w.title, errs[0] = env.Templates.Text(c.Locale, c.Title)
	w.text, errs[1] = env.Templates.Text(c.Locale, c.Text)
	w.card, errs[2] = newCard(c, env.Templates)
	w.mention, errs[3] = newMention(c, env.Templates)
	return w, errors.Join(fault.At("title", errs[0]), fault.At("text", errs[1]), errs[2], fault.At("mention", errs[3]))
}

// Render makes the messages of a delivery. The plain form, and the part that only lists and counts, are of type text,
// in which nothing is markup. A card that would lead nowhere is sent as markdown, a link as text.
func (w *writer) Render(d relay.Delivery) ([]relay.Message, error) {
	f := form{writer: w}
	var err error
	if !w.mute {
		if f.at, err = w.mention.of(&d); err != nil {
			return nil, err
		}
	}
	messages, err := split.Render(relay.View{Delivery: &d}, split.Limits{Parts: w.maxParts, Room: w.maxBody}, f.part)
	if err != nil {
		return nil, err
	}
	for n := range messages {
		messages[n].Part, messages[n].Parts = n+1, len(messages)
	}
	return messages, nil
}

// form is how one delivery is told.
type form struct {
	*writer

	at *at
}

// part renders one message and says how many bytes it could be longer.
func (f form) part(p split.Part) (relay.Message, int, error) {
	m := relay.Message{ID: fmt.Sprintf("%s-%d", p.Delivery.ID, max(1, p.Part))}
	if p.Part > 1 {
		f.at = nil // once is enough
	}
	if p.Delivery.Plain {
		m.Fallback = fallback
	}
	b := body{UUID: m.ID}
	var err error
	if p.Delivery.Plain || p.Compact() {
		err = f.plain(p, &b, &m)
	} else {
		err = f.usual(p, &b, &m)
	}
	if err != nil {
		return m, 0, err
	}
	m.Body = robots.Encode(b)
	return m, f.maxBody - len(m.Body), nil
}

// plain makes a text message of built-in words.
func (f form) plain(p split.Part, b *body, m *relay.Message) error {
	p.Mentions = f.at.names()
	content := ""
	if p.Compact() {
		title, err := f.heading(p)
		if err != nil {
			return err
		}
		list, counted := f.templates.Compact(f.locale, p.View, p.Omitted, p.Room)
		m.Omitted = counted
		content = p.Join(title, list, f.externalURL)
	} else {
		content = f.templates.Plain(f.locale, p.View)
	}
	f.asText(content, b, m)
	return nil
}

// heading stands above the lines of a compact part.
func (f form) heading(p split.Part) (string, error) {
	if p.Delivery.Plain {
		title, _, _ := strings.Cut(f.templates.Plain(f.locale, p.Head()), "\n")
		return title, nil
	}
	return f.title.Execute(p.View)
}

// usual makes the message as it is configured.
func (f form) usual(p split.Part, b *body, m *relay.Message) error {
	p.Mentions = f.at.names()
	if f.messageType == TypeActionCard {
		p.Mentions = f.at.users()
	}
	title, err := f.title.Execute(p.View)
	if err != nil {
		return err
	}
	content, err := f.text.Execute(p.View)
	if err != nil {
		return err
	}
	title = oneLine(title)
	switch f.messageType {
	case TypeText:
		f.asText(content, b, m)
	case TypeLink:
		return f.asLink(p, title, content, b, m)
	case TypeActionCard:
		return f.asActionCard(p, title, content, b, m)
	case TypeFeedCard:
		return f.asFeedCard(p, title, content, b, m)
	default:
		f.asMarkdown(title, content, b, m)
	}
	return nil
}

func (f form) asText(content string, b *body, m *relay.Message) {
	m.Text = f.complete(content, f.at.names())
	b.Type, b.Text, b.At = TypeText, &text{Content: m.Text}, f.at
}

func (f form) asMarkdown(title, content string, b *body, m *relay.Message) {
	m.Text = f.complete(content, f.at.names())
	b.Type, b.Markdown, b.At = TypeMarkdown, &markdown{Title: title, Text: m.Text}, f.at
}

func (f form) asLink(p split.Part, title, content string, b *body, m *relay.Message) (err error) {
	m.Text = f.complete(strings.TrimSpace(content), nil)
	if b.Link, err = f.card.link(p.View, title, m.Text); b.Link == nil {
		f.asText(title+"\n"+content, b, m)
		return err
	}
	b.Type = TypeLink
	return err
}

func (f form) asActionCard(p split.Part, title, content string, b *body, m *relay.Message) (err error) {
	m.Text = f.complete(content, p.Mentions)
	if b.ActionCard, err = f.card.action(p.View, title, m.Text); b.ActionCard == nil {
		f.asMarkdown(title, content, b, m)
		return err
	}
	b.Type = TypeActionCard
	return err
}

func (f form) asFeedCard(p split.Part, title, content string, b *body, m *relay.Message) (err error) {
	if b.FeedCard, err = f.card.feed(p, title); b.FeedCard == nil {
		f.asMarkdown(title, content, b, m)
		return err
	}
	b.Type = TypeFeedCard
	b.FeedCard.Links[0].Title = f.keyed(b.FeedCard.Links[0].Title)
	m.Text = b.FeedCard.text()
	return err
}

// fallback is why a message is not in the configured form.
const fallback = "the built-in text stands in: the template failed, or DingTalk refused its result"

// complete adds to a text what must stand in it: the names of those mentioned, without which DingTalk notifies nobody,
// and the keyword, without which it refuses the message.
func (w *writer) complete(content string, mentions []string) string {
	if strings.TrimSpace(content) == "" {
		content = "-" // DingTalk refuses an empty text
	}
	var missing []string
	for _, name := range mentions {
		if !mentioned(content, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		content += "\n\n" + strings.Join(missing, " ")
	}
	return w.keyed(content)
}

// keyed adds the keyword to a text that lacks it. Whether DingTalk looks for it in titles too is not documented.
func (w *writer) keyed(content string) string {
	if strings.Contains(content, w.keyword) {
		return content
	}
	return content + "\n\n" + w.keyword
}

// mentioned reports whether name (@138…) stands in content as a whole word.
func mentioned(content, name string) bool {
	for rest := content; ; {
		_, after, found := strings.Cut(rest, name)
		if !found {
			return false
		}
		if after == "" || strings.ContainsAny(after[:1], " \t\r\n") {
			return true
		}
		rest = after
	}
}

// oneLine makes a title of what a template gave.
func oneLine(title string) string {
	title = split.Text(strings.Join(strings.Fields(title), " "), maxTitle)
	if title == "" {
		title = "-" // DingTalk refuses an empty title
	}
	return title
}
