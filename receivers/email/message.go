package email

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"maps"
	"net/textproto"
	"slices"
	"strings"
	"unicode"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/split"
)

// Bounds of a mail. A mail is never split: below its alerts told in full it tells the others in one line each.
const (
	maxAlerts      = 100       // told in full; nobody reads more
	maxBodyBytes   = 100 << 10 // of html or text: Gmail hides what is beyond 102 KB behind a link
	maxCompact     = 32 << 10  // bytes of lines and counts below
	maxHeaderRunes = 500       // keeps a header without spaces within the 998 octets of RFC 5322 §2.1.1
	maxSubject     = 250       // runes
)

// templates are the compiled templates of one integration.
type templates struct {
	to, from   func(relay.View) (string, error)
	cc, bcc    func(relay.View) (string, error)
	html, text relay.Template // nil: the mail has no such part
	subject    relay.Template
	headers    []header
}

// A header is one that the configuration sets, under its canonical name.
type header struct {
	name  string
	value relay.Template
}

// compile compiles what c says, or returns what is wrong with each template.
func compile(c Config, r relay.Renderer) (templates, error) {
	var errs []error
	text := func(key, src string) relay.Template {
		t, err := r.Text(c.Locale, src)
		errs = append(errs, fault.At(key, err))
		return t
	}
	address := func(key, src string) func(relay.View) (string, error) {
		if !isTemplate(src) {
			return func(relay.View) (string, error) { return src, nil }
		}
		t := text(key, src)
		return func(v relay.View) (string, error) { return t.Execute(v) }
	}
	t := templates{
		to: address("to", c.To), from: address("from", c.From), cc: address("cc", c.Cc), bcc: address("bcc", c.Bcc),
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		key := "headers." + name
		switch canonical := textproto.CanonicalMIMEHeaderKey(name); canonical {
		case "Subject":
			t.subject = text(key, c.Headers[name])
		case "Bcc": // Validate warned: everybody would see it
		default:
			t.headers = append(t.headers, header{canonical, text(key, c.Headers[name])})
		}
	}
	if t.subject == nil {
		t.subject = text("headers.Subject", defaultSubject)
	}
	if src := deref(c.Text); src != "" {
		t.text = text("text", src)
	}
	if src := deref(c.HTML); src != "" {
		body, err := r.HTML(c.Locale, src)
		errs = append(errs, fault.At("html", err))
		t.html = body
	}
	return t, errors.Join(errs...)
}

// content is what a mail says, before it has the form of one.
type content struct {
	subject string
	headers []field
	html    string
	text    string
	counted int // alerts without a line of their own
}

// A field is a header with its value, free of control characters.
type field struct{ name, value string }

// Render makes one mail.
func (i *Integration) Render(d relay.Delivery) ([]relay.Message, error) {
	say := i.content
	m := relay.Message{ID: d.ID, Part: 1, Parts: 1, Address: d.Destination.Address}
	if d.Plain {
		say, m.Fallback = i.plainContent, "the built-in plain text was asked for"
	}
	if len(d.Tellings) > 1 {
		say = i.digest
	}
	c, err := say(&d)
	if err != nil {
		return nil, err
	}
	e, err := i.compose(&d, c)
	if err != nil {
		return nil, err
	}
	if m.Body, err = json.Marshal(e); err != nil {
		return nil, fmt.Errorf("encode mail: %w", err)
	}
	m.Text, m.Omitted = c.text, c.counted
	return []relay.Message{m}, nil
}

