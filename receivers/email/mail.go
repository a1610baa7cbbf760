package email

import (
	"bytes"
	"fmt"
	netmail "net/mail"
	"slices"
	"strings"

	"github.com/wneessen/go-mail"

	"github.com/alertrelay/relay"
)

// An envelope is a whole mail and whom it goes to: the body of a relay.Message.
type envelope struct {
	From string   `json:"from"` // bare address
	To   []string `json:"to"`   // bare addresses
	Mail string   `json:"mail"` // as RFC 5322 writes it; ASCII unless an address is not
}

// compose gives content the form of a mail. The same delivery gives the same mail, up to its date.
func (i *Integration) compose(d *relay.Delivery, c content) (envelope, error) {
	p, err := i.parties(d)
	if err != nil {
		return envelope{}, err
	}
	from, to := p.from, p.to
	id := digest(d.ID, d.Destination.Key)[:32]
	m := mail.NewMsg(mail.WithNoDefaultUserAgent(), mail.WithBoundary("relay-"+id))
	m.SetMessageIDWithValue(id + "@" + domain(from))
	m.SetDateWithValue(d.Now)
	m.Subject(oneLine(c.subject, maxSubject))
	m.SetAddrHeaderFromMailAddress(mail.HeaderFrom, from)
	if !slices.ContainsFunc(c.headers, func(f field) bool { return f.name == "To" }) {
		m.SetAddrHeaderFromMailAddress(mail.HeaderTo, to...)
	}
	// RFC 3834 §5; the second is Exchange's word for it: [MS-OXCMAIL] §2.1.3.2.10.
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetGenHeader("X-Auto-Response-Suppress", "All")
	if *i.cfg.Threading.Enabled {
		root := i.threadRoot(d, domain(from))
		m.SetGenHeader(mail.HeaderReferences, root)
		m.SetGenHeader(mail.HeaderInReplyTo, root)
	}
	m.SetGenHeader("List-Id", "<"+listLabel(d.Notification().ReceiverName())+".alerts."+domain(from)+">")
	if len(p.cc) > 0 {
		m.SetAddrHeaderFromMailAddress(mail.HeaderCc, p.cc...)
	}
	for _, f := range c.headers {
		if err := setHeader(m, f); err != nil {
			return envelope{}, fmt.Errorf("headers: %s: %w", f.name, err)
		}
	}
	setBodies(m, c, i.templates.text != nil || c.html == "")

	var out bytes.Buffer
	if _, err := m.WriteTo(&out); err != nil {
		return envelope{}, fmt.Errorf("write mail: %w", err)
	}
	return envelope{From: from.Address, To: bare(slices.Concat(to, p.cc, p.bcc)), Mail: out.String()}, nil
}

// parties are those whom a mail concerns, as the envelope and the default headers have them. No header has bcc.
type parties struct {
	from        *netmail.Address
	to, cc, bcc []*netmail.Address
}

func (i *Integration) parties(d *relay.Delivery) (parties, error) {
	var p parties
	text, err := i.templates.from(relay.View{Delivery: d})
	if err != nil {
		return p, fmt.Errorf("from: %w", err)
	}
	if p.from, err = parseSender(text); err != nil {
		return p, fmt.Errorf("from: %w", err)
	}
	if p.to, err = parseAddresses(d.Destination.Address); err != nil {
		return p, fmt.Errorf("to: %w", err)
	}
	if p.cc, err = further(d, i.templates.cc); err != nil {
		return p, fmt.Errorf("cc: %w", err)
	}
	if p.bcc, err = further(d, i.templates.bcc); err != nil {
		return p, fmt.Errorf("bcc: %w", err)
	}
	p.cc = append(p.cc, copied(d, slices.Concat(p.to, p.cc, p.bcc))...)
	return p, nil
}

// further are the addresses of a list that may be empty. In the plain form, where nothing of a user's may stand in the
// way, a list that cannot be made is empty too.
func further(d *relay.Delivery, list func(relay.View) (string, error)) ([]*netmail.Address, error) {
	text, err := list(relay.View{Delivery: d.Routed()})
	if err == nil && strings.Trim(text, " \t\r\n,") == "" {
		return nil, nil
	}
	var addresses []*netmail.Address
	if err == nil {
		addresses, err = parseAddresses(text)
	}
	if err != nil && d.Plain {
		return nil, nil
	}
	return addresses, err
}

// listLabel is the part of a List-Id (RFC 2919 §2) that names a receiver.
func listLabel(receiver string) string {
	label := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		case r > 0x7f:
			return -1
		}
		return '-'
	}, receiver), "-")
	if label == "" || len(label) > 63 {
		return "r-" + digest(receiver)[:8]
	}
	return label
}

// copied are those whom a delivery concerns and to whom it does not go anyway.
func copied(d *relay.Delivery, to []*netmail.Address) []*netmail.Address {
	var cc []*netmail.Address
	for _, p := range d.People {
		known := func(a *netmail.Address) bool { return strings.EqualFold(a.Address, p.Email) }
		if p.Email != "" && !slices.ContainsFunc(to, known) && !slices.ContainsFunc(cc, known) {
			cc = append(cc, &netmail.Address{Name: p.Name, Address: p.Email})
		}
	}
	return cc
}

// threadRoot is the Message-ID that all mails of one thread answer to. No mail has it: programs that show threads
// (https://www.jwz.org/doc/threading.html) put an empty root in its place, so that the order of arrival does not matter.
func (i *Integration) threadRoot(d *relay.Delivery, domain string) string {
	n := d.Notification()
	root := "alert-" + digest(n.GroupKey, n.Receiver, n.Room)[:16]
	if i.cfg.Threading.ThreadByDate == threadByDay {
		root += d.Now.In(i.zone).Format("-2006-01-02")
	}
	return "<" + root + "@" + domain + ">"
}

// setHeader sets a configured header, replacing the relay's own. A list of recipients keeps what it says when it names no
// address, "undisclosed-recipients:;" for example.
func setHeader(m *mail.Msg, f field) error {
	name := mail.Header(f.name)
	switch f.name {
	case "From":
		from, err := parseSender(f.value)
		if err != nil {
			return err
		}
		m.SetAddrHeaderFromMailAddress(mail.HeaderFrom, from)
		return nil
	case "To", "Cc", "Reply-To":
		if addresses, err := parseAddresses(f.value); err == nil {
			m.SetAddrHeaderFromMailAddress(mail.AddrHeader(f.name), addresses...)
			return nil
		}
	case "Message-Id":
		name = mail.HeaderMessageID
	}
	m.SetGenHeader(name, f.value)
	return nil
}

// setBodies adds the text, when the mail has one, and the html behind it: the best form comes last (RFC 2046 §5.1.4).
func setBodies(m *mail.Msg, c content, withText bool) {
	if withText {
		m.SetBodyString(mail.TypeTextPlain, crlf(c.text))
	}
	if c.html != "" {
		m.AddAlternativeString(mail.TypeTextHTML, crlf(c.html))
	}
}

// crlf ends lines as mail does.
func crlf(text string) string {
	return strings.ReplaceAll(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text), "\n", "\r\n")
}

// bare are the addresses without names, each once.
func bare(addresses []*netmail.Address) []string {
	var out []string
	for _, a := range addresses {
		if !slices.Contains(out, a.Address) {
			out = append(out, a.Address)
		}
	}
	return out
}
