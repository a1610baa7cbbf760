package wecom

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/robots"
	"github.com/alertrelay/relay/internal/split"
)

// The limits of a robot's message, in bytes of its content. WeCom refuses what is longer (errcode 40058).
// https://developer.work.weixin.qq.com/document/path/91770
const (
	maxText     = 2048
	maxMarkdown = 4096 // of markdown and markdown_v2
)

// body is the request.
type body struct {
	Type       string    `json:"msgtype"`
	Text       *text     `json:"text,omitempty"`
	Markdown   *markdown `json:"markdown,omitempty"`
	MarkdownV2 *markdown `json:"markdown_v2,omitempty"`
	News       *news     `json:"news,omitempty"`
	Card       *card     `json:"template_card,omitempty"`
	Textcard   *textcard `json:"textcard,omitempty"`
	// Image and File are finished when they are sent: the picture is read, the file uploaded.
	Image *image `json:"image,omitempty"`
	File  *file  `json:"file,omitempty"`
}

type text struct {
	Content          string   `json:"content"`
	Mentioned        []string `json:"mentioned_list,omitempty"`
	MentionedMobiles []string `json:"mentioned_mobile_list,omitempty"`
}

type markdown struct {
	Content string `json:"content"`
}

// writer renders deliveries into the bodies of messages.
type writer struct {
	templates   relay.Renderer
	locale      string
	title, text relay.Template
	twin        relay.Template // nil without text_twin
	cards       cards
	messageType string
	maxParts    int
	maxMarkdown int // bytes
	mention     mention
	externalURL string
	addressed   bool // to members: nobody need be mentioned
}

func newWriter(c Config, env relay.Env) (writer, error) {
	w := writer{
		templates:   env.Templates,
		locale:      c.Locale,
		messageType: c.MessageType,
		maxParts:    c.Parts(),
		maxMarkdown: maxMarkdown,
		externalURL: env.ExternalURL,
	}
	var errs [5]error
	w.title, errs[0] = env.Templates.Text(c.Locale, c.Title)
	w.text, errs[1] = env.Templates.Text(c.Locale, c.Text)
	if c.TextTwin {
		w.twin, errs[2] = env.Templates.Text(c.Locale, DefaultPlain)
	}
	w.cards, errs[3] = newCards(c, env.Templates)
	w.mention, errs[4] = newMention(c, env.Templates)
	return w, errors.Join(fault.At("title", errs[0]), fault.At("text", errs[1]), fault.At("text_twin", errs[2]), errs[3],
		fault.At("mention", errs[4]))
}

// Render makes the messages of a delivery. The plain form, and the part that only lists and counts, are of type text,
// in which nothing is markup. A card that would lead nowhere is sent as text, too.
func (w *writer) Render(d relay.Delivery) ([]relay.Message, error) {
	var whom *whom
	var err error
	if !w.addressed {
		if whom, err = w.mention.of(&d); err != nil {
			return nil, err
		}
	}
	main := form{writer: w, text: w.text, messageType: w.messageType, whom: whom}
	if d.Plain || len(d.Tellings) > 1 { // one text
		return numbered(main.render(relay.View{Delivery: &d}, w.maxParts))
	}
	parts := w.maxParts
	switch {
	case w.twin != nil:
		main.whom = nil
	case w.messageType == TypeImage:
		parts = max(1, parts-1)
	case w.messageType == TypeFile:
		parts = 1 // all of it is in the file
	}
	messages, err := main.render(relay.View{Delivery: &d}, parts)
	if err != nil {
		return nil, err
	}
	if w.twin != nil {
		twin := form{writer: w, text: w.twin, messageType: TypeText, suffix: "-twin", whom: whom}
		more, err := twin.render(relay.View{Delivery: &d}, 1)
		if err != nil {
			return nil, err
		}
		messages = append(messages, more...)
	}
	return numbered(append(messages, w.attached(&d, messages)...), nil)
}

