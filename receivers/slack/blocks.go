package slack

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"github.com/alertrelay/relay/internal/split"
)

// The limits of Block Kit, in items and in characters: https://docs.slack.dev/reference/block-kit/blocks
const (
	maxBlocks   = 50
	maxSection  = 3000
	maxFields   = 10
	maxField    = 2000
	maxHeader   = 150
	maxContext  = 10
	maxActions  = 25
	maxButton   = 75
	maxValue    = 2000
	maxAddress  = 3000
	maxAltText  = 2000
	maxName     = 255 // block_id, action_id
	maxMarkdown = 12_000
)

// blocks are what a template wrote: objects of Block Kit. Kinds that this package does not know are left as they are.
type blocks []map[string]any

// inBlocks renders a part as blocks. With a colour they stand in an attachment, which alone can have one, below the text;
// without one they are the message, and only push notifications show the text.
func (i *Integration) inBlocks(p split.Part) (rendered, error) {
	x := executor{view: p.View}
	m := rendered{payload: i.envelope(&x)}
	color, fallback := x.text("color", i.templates.texts["color"]), x.text("fallback", i.templates.texts["fallback"])
	var body blocks
	if p.Compact() {
		var whole, list string
		whole, m.counted = i.compact(m.Text, p)
		m.Text, list, _ = strings.Cut(whole, "\n")
		body = sections(list)
	} else {
		m.Text = numbered(m.Text, p)
		var err error
		body, err = readBlocks(x.text("blocks", i.templates.texts["blocks"]))
		if m.over = errors.Is(err, errTooLong); x.err == nil && !m.over && err != nil {
			x.err = fmt.Errorf("blocks: %w", err)
		}
	}
	if color == "" && len(body) > 0 {
		m.Blocks = append(body, sections(missing(p.Mentions, body.texts()))...)
		m.over = m.over || len(m.Blocks) > maxBlocks
		return m, x.err
	}
	m.Text = joined(" ", cut(m.Text, maxText), missing(p.Mentions, append(body.texts(), m.Text)))
	if len(body) > 0 {
		m.Attachments = []attachment{{Attachment: slack.Attachment{Color: color, Fallback: fallback}, Blocks: body}}
	} else if m.Text == "" {
		m.Text = "-" // Slack refuses a message without any text
	}
	return m, x.err
}

// sections puts lines of markup into as few sections as hold them.
func sections(text string) blocks {
	var out blocks
	var section string
	for line := range strings.SplitSeq(text, "\n") {
		line = cut(line, maxSection)
		if section != "" && utf8.RuneCountInString(section)+1+utf8.RuneCountInString(line) > maxSection {
			out, section = append(out, sectionOf(section)), ""
		}
		section = joined("\n", section, line)
	}
	if section != "" {
		out = append(out, sectionOf(section))
	}
	return out
}

func sectionOf(text string) map[string]any {
	return map[string]any{"type": "section", "text": map[string]any{"type": "mrkdwn", "text": text}}
}

// errTooLong says that blocks are well formed, but more or longer than Slack takes. With fewer alerts they may fit.
var errTooLong = errors.New("more than Slack takes")

// readBlocks reads what a template wrote: a JSON array of blocks, in which a comma may stand behind the last item, because
// templates that range over alerts write one. What is there to show a text and has none is left out, since Slack would
// refuse the whole message.
func readBlocks(text string) (blocks, error) {
	var all blocks
	text = withoutTrailingCommas(text)
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return nil, fmt.Errorf("the template gives no JSON array of blocks: %w", located(err, text))
	}
	return all.shown()
}

// withoutTrailingCommas puts a space in the place of each comma behind the last item of an array or object.
func withoutTrailingCommas(text string) string {
	out := []byte(text)
	quoted, comma := false, -1 // comma is where one stands that nothing has followed yet
	for n := 0; n < len(out); n++ {
		switch c := out[n]; {
		case quoted && c == '\\':
			n++
		case c == '"':
			quoted, comma = !quoted, -1
		case quoted || strings.IndexByte(" \t\r\n", c) >= 0:
		case c == ',':
			comma = n
		default:
			if comma >= 0 && (c == ']' || c == '}') {
				out[comma] = ' '
			}
			comma = -1
		}
	}
	return string(out)
}

// located adds the line to a fault in JSON.
func located(err error, text string) error {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return err
	}
	at := min(int(syntax.Offset), len(text))
	return fmt.Errorf("line %d of its result: %w", 1+strings.Count(text[:at], "\n"), err)
}

// shown returns the blocks without what has no text, or what keeps Slack from taking them.
func (b blocks) shown() (blocks, error) {
	var out blocks
	names := map[string]bool{}
	for n, block := range b {
		at := fmt.Sprintf("[%d]", n)
		if prune(block) {
			continue
		}
		if err := checkBlock(at, block); err != nil {
			return nil, err
		}
		if id, _ := block["block_id"].(string); id != "" {
			if names[id] {
				return nil, fmt.Errorf("%s.block_id: %q is there twice", at, id)
			}
			names[id] = true
		}
		out = append(out, block)
	}
	if len(out) > maxBlocks {
		return nil, fmt.Errorf("%d blocks are %w: %d", len(out), errTooLong, maxBlocks)
	}
	return out, nil
}

// prune takes out of a block what would show a text and has none. It reports whether nothing is left of the block.
func prune(block map[string]any) bool {
	switch block["type"] {
	case "header", "markdown":
		return isBlank(block["text"])
	case "section":
		if isBlank(block["text"]) {
			delete(block, "text")
		}
		keep(block, "fields")
		return block["text"] == nil && block["fields"] == nil
	case "context", "actions":
		return keep(block, "elements") == 0
	}
	return false
}

