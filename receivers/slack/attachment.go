package slack

import (
	"strings"

	"github.com/slack-go/slack"

	"github.com/alertrelay/relay/internal/split"
)

// maxTitle is what Alertmanager cuts titles at, in runes.
// https://docs.slack.dev/legacy/legacy-messaging/legacy-secondary-message-attachments
const maxTitle = 1024

// An attachment is slack-go's. Its blocks are as a template wrote them, and left out where there are none.
type attachment struct {
	slack.Attachment
	Blocks blocks `json:"blocks,omitempty"`
}

// inAttachment renders a part in the form of Alertmanager's own sender: one attachment.
func (i *Integration) inAttachment(p split.Part) (rendered, error) {
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
	m := rendered{payload: i.envelope(&x)}
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
	if missing := missing(p.Mentions, []string{m.Text, a.Pretext, a.Text}); missing != "" {
		m.Attachments[0].Pretext = joined(" ", a.Pretext, missing)
	}
	return m, x.err
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

func (x *executor) actions(templates, confirms []texts) []slack.AttachmentAction {
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