// content executes the templates of a single notification, for as many alerts as a mail holds.
func (i *Integration) content(d *relay.Delivery) (content, error) {
	view := relay.View{Delivery: d}
	var c content
	var err error
	if c.subject, err = i.templates.subject.Execute(view); err != nil {
		return c, fmt.Errorf("subject: %w", err)
	}
	if c.headers, err = i.headers(view); err != nil {
		return c, err
	}
	alerts := view.Notification().Alerts
	for n := min(len(alerts), maxAlerts); ; n /= 2 {
		if n < len(alerts) {
			alerts = firingFirst(alerts)
			view.Alerts = alerts[:n]
		}
		if c.html, err = execute("html", i.templates.html, view); err != nil {
			return c, err
		}
		c.html = inlined(c.html)
		if c.text, err = execute("text", i.templates.text, view); err != nil {
			return c, err
		}
		if n <= 1 || max(len(c.html), len(c.text)) <= maxBodyBytes {
			i.tellOthers(&c, view, alerts[n:])
			break
		}
	}
	if c.text == "" {
		c.text = i.renderer.Plain(i.cfg.Locale, view) // history and previews show it; the mail has html alone
	}
	return c, nil
}

// tellOthers adds a line for each of the alerts that found no room.
func (i *Integration) tellOthers(c *content, view relay.View, others relay.Alerts) {
	if len(others) == 0 {
		return
	}
	list, counted := i.renderer.Compact(i.cfg.Locale, view, others, maxCompact)
	lines := strings.TrimSpace(split.Part{View: view}.Join("", list, i.relayURL))
	c.counted = counted
	if c.text != "" {
		c.text = strings.TrimRight(c.text, "\n") + "\n\n" + lines + "\n"
	}
	if c.html != "" {
		block := `<pre style="white-space:pre-wrap">` + html.EscapeString(lines) + "</pre>\n"
		end := strings.LastIndex(c.html, "</body>")
		if end < 0 {
			end = len(c.html)
		}
		c.html = c.html[:end] + block + c.html[end:]
	}
}

// firingFirst moves resolved alerts behind those that fire.
func firingFirst(alerts relay.Alerts) relay.Alerts {
	return append(alerts.Firing(), alerts.Resolved()...)
}

// plainContent needs no template of a user.
func (i *Integration) plainContent(d *relay.Delivery) (content, error) {
	c := content{text: i.renderer.Plain(i.cfg.Locale, relay.View{Delivery: d})}
	if len(c.text) > maxBodyBytes {
		return i.digest(d)
	}
	c.subject, _, _ = strings.Cut(c.text, "\n")
	return c, nil
}

// digest tells all alerts of one or several notifications in one line each, under what they have in common.
func (i *Integration) digest(d *relay.Delivery) (content, error) {
	limits := split.Limits{Parts: 1, Room: maxCompact}
	all, err := split.Render(relay.View{Delivery: d}, limits, func(p split.Part) (content, int, error) {
		if !p.Compact() {
			return content{}, -1, nil
		}
		var c content
		c.subject, _, _ = strings.Cut(i.renderer.Plain(i.cfg.Locale, p.Head()), "\n")
		list, counted := i.renderer.Compact(i.cfg.Locale, p.View, p.Omitted, p.Room)
		c.text, c.counted = p.Join(c.subject, list, i.relayURL)+"\n", counted
		return c, maxBodyBytes - len(c.text), nil
	})
	if err != nil {
		return content{}, err
	}
	return all[0], nil
}

// headers executes the configured headers. Empty ones are left out.
func (i *Integration) headers(view relay.View) ([]field, error) {
	var out []field
	for _, h := range i.templates.headers {
		value, err := h.value.Execute(view)
		if err != nil {
			return nil, fmt.Errorf("headers: %s: %w", h.name, err)
		}
		if value = oneLine(value, maxHeaderRunes); value != "" {
			out = append(out, field{h.name, value})
		}
	}
	return out, nil
}

func execute(key string, t relay.Template, view relay.View) (string, error) {
	if t == nil {
		return "", nil
	}
	out, err := t.Execute(view)
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	return out, nil
}

// oneLine puts text on one line of at most limit runes: what goes into a header. Runs of white space and control
// characters become one space.
func oneLine(text string, limit int) string {
	line := strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "\uFFFD"), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
	}), " ")
	if runes := []rune(line); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return line
}
