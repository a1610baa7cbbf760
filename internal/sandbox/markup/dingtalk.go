package markup

import (
	"html/template"
	"regexp"
	"strings"
)

// DingTalk draws DingTalk's markdown: headings, quotes, bold, italic, links, pictures (as a placeholder) and lists.
// Tables, code, strike-through, colours and HTML are not in it.
//
// https://open.dingtalk.com/document/development/robot-message-type
func DingTalk(s string, mentioned []string) template.HTML {
	d := &dingtalk{mentioned: mentioned}
	for _, block := range regexp.MustCompile(`\n[ \t]*\n\s*`).Split(strings.TrimSpace(s), -1) {
		d.block(strings.Split(block, "\n"))
	}
	return d.html()
}

type dingtalk struct {
	writer

	mentioned []string
}

// block writes what stands between two blank lines: runs of lines of one kind.
func (d *dingtalk) block(lines []string) {
	for len(lines) > 0 {
		kind := kindOf(lines[0])
		n := 1
		switch kind {
		case kindHeading:
		case kindQuote: // a quote goes on over lines without a sign
			for n < len(lines) && (kindOf(lines[n]) == kindQuote || kindOf(lines[n]) == kindText) {
				n++
			}
		default:
			for n < len(lines) && kindOf(lines[n]) == kind {
				n++
			}
		}
		d.run(kind, lines[:n])
		lines = lines[n:]
	}
}

type lineKind int

const (
	kindText lineKind = iota
	kindHeading
	kindQuote
	kindBullet
	kindNumber
)

func kindOf(line string) lineKind {
	line = strings.TrimLeft(line, " ")
	level := len(line) - len(strings.TrimLeft(line, "#"))
	digits := len(line) - len(strings.TrimLeft(line, "0123456789"))
	switch {
	case level >= 1 && level <= 6 && strings.HasPrefix(line[level:], " "):
		return kindHeading
	case strings.HasPrefix(line, ">"):
		return kindQuote
	case strings.HasPrefix(line, "- "):
		return kindBullet
	case digits > 0 && strings.HasPrefix(line[digits:], ". "):
		return kindNumber
	}
	return kindText
}

func (d *dingtalk) run(kind lineKind, lines []string) {
	switch kind {
	case kindHeading:
		line := strings.TrimLeft(lines[0], " ")
		level := len(line) - len(strings.TrimLeft(line, "#"))
		tag := "h" + string(rune('0'+level))
		d.wrap(tag, "", func() { d.inline(strings.TrimSpace(line[level:])) })
	case kindQuote:
		for i, line := range lines {
			lines[i] = strings.TrimPrefix(strings.TrimPrefix(strings.TrimLeft(line, " "), ">"), " ")
		}
		d.wrap("blockquote", "", func() { d.paragraph(lines) })
	case kindBullet:
		d.wrap("ul", "", func() {
			for _, line := range lines {
				d.wrap("li", "", func() { d.inline(strings.TrimPrefix(strings.TrimLeft(line, " "), "- ")) })
			}
		})
	case kindNumber:
		d.wrap("ol", "", func() {
			for _, line := range lines {
				_, item, _ := strings.Cut(line, ". ")
				d.wrap("li", "", func() { d.inline(item) })
			}
		})
	case kindText:
		d.wrap("p", "", func() { d.paragraph(lines) })
	}
}

// paragraph joins lines: only two spaces at the end of a line break it.
func (d *dingtalk) paragraph(lines []string) {
	for i, line := range lines {
		if i > 0 {
			if strings.HasSuffix(lines[i-1], "  ") {
				d.WriteString("<br/>")
			} else {
				d.WriteString(" ")
			}
		}
		d.inline(strings.TrimSpace(line))
	}
}

// inline writes bold, italic, links, pictures, escapes and mentions of one line.
func (d *dingtalk) inline(s string) {
	var pending strings.Builder
	flush := func() {
		d.mentions(pending.String(), d.mentioned, d.plainLinks)
		pending.Reset()
	}
	for s != "" {
		switch {
		case len(s) > 1 && s[0] == '\\' && strings.IndexByte("\\`*_{}[]()#+-.!>~|@<", s[1]) >= 0:
			pending.WriteByte(s[1])
			s = s[2:]
			continue
		case strings.HasPrefix(s, "&nbsp;"), strings.HasPrefix(s, "&#160;"), strings.HasPrefix(s, "&#xA0;"):
			pending.WriteString("\u00a0")
			s = s[6:]
			continue
		case strings.HasPrefix(s, "!["):
			if text, _, rest, ok := linkAt(s[1:]); ok {
				flush()
				d.wrap("span", "picture", func() { d.text("🖼 " + text) })
				s = rest
				continue
			}
		case s[0] == '[':
			if text, address, rest, ok := linkAt(s); ok {
				flush()
				d.link(address, func() { d.emphasis(text) })
				s = rest
				continue
			}
		case s[0] == '*':
			if inside, rest, mark, ok := starred(s); ok {
				flush()
				tag := map[int]string{1: "em", 2: "strong"}[mark]
				d.wrap(tag, "", func() { d.inline(inside) })
				s = rest
				continue
			}
		}
		r := []rune(s[:min(len(s), 4)])[0]
		size := len(string(r))
		pending.WriteString(s[:min(size, len(s))])
		s = s[min(size, len(s)):]
	}
	flush()
}

// emphasis is inline inside a link: no further links.
func (d *dingtalk) emphasis(s string) {
	inner := &dingtalk{}
	inner.inline(strings.NewReplacer("[", "", "]", "", "https://", "", "http://", "").Replace(s))
	d.WriteString(inner.String())
}

// linkAt reads [text](address) at the beginning of s.
func linkAt(s string) (text, address, rest string, ok bool) {
	end := -1
	for i := 1; i < len(s) && end < 0; i++ {
		switch s[i] {
		case '\\':
			i++
		case '[':
			return "", "", "", false
		case ']':
			end = i
		}
	}
	if end < 0 || !strings.HasPrefix(s[end:], "](") {
		return "", "", "", false
	}
	address, rest, ok = strings.Cut(s[end+2:], ")")
	if !ok || strings.ContainsAny(address, " \n") {
		return "", "", "", false
	}
	return s[1:end], address, rest, true
}

// starred reads **bold** or *italic* at the beginning of s; mark is how many stars.
func starred(s string) (inside, rest string, mark int, ok bool) {
	stars := "*"
	if strings.HasPrefix(s, "**") {
		stars = "**"
	}
	body := s[len(stars):]
	for i := 0; i < len(body); i++ {
		if body[i] == '\\' {
			i++
			continue
		}
		if strings.HasPrefix(body[i:], stars) {
			if i == 0 || body[0] == ' ' || body[i-1] == ' ' {
				return "", "", 0, false
			}
			return body[:i], body[i+len(stars):], len(stars), true
		}
	}
	return "", "", 0, false
}
