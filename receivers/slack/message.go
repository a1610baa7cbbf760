package slack

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/split"
)

const (
	// maxRunes bounds all texts of a message together. Slack takes 40,000 in a text and cuts what is beyond
	// (https://docs.slack.dev/reference/methods/chat.postMessage), but nobody finds an alert in a message that fills
	// five screens: several parts can be read, linked and answered one by one.
	maxRunes = 8000
	// maxText bounds the text of a message: Slack's advice.
	// https://docs.slack.dev/reference/methods/chat.postMessage#truncating
	maxText = 4000
)

// templates are the compiled templates of one integration, by key.
type templates struct {
	channel  relay.Template // nil when the channel is always the same
	texts    texts
	fields   []fieldTemplates
	actions  []texts
	confirms []texts // nil where an action asks nothing
}

// texts are templates by key.
type texts map[string]relay.Template

type fieldTemplates struct {
	title, value relay.Template
	short        bool
}

// compile compiles what c says, or returns what is wrong with each template.
func compile(c Config, r relay.Renderer) (templates, error) {
	var errs []error
	compileAll := func(prefix string, sources map[string]string) texts {
		out := texts{}
		for key, src := range sources {
			t, err := r.Text(c.Locale, src)
			errs = append(errs, fault.At(prefix+key, err))
			out[key] = t
		}
		return out
	}
	t := templates{texts: compileAll("", map[string]string{
		"username": deref(c.Username), "icon_emoji": deref(c.IconEmoji), "icon_url": deref(c.IconURL),
		"message_text": c.MessageText, "color": deref(c.Color), "title": deref(c.Title),
		"title_link": deref(c.TitleLink), "pretext": deref(c.Pretext), "text": deref(c.Text),
		"footer": deref(c.Footer), "fallback": deref(c.Fallback), "callback_id": deref(c.CallbackID),
		"image_url": c.ImageURL, "thumb_url": c.ThumbURL, "blocks": deref(c.Blocks),
	})}
	if strings.Contains(c.Channel, "{{") {
		t.channel = compileAll("", map[string]string{"channel": c.Channel})["channel"]
	}
	for i, f := range c.Fields {
		both := compileAll("fields["+strconv.Itoa(i)+"].", map[string]string{"title": f.Title, "value": f.Value})
		short := c.ShortFields
		if f.Short != nil {
			short = *f.Short
		}
		t.fields = append(t.fields, fieldTemplates{both["title"], both["value"], short})
	}
	for i, a := range c.Actions {
		if a.URL != "" { // a link asks and tells nothing
			a.Name, a.Value, a.Confirm = "", "", nil
		}
		prefix := "actions[" + strconv.Itoa(i) + "]."
		t.actions = append(t.actions, compileAll(prefix, map[string]string{
			"type": a.Type, "text": a.Text, "url": a.URL, "style": a.Style, "name": a.Name, "value": a.Value,
		}))
		var confirm texts
		if c := a.Confirm; c != nil {
			confirm = compileAll(prefix+"confirm.", map[string]string{
				"text": c.Text, "title": c.Title, "ok_text": c.OkText, "dismiss_text": c.DismissText,
			})
		}
		t.confirms = append(t.confirms, confirm)
	}
	return t, errors.Join(errs...)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// A payload is the body of a call, field for field as Alertmanager's own sender writes it.
type payload struct {
	Channel     string       `json:"channel,omitempty"`
	Username    string       `json:"username,omitempty"`
	IconEmoji   string       `json:"icon_emoji,omitempty"`
	IconURL     string       `json:"icon_url,omitempty"`
	LinkNames   bool         `json:"link_names,omitempty"`
	Text        string       `json:"text,omitempty"`
	Blocks      blocks       `json:"blocks,omitempty"`
	Attachments []attachment `json:"attachments,omitempty"`
}

// rendered is one message before it is encoded.
type rendered struct {
	payload
	counted int  // alerts without a line of their own
	over    bool // its blocks are more than Slack takes
}

// Render makes the messages of a delivery, several when the alerts are too many for one.
func (i *Integration) Render(d relay.Delivery) ([]relay.Message, error) {
	if i.bot != nil {
		return i.renderBot(&d)
	}
	parts, err := i.parts(&d, nil, i.cfg.Parts())
	if err != nil {
		return nil, err
	}
	messages := make([]relay.Message, len(parts))
	for n, part := range parts {
		body, err := json.Marshal(part.payload)
		if err != nil {
			return nil, fmt.Errorf("encode message: %w", err)
		}
		messages[n] = part.message(&d, body)
	}
	return numberedAll(&d, messages), nil
}

// message is a part with its body, encoded.
func (m rendered) message(d *relay.Delivery, body []byte) relay.Message {
	out := relay.Message{Address: d.Destination.Address, Body: body, Text: m.read(), Omitted: m.counted}
	if d.Plain {
		out.Fallback = "the built-in plain text was asked for"
	}
	return out
}

// numberedAll gives the messages of a delivery their numbers and ids.
func numberedAll(d *relay.Delivery, messages []relay.Message) []relay.Message {
	for n := range messages {
		m := &messages[n]
		m.ID, m.Part, m.Parts = d.ID, n+1, len(messages)
		if len(messages) > 1 {
			m.ID += "-" + strconv.Itoa(n+1)
		}
	}
	return messages
}

// parts renders alerts of a delivery, all of them when they are nil, in at most so many parts.
func (i *Integration) parts(d *relay.Delivery, alerts relay.Alerts, most int) ([]rendered, error) {
	render := i.inAttachment
	switch {
	case d.Plain:
		render = i.plain
	case i.cfg.inBlocks():
		render = i.inBlocks
	}
	view := relay.View{Delivery: d, Alerts: alerts, Mentions: i.mentions(d)}
	limits := split.Limits{Parts: most, Room: maxRunes}
	return split.Render(view, limits, func(p split.Part) (rendered, int, error) {
		if p.Part > 1 {
			p.Mentions = nil // once is enough
		}
		m, err := render(p)
		return m, m.spare(), err
	})
}

// plain renders a part without any template of a user, as text alone.
func (i *Integration) plain(p split.Part) (rendered, error) {
	m := rendered{payload: payload{Channel: p.Delivery.Destination.Address}}
	mentions := p.Mentions
	p.Mentions = nil // they are markup, which is escaped
	if p.Compact() {
		title, _, _ := strings.Cut(escape(i.renderer.Plain(i.cfg.Locale, p.Head())), "\n")
		m.Text, m.counted = i.compact(title, p)
	} else {
		m.Text = escape(i.renderer.Plain(i.cfg.Locale, p.View))
	}
	m.Text = joined("\n", m.Text, missing(mentions, []string{m.Text}))
	m.over = utf8.RuneCountInString(m.Text) > maxText
	return m, nil
}

// envelope is what every form of message has: where it goes, as whom it is posted, and its text.
func (i *Integration) envelope(x *executor) payload {
	text := i.templates.texts
	return payload{
		Channel:   x.view.Delivery.Destination.Address,
		Username:  x.text("username", text["username"]),
		IconEmoji: x.text("icon_emoji", text["icon_emoji"]),
		IconURL:   x.text("icon_url", text["icon_url"]),
		LinkNames: i.cfg.LinkNames,
		Text:      x.text("message_text", text["message_text"]),
	}
}

// compact tells alerts of a part in a line each, below the title and above a link to the full text.
func (i *Integration) compact(title string, p split.Part) (text string, counted int) {
	list, counted := i.renderer.Compact(i.cfg.Locale, p.View, p.Omitted, p.Room)
	return p.Join(strings.Join(strings.Fields(title), " "), escape(list), i.relayURL), counted
}

// An executor executes the templates of one part until one fails.
type executor struct {
	view relay.View
	err  error
}

func (x *executor) text(key string, t relay.Template) string {
	if x.err != nil {
		return ""
	}
	text, err := t.Execute(x.view)
	if err != nil {
		x.err = fmt.Errorf("%s: %w", key, err)
	}
	return text
}

// spare is how many characters the message could be longer; less than 0 when it is too long.
func (m rendered) spare() int {
	spare := maxRunes - m.runes()
	if m.over {
		return min(spare, -maxRunes/4) // by how much is not known
	}
	return spare
}

// runes counts what a reader sees of a message.
func (m rendered) runes() int {
	n := utf8.RuneCountInString(m.Text)
	for _, text := range m.Blocks.texts() {
		n += utf8.RuneCountInString(text)
	}
	for _, a := range m.Attachments {
		for _, text := range a.Blocks.texts() {
			n += utf8.RuneCountInString(text)
		}
		n += utf8.RuneCountInString(a.Title) + utf8.RuneCountInString(a.Pretext) + utf8.RuneCountInString(a.Text)
		for _, f := range a.Fields {
			n += utf8.RuneCountInString(f.Title) + utf8.RuneCountInString(f.Value)
		}
	}
	return n
}

// read is the message as text, for the history and previews.
func (m rendered) read() string {
	var out []string
	add := func(text string) {
		if text != "" {
			out = append(out, unescape(labels(text)))
		}
	}
	add(m.Text)
	for _, text := range m.Blocks.texts() {
		add(text)
	}
	for _, a := range m.Attachments {
		add(a.Pretext)
		add(a.Title)
		add(a.Text)
		for _, text := range a.Blocks.texts() {
			add(text)
		}
		for _, f := range a.Fields {
			add(f.Title + ": " + f.Value)
		}
	}
	return strings.Join(out, "\n")
}

// numbered adds the number of a part to a title that does not tell it.
func numbered(title string, p split.Part) string {
	number := fmt.Sprintf("%d/%d", p.Part, p.Parts)
	if p.Parts < 2 || strings.Contains(title, number) {
		return title
	}
	return strings.TrimSpace(title + " (" + number + ")")
}

// cut bounds markup at limit runes, as Alertmanager does, and never leaves half an entity or half a link.
func cut(text string, limit int) string {
	runes := []rune(text)
	if len(runes) <= limit {
		return text
	}
	text = string(runes[:limit-1])
	if at := strings.LastIndexByte(text, '&'); at >= 0 && len(text)-at < len("&amp;") && !strings.Contains(text[at:], ";") {
		text = text[:at]
	}
	if at := strings.LastIndexByte(text, '<'); at > strings.LastIndexByte(text, '>') {
		text = text[:at]
	}
	return text + "…"
}

// escape keeps text from being markup: https://docs.slack.dev/messaging/formatting-message-text#escaping
func escape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}

// labels shows of links their texts alone.
func labels(text string) string {
	return regexp.MustCompile(`\*?<[a-z]+:[^|>]*\|([^>]*)>\*?`).ReplaceAllString(text, "$1")
}

func unescape(text string) string {
	return strings.NewReplacer("&amp;", "&", "&lt;", "<", "&gt;", ">").Replace(text)
}

// joined puts two texts together; an empty one needs no separator.
func joined(separator, a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + separator + b
}
