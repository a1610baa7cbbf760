package markup

import (
	"html/template"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Slack draws mrkdwn: bold, italic, strike-through, code, quotes, links, mentions and dates. Headings, lists and tables
// are not in it.
//
// https://docs.slack.dev/messaging/formatting-message-text
func Slack(s string) template.HTML {
	w := &slack{}
	for s != "" {
		before, fenced, ok := strings.Cut(s, "```")
		code, rest, closed := strings.Cut(fenced, "```")
		if !ok || !closed || code == "" {
			w.lines(s)
			break
		}
		w.lines(strings.TrimSuffix(before, "\n"))
		w.wrap("pre", "", func() { w.text(unescape(strings.Trim(code, "\n"))) })
		s = strings.TrimPrefix(rest, "\n")
	}
	return w.html()
}

// SlackPlain draws a plain_text object: nothing but entities and emoji codes means anything.
func SlackPlain(s string) template.HTML {
	w := &slack{}
	w.text(emoji(unescape(s)))
	return w.html()
}

type slack struct{ writer }

func (w *slack) lines(s string) {
	if s == "" {
		return
	}
	for line := range strings.SplitSeq(s, "\n") {
		if quoted, ok := strings.CutPrefix(line, "&gt;"); ok {
			w.wrap("blockquote", "", func() { w.inline(strings.TrimPrefix(quoted, " ")) })
			continue
		}
		if quoted, ok := strings.CutPrefix(line, ">"); ok {
			w.wrap("blockquote", "", func() { w.inline(strings.TrimPrefix(quoted, " ")) })
			continue
		}
		if strings.TrimSpace(line) == "" {
			w.wrap("div", "gap", func() {})
			continue
		}
		w.wrap("div", "", func() { w.inline(line) })
	}
}

// inline writes one line. A sign opens something only at the edge of a word, as in Slack.
func (w *slack) inline(s string) {
	last := ' '
	for s != "" {
		at := strings.IndexAny(s, "*_~`<")
		if at < 0 {
			w.plainLinks(emoji(unescape(s)))
			return
		}
		if at > 0 {
			w.plainLinks(emoji(unescape(s[:at])))
			last, _ = utf8.DecodeLastRuneInString(s[:at])
		}
		rest, ok := w.markup(s[at:], last)
		if !ok {
			w.text(s[at : at+1])
			rest = s[at+1:]
		}
		last = rune(s[at])
		s = rest
	}
}

// markup writes what begins with the first sign of s, and returns what is behind it.
func (w *slack) markup(s string, before rune) (string, bool) {
	if s[0] == '<' {
		inside, rest, ok := strings.Cut(s[1:], ">")
		if !ok || inside == "" || strings.Contains(inside, "<") {
			return "", false
		}
		w.angle(inside)
		return rest, true
	}
	if unicode.IsLetter(before) || unicode.IsDigit(before) {
		return "", false
	}
	end := closing(s)
	if end < 0 {
		return "", false
	}
	inside := s[1:end]
	switch s[0] {
	case '*':
		w.wrap("strong", "", func() { w.inline(inside) })
	case '_':
		w.wrap("em", "", func() { w.inline(inside) })
	case '~':
		w.wrap("s", "", func() { w.inline(inside) })
	case '`':
		w.wrap("code", "", func() { w.text(unescape(inside)) })
	}
	return s[end+1:], true
}

// closing finds the sign that ends what the first sign of s begins; negative when there is none.
func closing(s string) int {
	if len(s) < 3 || s[1] == ' ' || s[1] == s[0] {
		return -1
	}
	for i := 2; i < len(s); i++ {
		if s[i] != s[0] || s[i-1] == ' ' {
			continue
		}
		after, _ := utf8.DecodeRuneInString(s[i+1:])
		if i+1 == len(s) || !unicode.IsLetter(after) && !unicode.IsDigit(after) {
			return i
		}
	}
	return -1
}

// angle writes what stands between < and >: a link, somebody mentioned, a date.
func (w *slack) angle(s string) {
	target, label, labelled := strings.Cut(s, "|")
	switch {
	case strings.HasPrefix(target, "!date^"):
		w.text(unescape(label))
	case strings.HasPrefix(target, "!"):
		name := strings.TrimPrefix(target, "!")
		if labelled {
			name = strings.TrimPrefix(label, "@")
		}
		w.wrap("span", "mention", func() { w.text("@" + unescape(name)) })
	case strings.HasPrefix(target, "@"), strings.HasPrefix(target, "#"):
		name := target[1:]
		if labelled {
			name = label
		}
		w.wrap("span", "mention", func() { w.text(target[:1] + unescape(name)) })
	default:
		if !labelled {
			label = strings.TrimPrefix(target, "mailto:")
		}
		w.link(unescape(target), func() { w.text(emoji(unescape(label))) })
	}
}

// unescape turns Slack's three entities back into their signs. Nothing else is an entity there.
func unescape(s string) string {
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(s)
}

// emoji draws the codes that alerts use most; others stay as they are written.
func emoji(s string) string {
	if !strings.Contains(s, ":") {
		return s
	}
	return strings.NewReplacer(
		":fire:", "🔥", ":white_check_mark:", "✅", ":warning:", "⚠️", ":rotating_light:", "🚨", ":bell:", "🔔",
		":red_circle:", "🔴", ":large_yellow_circle:", "🟡", ":large_green_circle:", "🟢", ":large_blue_circle:", "🔵",
		":x:", "❌", ":no_bell:", "🔕", ":link:", "🔗", ":chart_with_upwards_trend:", "📈",
	).Replace(s)
}
