package sandbox

import (
	"encoding/json"
	"unicode/utf8"
)

// A SlackBlock is one block of Block Kit: the fields that are checked and shown.
// https://docs.slack.dev/reference/block-kit/blocks
type SlackBlock struct {
	Type     string         `json:"type"`
	ID       string         `json:"block_id"`
	Text     *SlackText     `json:"text"`
	Fields   []SlackText    `json:"fields"`
	Elements []SlackElement `json:"elements"`
	ImageURL string         `json:"image_url"`
	AltText  string         `json:"alt_text"`
	Title    *SlackText     `json:"title"`
	Access   *SlackElement  `json:"accessory"`
}

// SlackText is a text object: plain_text or mrkdwn. Where Slack has a bare string in the same place (the texts of a
// context block, the markdown block) Type is empty.
type SlackText struct {
	Type string
	Text string
}

// UnmarshalJSON takes both forms.
func (t *SlackText) UnmarshalJSON(raw []byte) error {
	if raw[0] == '"' {
		return json.Unmarshal(raw, &t.Text)
	}
	var object struct{ Type, Text string }
	err := json.Unmarshal(raw, &object)
	t.Type, t.Text = object.Type, object.Text
	return err
}

// A SlackElement is a button, a picture, or a text of a context block.
type SlackElement struct {
	Type     string    `json:"type"`
	ActionID string    `json:"action_id"`
	Text     SlackText `json:"text"`
	URL      string    `json:"url"`
	Value    string    `json:"value"`
	ImageURL string    `json:"image_url"`
	AltText  string    `json:"alt_text"`
	Style    string    `json:"style"`
}

// The limits of Block Kit, in characters and items. https://docs.slack.dev/reference/block-kit/blocks
const (
	maxBlocks       = 50
	maxSectionText  = 3000
	maxFields       = 10
	maxFieldText    = 2000
	maxHeaderText   = 150
	maxContext      = 10
	maxActions      = 25
	maxButtonText   = 75
	maxURL          = 3000
	maxValue        = 2000
	maxAltText      = 2000
	maxImageTitle   = 2000
	maxIdentifier   = 255
	textPlain       = "plain_text"
	textMrkdwn      = "mrkdwn"
	blockSection    = "section"
	blockHeader     = "header"
	blockContext    = "context"
	blockActions    = "actions"
	blockImage      = "image"
	blockDivider    = "divider"
	elementButton   = "button"
	blockRichText   = "rich_text"
	blockMarkdown   = "markdown"
	maxMarkdownText = 12_000
)

// validBlocks reports whether Slack would take the blocks.
func validBlocks(blocks []SlackBlock) bool {
	if len(blocks) > maxBlocks {
		return false
	}
	for _, b := range blocks {
		if !atMost(b.ID, maxIdentifier) || !b.valid() {
			return false
		}
	}
	return true
}

func (b SlackBlock) valid() bool {
	switch b.Type {
	case blockSection:
		if b.Text == nil && len(b.Fields) == 0 || len(b.Fields) > maxFields {
			return false
		}
		for _, f := range b.Fields {
			if !f.valid(maxFieldText) {
				return false
			}
		}
		return (b.Text == nil || b.Text.valid(maxSectionText)) && (b.Access == nil || b.Access.valid())
	case blockHeader:
		return b.Text != nil && b.Text.Type == textPlain && b.Text.valid(maxHeaderText)
	case blockContext:
		return validElements(b.Elements, maxContext)
	case blockActions:
		return validElements(b.Elements, maxActions)
	case blockImage:
		return b.ImageURL != "" && b.AltText != "" && atMost(b.ImageURL, maxURL) && atMost(b.AltText, maxAltText) &&
			(b.Title == nil || b.Title.valid(maxImageTitle))
	case blockMarkdown:
		return b.Text != nil && atMost(b.Text.Text, maxMarkdownText)
	case blockDivider, blockRichText:
		return true
	}
	return false
}

func (t SlackText) valid(limit int) bool {
	return (t.Type == textPlain || t.Type == textMrkdwn) && t.Text != "" && atMost(t.Text, limit)
}

func validElements(elements []SlackElement, limit int) bool {
	if len(elements) == 0 || len(elements) > limit {
		return false
	}
	for _, e := range elements {
		if !e.valid() {
			return false
		}
	}
	return true
}

func (e SlackElement) valid() bool {
	if !atMost(e.ActionID, maxIdentifier) || !atMost(e.URL, maxURL) || !atMost(e.Value, maxValue) {
		return false
	}
	switch e.Type {
	case elementButton:
		return e.Text.Type == textPlain && e.Text.Text != "" && atMost(e.Text.Text, maxButtonText)
	case blockImage:
		return e.ImageURL != "" && e.AltText != "" && atMost(e.ImageURL, maxURL) && atMost(e.AltText, maxAltText)
	case textPlain, textMrkdwn:
		return e.Text.Text != "" && atMost(e.Text.Text, maxSectionText)
	}
	return e.Type != "" // menus and pickers are not checked further
}

// atMost counts characters, not bytes, as Slack does.
func atMost(s string, limit int) bool { return len(s) <= limit || utf8.RuneCountInString(s) <= limit }

// blockTexts are the texts a reader sees, in order.
func blockTexts(blocks []SlackBlock) []string {
	var out []string
	for _, b := range blocks {
		if b.Text != nil {
			out = append(out, b.Text.Text)
		}
		for _, f := range b.Fields {
			out = append(out, f.Text)
		}
		for _, e := range b.Elements {
			out = append(out, e.Text.Text)
		}
	}
	return out
}
