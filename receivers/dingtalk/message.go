package dingtalk

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alertrelay/relay"
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
	Type     string    `json:"msgtype"`
	Text     *text     `json:"text,omitempty"`
	Markdown *markdown `json:"markdown,omitempty"`
	At       *at       `json:"at,omitempty"`
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

type at struct {
	Mobiles []string `json:"atMobiles,omitempty"`
	UserIDs []string `json:"atUserIds,omitempty"`
	All     bool     `json:"isAtAll,omitempty"`
}

// Render makes the messages of a delivery. The plain form, and the part that only lists and counts, are of type text,
// in which nothing is markup.
func (i *Integration) Render(d relay.Delivery) ([]relay.Message, error) {
	whom := i.whom(&d)
	messages, err := split.Render(relay.View{Delivery: &d, Mentions: whom.inText()},
		split.Limits{Parts: i.maxParts, Room: maxBody},
		func(p split.Part) (relay.Message, int, error) { return i.part(p, whom) })
	if err != nil {
		return nil, err
	}
	for n := range messages {
		messages[n].Part, messages[n].Parts = n+1, len(messages)
	}
	return messages, nil
}

// whom says whom a delivery notifies: those that the configuration names and whom it concerns, as many as DingTalk takes.
// Nil is nobody.
func (i *Integration) whom(d *relay.Delivery) *at {
	a := &at{Mobiles: slices.Clone(i.mention.Mobiles), UserIDs: slices.Clone(i.mention.UserIDs), All: i.mention.All}
	for _, p := range d.People {
		switch {
		case len(a.Mobiles)+len(a.UserIDs) == maxMentions:
		case p.DingTalkUserID != "" && !slices.Contains(a.UserIDs, p.DingTalkUserID):
			a.UserIDs = append(a.UserIDs, p.DingTalkUserID)
		case p.DingTalkUserID == "" && p.Mobile != "" && !slices.Contains(a.Mobiles, p.Mobile):
			a.Mobiles = append(a.Mobiles, p.Mobile)
		}
	}
	if len(a.Mobiles)+len(a.UserIDs) == 0 && !a.All {
		return nil
	}
	return a
}

// inText is how people are mentioned in the text.
func (a *at) inText() []string {
	if a == nil {
		return nil
	}
	var names []string
	for _, name := range slices.Concat(a.Mobiles, a.UserIDs) {
		names = append(names, "@"+name)
	}
	return names
}

// part renders one message and says how many bytes it could be longer.
func (i *Integration) part(p split.Part, whom *at) (relay.Message, int, error) {
	m := relay.Message{ID: fmt.Sprintf("%s-%d", p.Delivery.ID, max(1, p.Part))}
	b := body{Type: TypeText, At: whom, UUID: m.ID}
	if p.Part > 1 {
		b.At, p.Mentions = nil, nil // once is enough
	}
	if p.Delivery.Plain {
		m.Fallback = fallback
	}
	title, content, err := i.words(p, &m)
	if err != nil {
		return m, 0, err
	}
	m.Text = i.complete(content, p.Mentions)
	if i.messageType == TypeMarkdown && !p.Delivery.Plain && !p.Compact() {
		b.Type, b.Markdown = TypeMarkdown, &markdown{Title: oneLine(title), Text: m.Text}
	} else {
		b.Text = &text{Content: m.Text}
	}
	m.Body = robots.Encode(b)
	return m, maxBody - len(m.Body), nil
}

// fallback is why a message is not in the configured form.
const fallback = "the built-in text stands in: the template failed, or DingTalk refused its result"

// words are the title and the text of a part.
func (i *Integration) words(p split.Part, m *relay.Message) (title, content string, err error) {
	switch {
	case p.Delivery.Plain:
		title = i.templates.Plain(i.locale, p.Head())
	default:
		title, err = i.title.Execute(p.View)
	}
	switch {
	case err != nil:
		return "", "", err
	case p.Compact():
		list, counted := i.templates.Compact(i.locale, p.Notification(), p.Omitted, p.Room)
		m.Omitted = counted
		return title, p.Join(title, list, i.externalURL), nil
	case p.Delivery.Plain:
		return title, i.templates.Plain(i.locale, p.View), nil
	}
	content, err = i.text.Execute(p.View)
	return title, content, err
}

// complete adds to a text what must stand in it: the names of those mentioned, without which DingTalk notifies nobody,
// and the keyword, without which it refuses the message.
func (i *Integration) complete(content string, mentions []string) string {
	if strings.TrimSpace(content) == "" {
		content = "-" // DingTalk refuses an empty text
	}
	var missing []string
	for _, name := range mentions {
		if !mentioned(content, name) {
			missing = append(missing, name)
		}
	}
	if !strings.Contains(content, i.keyword) {
		missing = append(missing, i.keyword)
	}
	if len(missing) > 0 {
		content += "\n\n" + strings.Join(missing, " ")
	}
	return content
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