// keep leaves in a list the items that have a text or show none, and removes the list when that is nothing. It returns how
// many there are; a list that is none is left to be complained of.
func keep(block map[string]any, key string) int {
	list, ok := block[key].([]any)
	if !ok {
		return 1
	}
	var out []any
	for _, item := range list {
		element, _ := item.(map[string]any)
		address, isLink := element["url"].(string)
		_, hasText := element["text"]
		if hasText && isBlank(element["text"]) || isLink && address == "" {
			continue
		}
		out = append(out, item)
	}
	block[key] = out
	if len(out) == 0 {
		delete(block, key)
	}
	return len(out)
}

// isBlank reports whether a text, or the text of a text object, has nothing to show; also when it is missing.
func isBlank(v any) bool {
	if object, ok := v.(map[string]any); ok {
		v = object["text"]
	}
	text, ok := v.(string)
	return v == nil || ok && strings.TrimSpace(text) == ""
}

// checkBlock returns what keeps Slack from taking a block, as far as its documents say. At is the path to the block.
func checkBlock(at string, block map[string]any) error {
	kind, _ := block["type"].(string)
	if kind == "" {
		return fmt.Errorf("%s: a block needs a type", at)
	}
	faults := []error{checkLength(at, block, "block_id", maxName)}
	switch kind {
	case "section":
		if block["text"] != nil {
			faults = append(faults, checkText(at+".text", block["text"], maxSection, "mrkdwn", "plain_text"))
		}
		if block["fields"] != nil {
			faults = append(faults, checkList(at, block, "fields", maxFields, func(at string, field map[string]any) error {
				return checkText(at, field, maxField, "mrkdwn", "plain_text")
			}))
		}
	case "header":
		faults = append(faults, checkText(at+".text", block["text"], maxHeader, "plain_text"))
	case "markdown":
		faults = append(faults, checkLength(at, block, "text", maxMarkdown))
	case "image":
		faults = append(faults, checkImage(at, block))
	case "context":
		faults = append(faults, checkList(at, block, "elements", maxContext, func(at string, element map[string]any) error {
			if element["type"] == "image" {
				return checkImage(at, element)
			}
			return checkText(at, element, maxSection, "mrkdwn", "plain_text")
		}))
	case "actions":
		faults = append(faults, checkList(at, block, "elements", maxActions, checkElement))
	}
	return errors.Join(faults...)
}

func checkText(at string, v any, limit int, kinds ...string) error {
	object, _ := v.(map[string]any)
	for _, kind := range kinds {
		if _, ok := object["text"].(string); ok && object["type"] == kind {
			return checkLength(at, object, "text", limit)
		}
	}
	return fmt.Errorf("%s: must be a text object of type %s", at, strings.Join(kinds, " or "))
}

func checkImage(at string, image map[string]any) error {
	if image["image_url"] == nil && image["slack_file"] == nil || isBlank(image["alt_text"]) {
		return fmt.Errorf("%s: an image needs image_url and alt_text", at)
	}
	return errors.Join(checkLength(at, image, "image_url", maxAddress), checkLength(at, image, "alt_text", maxAltText))
}

// checkElement looks closer at buttons only: the answer to a menu would reach nobody.
func checkElement(at string, element map[string]any) error {
	if element["type"] == nil {
		return fmt.Errorf("%s: an element needs a type", at)
	}
	if element["type"] != "button" {
		return nil
	}
	return errors.Join(
		checkText(at+".text", element["text"], maxButton, "plain_text"), checkLength(at, element, "url", maxAddress),
		checkLength(at, element, "value", maxValue), checkLength(at, element, "action_id", maxName),
	)
}

func checkList(at string, block map[string]any, key string, limit int, check func(string, map[string]any) error) error {
	list, ok := block[key].([]any)
	if !ok || len(list) == 0 {
		return fmt.Errorf("%s: %s must be a list of objects", at, key)
	}
	if len(list) > limit {
		return fmt.Errorf("%s.%s: %d items are %w: %d", at, key, len(list), errTooLong, limit)
	}
	for n, item := range list {
		at := fmt.Sprintf("%s.%s[%d]", at, key, n)
		object, ok := item.(map[string]any)
		if !ok {
			return fmt.Errorf("%s: must be an object", at)
		}
		if err := check(at, object); err != nil {
			return err
		}
	}
	return nil
}

// checkLength looks at a text that may be missing.
func checkLength(at string, object map[string]any, key string, limit int) error {
	if object[key] == nil {
		return nil
	}
	text, ok := object[key].(string)
	if !ok {
		return fmt.Errorf("%s.%s: must be a text", at, key)
	}
	if n := utf8.RuneCountInString(text); n > limit {
		return fmt.Errorf("%s.%s: %d characters are %w: %d", at, key, n, errTooLong, limit)
	}
	return nil
}

// texts are what a reader sees, in order.
func (b blocks) texts() []string {
	var out []string
	var collect func(v any)
	collect = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				collect(item)
			}
		case map[string]any:
			if text, ok := v["text"].(string); ok {
				out = append(out, text)
			}
			for _, key := range []string{"title", "text", "fields", "elements", "accessory"} {
				if _, plain := v[key].(string); !plain {
					collect(v[key])
				}
			}
		}
	}
	for _, block := range b {
		collect(block)
	}
	return out
}
