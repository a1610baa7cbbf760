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
	from, to, err := i.parties(d)
	if err != nil {
		return envelope{}, err
	}
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
	cc := copied(d, to)
	if len(cc) > 0 {
		m.SetAddrHeaderFromMailAddress(mail.HeaderCc, cc...)
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
	return envelope{From: from.Address, To: bare(append(to, cc...)), Mail: out.String()}, nil
}

// parties are the sender and the recipients, as the envelope and the default headers have them.
func (i *Integration) parties(d *relay.Delivery) (*netmail.Address, []*netmail.Address, error) {
	text, err := i.templates.from(relay.View{Delivery: d})
	if err != nil {
		return nil, nil, fmt.Errorf("from: %w", err)
	}
	from, err := parseSender(text)
	if err != nil {
		return nil, nil, fmt.Errorf("from: %w", err)
	}
	to, err := parseAddresses(d.Destination.Address)
	if err != nil {
		return nil, nil, fmt.Errorf("to: %w", err)
	}
	return from, to, nil
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
		root += d.Now.Format("-2006-01-02")
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
