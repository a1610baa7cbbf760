package wecom

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/robots"
	"github.com/alertrelay/relay/internal/split"
)

// The limits of a message, in bytes of its content. WeCom refuses what is longer (errcode 40058).
// https://developer.work.weixin.qq.com/document/path/91770
const (
	maxText     = 2048
	maxMarkdown = 4096
)

// body is the request.
type body struct {
	Type     string    `json:"msgtype"`
	Text     *text     `json:"text,omitempty"`
	Markdown *markdown `json:"markdown,omitempty"`
}

type text struct {
	Content          string   `json:"content"`
	Mentioned        []string `json:"mentioned_list,omitempty"`
	MentionedMobiles []string `json:"mentioned_mobile_list,omitempty"`
}

type markdown struct {
	Content string `json:"content"`
}

// all mentions everyone, in a list of users.
const all = "@all"

// Render makes the messages of a delivery. The plain form, and the part that only lists and counts, are of type text,
// in which nothing is markup.
func (i *Integration) Render(d relay.Delivery) ([]relay.Message, error) {
	view := relay.View{Delivery: &d}
	whom := i.whom(&d)
	main := form{i, i.text, i.messageType, "", whom}
	twin := i.twin != nil && !d.Plain
	if twin {
		main.mention = Mention{}
	}
	messages, err := main.render(view, i.maxParts)
	if err != nil {
		return nil, err
	}
	if twin {
		more, err := form{i, i.twin, TypeText, "-twin", whom}.render(view, 1)
		if err != nil {
			return nil, err
		}
		messages = append(messages, more...)
	}
	for n := range messages {
		messages[n].Part, messages[n].Parts = n+1, len(messages)
	}
	return messages, nil
}

// whom says whom a delivery notifies: those that the configuration names and whom it concerns.
func (i *Integration) whom(d *relay.Delivery) Mention {
	m := Mention{UserIDs: slices.Clone(i.mention.UserIDs), Mobiles: slices.Clone(i.mention.Mobiles), All: i.mention.All}
	for _, p := range d.People {
		switch {
		case p.WeComUserID != "" && !slices.Contains(m.UserIDs, p.WeComUserID):
			m.UserIDs = append(m.UserIDs, p.WeComUserID)
		case p.WeComUserID == "" && p.Mobile != "" && !slices.Contains(m.Mobiles, p.Mobile):
			m.Mobiles = append(m.Mobiles, p.Mobile)
		}
	}
	return m
}

// form is one of the ways in which a notification is told.
type form struct {
	*Integration

	text        relay.Template
	messageType string
	suffix      string // of message ids
	mention     Mention
}

func (f form) render(v relay.View, maxParts int) ([]relay.Message, error) {
	room := maxText
	if f.messageType == TypeMarkdown {
		room = maxMarkdown
		v.Mentions = f.mention.inMarkdown()
	}
	return split.Render(v, split.Limits{Parts: maxParts, Room: room}, f.part)
}

// inMarkdown is how people are mentioned in the text of a markdown message.
func (m Mention) inMarkdown() []string {
	var names []string
	for _, id := range m.users() {
		names = append(names, "<@"+strings.TrimPrefix(id, "@")+">")
	}
	return names
}

// users are the ids of those mentioned, with @all for everyone.
func (m Mention) users() []string {
	if m.All {
		return append(slices.Clone(m.UserIDs), all)
	}
	return m.UserIDs
}

// part renders one message and says how many bytes it could be longer.
func (f form) part(p split.Part) (relay.Message, int, error) {
	m := relay.Message{ID: fmt.Sprintf("%s-%d%s", p.Delivery.ID, max(1, p.Part), f.suffix)}
	if p.Delivery.Plain {
		m.Fallback = fallback
	}
	mention := f.mention
	if p.Part > 1 {
		mention, p.Mentions = Mention{}, nil // once is enough
	}
	asText := f.messageType == TypeText || p.Delivery.Plain || p.Compact()
	if asText {
		p.Mentions = nil
	}
	content, err := f.words(p, &m)
	if err != nil {
		return m, 0, err
	}
	m.Text = complete(content, p.Mentions)
	if asText {
		m.Body = robots.Encode(body{Type: TypeText, Text: &text{m.Text, mention.users(), mention.Mobiles}})
		return m, maxText - len(m.Text), nil
	}
	m.Body = robots.Encode(body{Type: TypeMarkdown, Markdown: &markdown{m.Text}})
	return m, maxMarkdown - len(m.Text), nil
}

// fallback is why a message is not in the configured form.
const fallback = "the built-in text stands in: the template failed, or WeCom refused its result"

// words are the text of a part.
func (f form) words(p split.Part, m *relay.Message) (string, error) {
	switch {
	case p.Compact():
		title, err := f.heading(p)
		if err != nil {
			return "", err
		}
		list, counted := f.templates.Compact(f.locale, p.Notification(), p.Omitted, p.Room)
		m.Omitted = counted
		return p.Join(title, list, f.externalURL), nil
	case p.Delivery.Plain:
		return f.templates.Plain(f.locale, p.View), nil
	}
	return f.text.Execute(p.View)
}

// heading stands above the lines of a compact part.
func (f form) heading(p split.Part) (string, error) {
	if p.Delivery.Plain {
		return f.templates.Plain(f.locale, p.Head()), nil
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
