// Package markup draws the three chat vendors' dialects as HTML, each with what its client supports and nothing more:
// what a client would show as plain signs is shown as plain signs here too.
//
// The texts come from outside. The result holds only tags that this package writes itself, no attribute but class, href,
// target and rel, and no address but http, https and mailto; everything else is escaped.
package markup

import (
	"html"
	"html/template"
	"net/url"
	"slices"
	"strings"
)

// writer builds HTML from escaped text and tags of our own.
type writer struct{ strings.Builder }

func (w *writer) text(s string) { w.WriteString(html.EscapeString(s)) }

func (w *writer) wrap(tag, class string, inside func()) {
	w.WriteString("<" + tag)
	if class != "" {
		w.WriteString(` class="` + class + `"`)
	}
	w.WriteString(">")
	inside()
	w.WriteString("</" + tag + ">")
}

// link writes a link, or only its text when the address is not one to follow.
func (w *writer) link(address string, inside func()) {
	if !followable(address) {
		inside()
		return
	}
	w.WriteString(`<a href="` + html.EscapeString(address) + `" target="_blank" rel="noopener noreferrer nofollow">`)
	inside()
	w.WriteString("</a>")
}

func (w *writer) html() template.HTML { return template.HTML(w.String()) }

// followable reports whether a reader may be sent there.
func followable(address string) bool {
	u, err := url.Parse(address)
	return err == nil && slices.Contains([]string{"http", "https", "mailto"}, u.Scheme)
}

// bare finds a web address that stands in the text without any markup, and returns it with what is before and behind.
func bare(s string) (before, address, after string, ok bool) {
	at := -1
	for _, scheme := range []string{"https://", "http://"} {
		if i := strings.Index(s, scheme); i >= 0 && (at < 0 || i < at) {
			at = i
		}
	}
	if at < 0 {
		return s, "", "", false
	}
	end := strings.IndexFunc(s[at:], func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune("<>\"'`|\\", r)
	})
	if end < 0 {
		end = len(s) - at
	}
	address = strings.TrimRight(s[at:at+end], ".,;:!?)]}*_~")
	return s[:at], address, s[at+len(address):], true
}

// plainLinks writes text with its bare addresses made links.
func (w *writer) plainLinks(s string) {
	for {
		before, address, after, ok := bare(s)
		w.text(before)
		if !ok {
			return
		}
		w.link(address, func() { w.text(address) })
		s = after
	}
}

// Plain draws a text message without markup: line breaks, links and mentions.
func Plain(s string, mentioned []string) template.HTML {
	w := &writer{}
	w.plain(s, mentioned)
	return w.html()
}

func (w *writer) plain(s string, mentioned []string) {
	for i, line := range strings.Split(s, "\n") {
		if i > 0 {
			w.WriteString("<br/>")
		}
		w.mentions(line, mentioned, w.plainLinks)
	}
}

// mentions writes text in which @id stands out for each id that is notified.
func (w *writer) mentions(s string, ids []string, write func(string)) {
	at, hit := -1, ""
	for _, id := range ids {
		if i := strings.Index(s, "@"+id); id != "" && i >= 0 && (at < 0 || i < at || i == at && len(id) > len(hit)) {
			at, hit = i, id
		}
	}
	if at < 0 {
		write(s)
		return
	}
	write(s[:at])
	w.wrap("span", "mention", func() { w.text("@" + hit) })
	w.mentions(s[at+1+len(hit):], ids, write)
}
