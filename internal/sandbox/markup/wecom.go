package markup

import (
	"html/template"
	"strings"
)

// WeCom draws WeCom's markdown: headings, bold, links, inline code, quotes, three font colours and <@userid>. Every line
// break counts. Lists, tables, pictures and fenced code are not in it.
//
// https://developer.work.weixin.qq.com/document/path/91770
func WeCom(s string) template.HTML {
	w := &wecom{}
	blank := true // so that no gap stands at the top
	for line := range strings.SplitSeq(s, "\n") {
		kind := kindOf(line)
		trimmed := strings.TrimLeft(line, " ")
		switch {
		case strings.TrimSpace(line) == "":
			if !blank {
				w.wrap("div", "gap", func() {})
			}
			blank = true
			continue
		case kind == kindHeading:
			level := len(trimmed) - len(strings.TrimLeft(trimmed, "#"))
			w.wrap("h"+string(rune('0'+level)), "", func() { w.inline(strings.TrimSpace(trimmed[level:])) })
		case kind == kindQuote:
			w.wrap("blockquote", "", func() { w.inline(strings.TrimSpace(trimmed[1:])) })
		default:
			w.wrap("div", "", func() { w.inline(line) })
		}
		blank = false
	}
	return w.html()
}

// WeComText draws a text message of WeCom.
func WeComText(s string) template.HTML {
	w := &wecom{}
	for i, line := range strings.Split(s, "\n") {
		if i > 0 {
			w.WriteString("<br/>")
		}
		for line != "" {
			before, id, rest, ok := mentionAt(line)
			w.plainLinks(before)
			if ok {
				w.wrap("span", "mention", func() { w.text("@" + id) })
			}
			line = rest
		}
	}
	return w.html()
}

type wecom struct{ writer }

// color is the class of one of the three colours that WeCom knows; empty for any other.
func color(name string) string {
	switch name {
	case "info", "comment", "warning":
		return "wecom-" + name
	}
	return ""
}

// inline writes one line. Every sign that opens nothing is itself.
func (w *wecom) inline(s string) {
	for s != "" {
		at := strings.IndexAny(s, "*[`<")
		if at < 0 {
			w.plainLinks(s)
			return
		}
		w.plainLinks(s[:at])
		rest, ok := w.markup(s[at:])
		if !ok {
			w.text(s[at : at+1])
			rest = s[at+1:]
		}
		s = rest
	}
}

// markup writes what begins with the first sign of s, and returns what is behind it.
func (w *wecom) markup(s string) (string, bool) {
	switch {
	case strings.HasPrefix(s, "**"):
		inside, rest, ok := strings.Cut(s[2:], "**")
		if !ok || inside == "" {
			return "", false
		}
		w.wrap("strong", "", func() { w.inline(inside) })
		return rest, true
	case s[0] == '[':
		text, address, rest, ok := linkAt(s)
		if !ok {
			return "", false
		}
		w.link(address, func() { w.text(text) })
		return rest, true
	case s[0] == '`':
		inside, rest, ok := strings.Cut(s[1:], "`")
		if !ok || inside == "" {
			return "", false
		}
		w.wrap("code", "", func() { w.text(inside) })
		return rest, true
	case strings.HasPrefix(s, `<font color="`):
		name, body, _ := strings.Cut(s[len(`<font color="`):], `">`)
		inside, rest, ok := strings.Cut(body, "</font>")
		if !ok {
			return "", false
		}
		w.wrap("span", color(name), func() { w.inline(inside) })
		return rest, true
	case strings.HasPrefix(s, "<@"):
		_, id, rest, ok := mentionAt(s)
		if !ok {
			return "", false
		}
		w.wrap("span", "mention", func() { w.text("@" + id) })
		return rest, true
	}
	return "", false
}

// mentionAt finds the first <@id> of s.
func mentionAt(s string) (before, id, rest string, ok bool) {
	before, after, ok := strings.Cut(s, "<@")
	if !ok {
		return s, "", "", false
	}
	id, rest, ok = strings.Cut(after, ">")
	if !ok || id == "" || strings.ContainsAny(id, " <") {
		return s, "", "", false
	}
	return before, id, rest, true
}