// numbered gives messages their places.
func numbered(messages []relay.Message, err error) ([]relay.Message, error) {
	for n := range messages {
		messages[n].Part, messages[n].Parts = n+1, len(messages)
	}
	return messages, err
}

// form is one of the ways in which a notification is told.
type form struct {
	*writer

	text        relay.Template
	messageType string
	suffix      string // of message ids
	whom        *whom
}

func (f form) render(v relay.View, maxParts int) ([]relay.Message, error) {
	room := maxText
	switch f.messageType {
	case TypeMarkdown, TypeMarkdownV2:
		room = f.maxMarkdown
	case TypeNews, TypeTemplateCard:
		room = f.cards.rows() * rowRoom
	case TypeTextcard:
		room = maxArticleText
	}
	return split.Render(v, split.Limits{Parts: maxParts, Room: room}, f.part)
}

// part renders one message and says how many bytes it could be longer.
func (f form) part(p split.Part) (relay.Message, int, error) {
	m := relay.Message{ID: fmt.Sprintf("%s-%d%s", p.Delivery.ID, max(1, p.Part), f.suffix)}
	if p.Part > 1 {
		f.whom = nil // once is enough
	}
	if p.Delivery.Plain {
		m.Fallback = fallback
	}
	if p.Delivery.Plain || p.Compact() {
		content, err := f.plain(p, &m)
		if err != nil {
			return m, 0, err
		}
		return m, f.asText(content, &m), nil
	}
	switch f.messageType {
	case TypeNews, TypeTemplateCard, TypeTextcard:
		return f.asCard(p, m)
	case TypeMarkdown:
		p.Mentions = f.whom.inMarkdown()
	}
	content, err := f.text.Execute(p.View)
	if err != nil {
		return m, 0, err
	}
	switch f.messageType {
	case TypeMarkdown:
		m.Text = complete(content, p.Mentions)
		m.Body = robots.Encode(body{Type: TypeMarkdown, Markdown: &markdown{m.Text}})
		return m, f.maxMarkdown - len(m.Text), nil
	case TypeMarkdownV2:
		m.Text = complete(content, nil)
		m.Body = robots.Encode(body{Type: TypeMarkdownV2, MarkdownV2: &markdown{m.Text}})
		return m, f.maxMarkdown - len(m.Text), nil
	}
	return m, f.asText(content, &m), nil
}

// asText makes a text message and says how many bytes it could be longer.
func (f form) asText(content string, m *relay.Message) int {
	m.Text = complete(content, nil)
	t := &text{Content: m.Text}
	if f.whom != nil {
		t.Mentioned, t.MentionedMobiles = f.whom.users, f.whom.mobiles
	}
	m.Body = robots.Encode(body{Type: TypeText, Text: t})
	return maxText - len(m.Text)
}

// fallback is why a message is not in the configured form.
const fallback = "the built-in text stands in: the template failed, or WeCom refused its result"

// plain are the built-in words of a part.
func (f form) plain(p split.Part, m *relay.Message) (string, error) {
	if !p.Compact() {
		return f.templates.Plain(f.locale, p.View), nil
	}
	title, err := f.heading(p)
	if err != nil {
		return "", err
	}
	list, counted := f.templates.Compact(f.locale, p.View, p.Omitted, p.Room)
	m.Omitted = counted
	return p.Join(title, list, f.externalURL), nil
}

// heading stands above the lines of a compact part.
func (f form) heading(p split.Part) (string, error) {
	if p.Delivery.Plain {
		title, _, _ := strings.Cut(f.templates.Plain(f.locale, p.Head()), "\n")
		return title, nil
	}
	title, err := f.title.Execute(p.View)
	return strings.Join(strings.Fields(title), " "), err
}

// complete adds to a text the mentions it lacks.
func complete(content string, mentions []string) string {
	if strings.TrimSpace(content) == "" {
		content = "-" // WeCom refuses an empty text
	}
	missing := slices.DeleteFunc(slices.Clone(mentions), func(name string) bool { return strings.Contains(content, name) })
	if len(missing) > 0 {
		content += "\n" + strings.Join(missing, " ")
	}
	return content
}
