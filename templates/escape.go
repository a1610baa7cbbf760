package templates

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean makes a value from outside safe to print at all: valid UTF-8, one kind of line break, no control characters,
// nothing that turns the direction of the text around it or is not seen.
func clean(s string) string {
	first := uncleanAt(s)
	if first < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	b.WriteString(s[:first])
	for i := first; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\r' && strings.HasPrefix(s[i+1:], "\n"):
		case r == '\r', r == 0x85, r == 0x2028, r == 0x2029:
			b.WriteByte('\n')
		case r == '\t':
			b.WriteByte(' ')
		case isUnclean(r, size) && r != utf8.RuneError:
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

// uncleanAt is where the first rune stands that clean would change; -1 without any.
func uncleanAt(s string) int {
	for i := 0; i < len(s); {
		if c := s[i]; c >= ' ' && c < 0x7f || c == '\n' {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if isUnclean(r, size) {
			return i
		}
		i += size
	}
	return -1
}

// isUnclean reports whether clean changes a rune of so many bytes.
func isUnclean(r rune, size int) bool {
	switch {
	case r == '\n':
		return false
	case r == utf8.RuneError && size == 1, unicode.IsControl(r), r == 0x2028, r == 0x2029:
		return true
	default:
		return isHidden(r)
	}
}

// isHidden reports whether a rune changes how others are read without being seen itself.
func isHidden(r rune) bool {
	switch {
	case r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069: // bidi embeddings, overrides, isolates
		return true
	case r == 0x200B, r == 0x2060, r == 0xFEFF, r == 0x00AD: // zero width, soft hyphen
		return true
	case r >= 0xE0000 && r <= 0xE007F: // tags
		return true
	}
	return false
}

// oneLine is clean on a single line.
func oneLine(s string) string {
	s = clean(s)
	if !strings.ContainsRune(s, '\n') {
		return s
	}
	return strings.Join(strings.Fields(s), " ")
}

// cut bounds s to n characters. What is cut is said: "… (+1234)".
func cut(n int, s string) string {
	if len(s) <= n {
		return s
	}
	length := utf8.RuneCountInString(s)
	if length <= n {
		return s
	}
	note := "… (+" + strconv.Itoa(length) + ")" // as long as the final one, or longer
	keep := n - utf8.RuneCountInString(note)
	if keep <= 0 {
		return firstRunes(s, max(0, n-1)) + "…"
	}
	return firstRunes(s, keep) + "… (+" + strconv.Itoa(length-keep) + ")"
}

// short is s on one line of at most n characters.
func short(n int, s string) string { return cut(n, oneLine(s)) }

func firstRunes(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// plain makes a value safe in a message without markup: no mention of any channel comes alive.
func plain(s string) string {
	s = clean(s)
	if !strings.ContainsAny(s, "@<") {
		return s
	}
	return replaceSigns(s, func(sign byte) string {
		if sign == '@' {
			return "＠"
		}
		return ""
	})
}

// replaceSigns replaces ASCII characters by what twin returns for them; empty leaves one as it is. A < that may begin a
// tag or a mention becomes its full-width twin, which only looks like it.
func replaceSigns(s string, twin func(sign byte) string) string {
	var b strings.Builder
	b.Grow(len(s) + len(s)/8)
	for i := range len(s) {
		c := s[i]
		if c >= utf8.RuneSelf || c > '@' && c < '[' || c > '`' && c < '{' || c == ' ' {
			b.WriteByte(c)
			continue
		}
		if c == '<' && (i+1 == len(s) || strings.IndexByte(" =0123456789", s[i+1]) < 0) {
			b.WriteString("＜")
		} else if t := twin(c); t != "" {
			b.WriteString(t)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// mdDingTalk makes a value safe in DingTalk's markdown.
//
// https://open.dingtalk.com/document/development/robot-message-type
func mdDingTalk(s string) string {
	s = clean(s)
	if !strings.ContainsAny(s, "\\`*_[]#>@<\n") {
		return s
	}
	s = replaceSigns(s, func(sign byte) string {
		switch sign {
		case '@':
			return "＠"
		case '\\', '`', '*', '_', '[', ']':
			return "\\" + string(rune(sign))
		}
		return ""
	})
	return eachLine(s, "\n\n", func(line string) string {
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ">") {
			return `\` + line
		}
		return line
	})
}

// mdWeCom makes a value safe in WeCom's markdown, which knows no escape: signs become their full-width twins.
//
// https://developer.work.weixin.qq.com/document/path/91770
func mdWeCom(s string) string {
	s = clean(s)
	if !strings.ContainsAny(s, "`*[]#>@<\n") {
		return s
	}
	s = replaceSigns(s, func(sign byte) string {
		if i := strings.IndexByte("`*[]@", sign); i >= 0 {
			return []string{"｀", "＊", "［", "］", "＠"}[i]
		}
		return ""
	})
	return eachLine(s, "\n", func(line string) string {
		switch {
		case strings.HasPrefix(line, "#"):
			return "＃" + line[1:]
		case strings.HasPrefix(line, ">"):
			return "＞" + line[1:]
		}
		return line
	})
}

// mdWeComV2 makes a value safe in WeCom's markdown_v2, of which no escape is documented: signs become their full-width
// twins, and a line begins no list.
//
// https://developer.work.weixin.qq.com/document/path/91770
func mdWeComV2(s string) string {
	s = clean(s)
	if !strings.ContainsAny(s, "\\`*_[]|~#>@<-+.\n") {
		return s
	}
	s = replaceSigns(s, func(sign byte) string {
		switch sign {
		case '|':
			return "｜"
		case '~':
			return "～"
		case '\\':
			return "＼"
		case '_':
			return "＿"
		}
		if i := strings.IndexByte("`*[]@", sign); i >= 0 {
			return []string{"｀", "＊", "［", "］", "＠"}[i]
		}
		return ""
	})
	return eachLine(s, "\n\n", func(line string) string {
		if i := strings.IndexByte("#>-+", (line + " ")[0]); i >= 0 {
			return []string{"＃", "＞", "－", "＋"}[i] + line[1:]
		}
		digits := len(line) - len(strings.TrimLeft(line, "0123456789"))
		if digits > 0 && (strings.HasPrefix(line[digits:], ". ") || strings.HasPrefix(line[digits:], ") ")) {
			return line[:digits] + "．" + line[digits+1:]
		}
		return line
	})
}

// eachLine applies f to each line that is not empty and puts them together again with sep.
func eachLine(s, sep string, f func(string) string) string {
	if !strings.ContainsRune(s, '\n') {
		return f(strings.TrimLeft(s, " "))
	}
	var lines []string
	for line := range strings.SplitSeq(s, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, f(line))
		}
	}
	return strings.Join(lines, sep)
}

// mrkdwn makes a value safe in Slack's mrkdwn: three characters are escaped, and an @ that may begin a name becomes its
// full-width twin, because link_names would make a mention of it.
//
// https://docs.slack.dev/messaging/formatting-message-text
func mrkdwn(s string) string {
	s = clean(s)
	if !strings.ContainsAny(s, "&<>@") {
		return s
	}
	var b strings.Builder
	before := ' '
	for _, r := range s {
		switch {
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '@' && !isWordRune(before):
			b.WriteRune('＠')
		default:
			b.WriteRune(r)
		}
		before = r
	}
	return b.String()
}

func isWordRune(r rune) bool {
	return r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r))
}

// httpURL is s when it is a link that may be followed, http or https with a host, written so that no markup ends it; else
// it is empty.
func httpURL(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > maxURL {
		return ""
	}
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return ""
	}
	var b strings.Builder
	b.Grow(len(s) + len(s)/8)
	for i := range len(s) {
		switch c := s[i]; {
		case (c == '[' || c == ']') && i < len(u.Scheme)+len("://")+len(u.Host) && isIPv6(u.Hostname()):
			b.WriteByte(c)
		case c <= ' ', c >= 0x7f, strings.IndexByte("\"<>`|()[]{}\\^*'@", c) >= 0:
			b.WriteString("%" + strings.ToUpper(strconv.FormatUint(uint64(c)|0x100, 16)[1:]))
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func isIPv6(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Is6() && addr.Zone() == ""
}

// maxURL bounds a link, in bytes. Slack takes 3000 in a button.
const maxURL = 3000

// linkDingTalk is a link in DingTalk's markdown, or the text alone when the address may not be followed.
func linkDingTalk(address, text string) string {
	if u := httpURL(address); u != "" {
		return "[" + mdDingTalk(oneLine(text)) + "](" + u + ")"
	}
	return mdDingTalk(oneLine(text))
}

// linkWeCom is a link in WeCom's markdown, or the text alone when the address may not be followed.
func linkWeCom(address, text string) string {
	if u := httpURL(address); u != "" {
		return "[" + mdWeCom(oneLine(text)) + "](" + u + ")"
	}
	return mdWeCom(oneLine(text))
}

// linkWeComV2 is a link in WeCom's markdown_v2, or the text alone when the address may not be followed.
func linkWeComV2(address, text string) string {
	if u := httpURL(address); u != "" {
		return "[" + mdWeComV2(oneLine(text)) + "](" + u + ")"
	}
	return mdWeComV2(oneLine(text))
}

// linkSlack is a link in Slack's mrkdwn, or the text alone when the address may not be followed.
func linkSlack(address, text string) string {
	if u := httpURL(address); u != "" {
		return "<" + strings.ReplaceAll(u, "&", "&amp;") + "|" + strings.ReplaceAll(mrkdwn(oneLine(text)), "|", "¦") + ">"
	}
	return mrkdwn(oneLine(text))
}
