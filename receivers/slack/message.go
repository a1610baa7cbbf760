package slack

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/split"
)

const (
	// maxTitle is what Alertmanager cuts titles at, in runes.
	// https://docs.slack.dev/legacy/legacy-messaging/legacy-secondary-message-attachments
	maxTitle = 1024
	// maxRunes bounds all texts of a message together. Slack takes 40,000 in a text and cuts what is beyond
	// (https://docs.slack.dev/reference/methods/chat.postMessage), but nobody finds an alert in a message that fills
	// five screens: several parts can be read, linked and answered one by one.
	maxRunes = 8000
)

// templates are the compiled templates of one integration, by key.
type templates struct {
	channel  relay.Template // nil when the channel is always the same
	texts    map[string]relay.Template
	fields   []fieldTemplates
	actions  []map[string]relay.Template
	confirms []map[string]relay.Template // nil where an action asks nothing
}

type fieldTemplates struct {
	title, value relay.Template
	short        bool
}

// compile compiles what c says, or returns what is wrong with each template.
func compile(c Config, r relay.Renderer) (templates, error) {
	var errs []error
	compileAll := func(prefix string, sources map[string]string) map[string]relay.Template {
		out := map[string]relay.Template{}
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
		"image_url": c.ImageURL, "thumb_url": c.ThumbURL,
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
		var confirm map[string]relay.Template
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
	Attachments []attachment `json:"attachments"`
}

// An attachment is slack-go's, without the blocks that it would write as null.
type attachment struct {
	slack.Attachment
	Blocks *slack.Blocks `json:"blocks,omitempty"`
}

// rendered is one message before it is encoded.
type rendered struct {
	payload
	counted int // alerts without a line of their own
}

// Render makes the messages of a delivery, several when the alerts are too many for one.
func (i *Integration) Render(d relay.Delivery) ([]relay.Message, error) {
	parts, err := i.parts(&d)
	if err != nil {
		return nil, err
	}
	messages := make([]relay.Message, len(parts))
	for n, part := range parts {
		body, err := json.Marshal(part.payload)
		if err != nil {
			return nil, fmt.Errorf("encode message: %w", err)
		}
		messages[n] = relay.Message{
			ID: d.ID, Part: n + 1, Parts: len(parts), Address: d.Destination.Address,
			Body: body, Text: part.read(), Omitted: part.counted,
		}
		if len(parts) > 1 {
			messages[n].ID += "-" + strconv.Itoa(n+1)
		}
		if d.Plain {
			messages[n].Fallback = "the built-in plain text was asked for"
		}
	}
	return messages, nil
}

func (i *Integration) parts(d *relay.Delivery) ([]rendered, error) {
	render := i.usual
	if d.Plain {
		render = i.plain
	}
	limits := split.Limits{Parts: i.cfg.Parts(), Room: maxRunes}
	view := relay.View{Delivery: d, Mentions: mentions(d)}
	return split.Render(view, limits, func(p split.Part) (rendered, int, error) {
		if p.Part > 1 {
			p.Mentions = nil // once is enough
		}
		m, err := render(p)
		m.complete(p.Mentions)
		return m, maxRunes - m.runes(), err
	})
}

// mentions are those whom a delivery concerns, as Slack writes them.
// https://docs.slack.dev/messaging/formatting-message-text#mentioning-users
func mentions(d *relay.Delivery) []string {
	var names []string
	for _, p := range d.People {
		if p.SlackID != "" {
			names = append(names, "<@"+p.SlackID+">")
		}
	}
	return names
}

// complete adds the mentions that no text has.
func (m *rendered) complete(mentions []string) {
	shown := []string{m.Text}
	for _, a := range m.Attachments {
		shown = append(shown, a.Pretext, a.Text)
	}
	var missing []string
	for _, name := range mentions {
		if !slices.ContainsFunc(shown, func(text string) bool { return strings.Contains(text, name) }) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		m.Text = strings.TrimSpace(strings.Join(missing, " ") + " " + m.Text)
	}
}

// usual renders a part by the configured templates.
func (i *Integration) usual(p split.Part) (rendered, error) {
	x := executor{view: p.View}
	text := i.templates.texts
	a := slack.Attachment{
		Title:      cut(x.text("title", text["title"]), maxTitle),
		TitleLink:  x.text("title_link", text["title_link"]),
		Pretext:    x.text("pretext", text["pretext"]),
		Fallback:   x.text("fallback", text["fallback"]),
		CallbackID: x.text("callback_id", text["callback_id"]),
		ImageURL:   x.text("image_url", text["image_url"]),
		ThumbURL:   x.text("thumb_url", text["thumb_url"]),
		Footer:     x.text("footer", text["footer"]),
		Color:      x.text("color", text["color"]),
		MarkdownIn: i.cfg.MrkdwnIn,
	}
	m := rendered{payload: payload{
		Channel:   p.Delivery.Destination.Address,
		Username:  x.text("username", text["username"]),
		IconEmoji: x.text("icon_emoji", text["icon_emoji"]),
		IconURL:   x.text("icon_url", text["icon_url"]),
		LinkNames: i.cfg.LinkNames,
		Text:      x.text("message_text", text["message_text"]),
	}}
	if p.Compact() {
		var whole string
		whole, m.counted = i.compact(a.Title, p)
		a.Title, a.Text, _ = strings.Cut(whole, "\n")
	} else {
		a.Title = numbered(a.Title, p)
		a.Text = x.text("text", text["text"])
		a.Fields = x.fields(i.templates.fields)
	}
	a.Actions = x.actions(i.templates.actions, i.templates.confirms)
	m.Attachments = []attachment{{Attachment: a}}
	return m, x.err
}

// plain renders a part without any template of a user.
func (i *Integration) plain(p split.Part) (rendered, error) {
	m := rendered{payload: payload{Channel: p.Delivery.Destination.Address}}
	p.Mentions = nil // as plain text they would not come alive
	text := escape(i.renderer.Plain(i.cfg.Locale, p.View))
	if p.Compact() {
		title, _, _ := strings.Cut(escape(i.renderer.Plain(i.cfg.Locale, p.Head())), "\n")
		text, m.counted = i.compact(title, p)
	}
	title, _, _ := strings.Cut(text, "\n")
	m.Attachments = []attachment{{Attachment: slack.Attachment{
		Fallback: cut(title, maxTitle), Text: text, MarkdownIn: []string{"text"},
	}}}
	return m, nil
}

// compact tells alerts of a part in a line each, below the title and above a link to the full text.
func (i *Integration) compact(title string, p split.Part) (text string, counted int) {
	list, counted := i.renderer.Compact(i.cfg.Locale, p.Notification(), p.Omitted, p.Room)
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

func (x *executor) fields(templates []fieldTemplates) []slack.AttachmentField {
	var out []slack.AttachmentField
	for _, f := range templates {
		out = append(out, slack.AttachmentField{
			Title: x.text("fields", f.title), Value: x.text("fields", f.value), Short: f.short,
		})
	}
	return out
}

func (x *executor) actions(templates, confirms []map[string]relay.Template) []slack.AttachmentAction {
	var out []slack.AttachmentAction
	for n, t := range templates {
		text := func(key string) string { return x.text("actions", t[key]) }
		action := slack.AttachmentAction{
			Type: slack.ActionType(text("type")), Text: text("text"), URL: text("url"), Style: text("style"),
			Name: text("name"), Value: text("value"),
		}
		if c := confirms[n]; c != nil {
			ask := func(key string) string { return x.text("actions", c[key]) }
			action.Confirm = &slack.ConfirmationField{
				Text: ask("text"), Title: ask("title"), OkText: ask("ok_text"), DismissText: ask("dismiss_text"),
			}
		}
		out = append(out, action)
	}
	return out
}

// runes counts what a reader sees of a message.
func (m rendered) runes() int {
	n := utf8.RuneCountInString(m.Text)
	for _, a := range m.Attachments {
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
			out = append(out, unescape(text))
		}
	}
	add(m.Text)
	for _, a := range m.Attachments {
		add(a.Pretext)
		add(a.Title)
		add(a.Text)
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

func unescape(text string) string {
	return strings.NewReplacer("&amp;", "&", "&lt;", "<", "&gt;", ">").Replace(text)
}
