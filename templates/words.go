package templates

import (
	"fmt"
	"strconv"
	"strings"
	"text/template/parse"
	"time"
)

// words are the words of one locale, by key. They are blocks named relay.word.<locale>.<key> in words.*.tmpl, so a team
// changes one as it changes any block.
type words map[string]string

// readWords executes the blocks of the locale's words.
func (l *language) readWords() (words, error) {
	prefix := "relay.word." + l.locale + "."
	w := words{}
	for _, t := range l.text.Templates() {
		key, ok := strings.CutPrefix(t.Name(), prefix)
		if !ok {
			continue
		}
		word, ok := constant(t.Tree)
		if !ok {
			return nil, fmt.Errorf("template %q: a word is plain text, without actions", t.Name())
		}
		w[key] = word
	}
	return w, nil
}

// fold puts the words themselves in the place of calls that have no arguments: {{ word "room" }} is plain text then.
// HTML keeps the calls, since what is right there depends on the place.
func (w words) fold(t *parse.Tree) {
	walk(t.Root, func(n parse.Node) {
		list, ok := n.(*parse.ListNode)
		if !ok {
			return
		}
		for i, n := range list.Nodes {
			if word, ok := w[calledWord(n)]; ok && word != "" {
				list.Nodes[i] = &parse.TextNode{NodeType: parse.NodeText, Pos: n.Position(), Text: []byte(word)}
			}
		}
	})
}

// calledWord is the key in {{ word "key" }}; empty for any other node.
func calledWord(n parse.Node) string {
	action, ok := n.(*parse.ActionNode)
	if !ok || len(action.Pipe.Decl) != 0 || len(action.Pipe.Cmds) != 1 || len(action.Pipe.Cmds[0].Args) != 2 {
		return ""
	}
	args := action.Pipe.Cmds[0].Args
	function, isFunction := args[0].(*parse.IdentifierNode)
	key, isText := args[1].(*parse.StringNode)
	if !isFunction || function.Ident != "word" || !isText {
		return ""
	}
	return key.Text
}

// word is the word for key; with arguments, it is a format.
func (w words) word(key string, args ...any) (string, error) {
	word, ok := w[key]
	if !ok {
		return "", fmt.Errorf("no word %q in this locale", key)
	}
	if len(args) > 0 {
		return fmt.Sprintf(word, args...), nil
	}
	return word, nil
}

// severity is the word for a severity, or the severity itself when there is none.
func (w words) severity(severity string) string {
	if word, ok := w["severity."+strings.ToLower(severity)]; ok {
		return word
	}
	return severity
}

// duration is d in the two largest units that matter: "2 hours 5 minutes".
func (w words) duration(d time.Duration) string {
	units := []struct {
		key  string
		size time.Duration
	}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second}}
	d = max(0, d)
	for i, unit := range units {
		if d < unit.size && unit.key != "second" {
			continue
		}
		text := w.amount(int(d/unit.size), unit.key)
		if i+1 < len(units) && unit.key != "minute" {
			next := units[i+1]
			if n := int(d % unit.size / next.size); n > 0 {
				text += " " + w.amount(n, next.key)
			}
		}
		return text
	}
	return ""
}

// amount is a number with its unit: the key names the singular, with an s the plural.
func (w words) amount(n int, key string) string {
	if n != 1 {
		key += "s"
	}
	return strconv.Itoa(n) + " " + w[key]
}
