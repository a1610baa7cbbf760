package email

import (
	"cmp"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// inlined writes the rules of each <style data-inline> into the elements that follow it and match, because many mail
// programs drop style elements. Selectors of a tag and classes can be written so (td, .mute, td.mute); the rules of
// others, and those within @media, stay in the style element for the programs that know them. Documents without such an
// element come back as they are.
func inlined(document string) string {
	if !strings.Contains(document, "data-inline") {
		return document
	}
	var out strings.Builder
	var rules []rule
	z := html.NewTokenizer(strings.NewReader(document))
	for marked := false; ; {
		kind := z.Next()
		raw := string(z.Raw())
		switch kind {
		case html.ErrorToken:
			out.WriteString(raw)
			return out.String()
		case html.TextToken:
			if marked {
				var rest string
				rules, rest = parseRules(rules, raw)
				raw, marked = rest, false
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			if marked = t.Data == "style" && has(t, "data-inline"); marked {
				raw = "<style>"
			} else if style := styleOf(t, rules); style != "" {
				raw = withStyle(t, style).String()
			}
		case html.EndTagToken, html.CommentToken, html.DoctypeToken:
		}
		out.WriteString(raw)
	}
}

// A rule is what one selector says: declarations for elements of a tag, when it names one, with all of its classes.
type rule struct {
	tag          string
	classes      []string
	declarations string
}

// parseRules adds the rules of a style sheet that can be written into elements, in the order in which they win, and
// returns the others as they are.
func parseRules(rules []rule, sheet string) ([]rule, string) {
	var rest strings.Builder
	for {
		open := strings.IndexByte(sheet, '{')
		if open < 0 {
			break
		}
		end := closing(sheet[open:]) + open
		if end < open {
			break
		}
		selectors, block := strings.TrimSpace(sheet[:open]), strings.TrimSpace(sheet[open+1:end])
		sheet = sheet[end+1:]
		var own []rule
		simple := true
		for selector := range strings.SplitSeq(selectors, ",") {
			r, ok := parseSelector(strings.TrimSpace(selector))
			r.declarations = strings.TrimRight(block, "; \n")
			own, simple = append(own, r), simple && ok
		}
		if simple {
			rules = append(rules, own...)
		} else {
			rest.WriteString("\n" + selectors + " { " + block + " }")
		}
	}
	slices.SortStableFunc(rules, func(a, b rule) int {
		return cmp.Or(cmp.Compare(len(a.classes), len(b.classes)), cmp.Compare(min(1, len(a.tag)), min(1, len(b.tag))))
	})
	return rules, rest.String() + "\n"
}

// closing finds the brace that ends what the first one begins; -1 when there is none.
func closing(text string) int {
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// parseSelector reads tag.class.class; not ok is any other selector.
func parseSelector(selector string) (rule, bool) {
	names := strings.Split(selector, ".")
	r := rule{tag: names[0], classes: names[1:]}
	for _, name := range names {
		if strings.ContainsFunc(name, func(c rune) bool {
			return c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
		}) {
			return rule{}, false
		}
	}
	return r, selector != "" && !slices.Contains(r.classes, "")
}

func has(t html.Token, key string) bool {
	return slices.ContainsFunc(t.Attr, func(a html.Attribute) bool { return a.Key == key })
}

// styleOf is what the rules say about an element.
func styleOf(t html.Token, rules []rule) string {
	var classes []string
	for _, a := range t.Attr {
		if a.Key == "class" {
			classes = strings.Fields(a.Val)
		}
	}
	var style []string
	for _, r := range rules {
		matches := r.tag == "" || r.tag == t.Data
		for _, class := range r.classes {
			matches = matches && slices.Contains(classes, class)
		}
		if matches {
			style = append(style, r.declarations)
		}
	}
	return strings.Join(style, "; ")
}

// withStyle puts a style before that which the element has: its own wins.
func withStyle(t html.Token, style string) html.Token {
	for i, a := range t.Attr {
		if a.Key == "style" {
			t.Attr[i].Val = style + "; " + a.Val
			return t
		}
	}
	t.Attr = append(t.Attr, html.Attribute{Key: "style", Val: style})
	return t
}
