package sandbox

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// MailSettings say how the mail server behaves. The zero value is a friendly server: STARTTLS, AUTH after TLS, anybody
// may send without it.
type MailSettings struct {
	// Username and Password are the credentials; with an empty Username no AUTH is offered.
	Username, Password string
	// Mechanisms are offered in this order; default CRAM-MD5, PLAIN, LOGIN, XOAUTH2.
	Mechanisms []string
	// RequireAuth refuses MAIL with 530 before AUTH.
	RequireAuth bool
	// AuthWithoutTLS offers AUTH on a plain connection too.
	AuthWithoutTLS bool
	// NoSTARTTLS and NoSMTPUTF8 take extensions away.
	NoSTARTTLS, NoSMTPUTF8 bool
	// MaxBytes is SIZE; default 10 MB.
	MaxBytes int64
	// MaxRecipients of one mail; more get 452 4.5.3. Default 100.
	MaxRecipients int
	// MaxConns refuses further connections with 421; zero means no bound.
	MaxConns int
	// MailsPerConn answers 421 to the next MAIL after so many; zero means no bound.
	MailsPerConn int
	// Idle ends a silent connection with 421, in real time; default 5 minutes.
	Idle time.Duration
	// Greylist refuses each new recipient with 451 until so long has passed on the sandbox's clock; zero does not.
	Greylist time.Duration
}

// A MailReply is a scripted answer.
type MailReply struct {
	Code     int
	Enhanced [3]int // zero: derived from Code
	Text     string
	// Close closes the connection after the answer, as a real 421 does. A Code of 421 always closes.
	Close bool
}

// A MailFault is something that goes wrong with one mail transaction or connection; at most one field is set.
type MailFault struct {
	Greeting *MailReply // instead of the greeting of the next connection
	MailFrom *MailReply // to MAIL
	Data     *MailReply // to DATA's final dot; nothing is stored

	// DropInData reads some of the mail and closes before the dot: nothing is stored.
	DropInData bool
	// StoreThenDrop stores the mail and closes instead of answering the dot: the caller cannot know.
	StoreThenDrop bool
	// StoreThenHang stores the mail and says nothing until it is closed (or the caller goes).
	StoreThenHang <-chan struct{}
}

// Mail emulates a mail server with one mailbox for everybody.
//
// It is built on go-smtp, whose answers to a client that breaks the order of commands are 502 where RFC 5321 has 503, and
// 523 instead of 538 to AUTH before TLS. The class is the same.
type Mail struct {
	board    *board
	settings MailSettings
	ca       *authority

	plain, secure *smtp.Server
	listeners     []net.Listener
	plainAddr     string
	secureAddr    string
	serving       sync.WaitGroup
	stop          chan struct{}

	mu     sync.Mutex
	faults []MailFault
	rcpt   map[string][]MailReply
	always map[string]MailReply
	grey   map[string]time.Time
	conns  int
}

// startMail listens on two free loopback ports: plain with STARTTLS, and TLS from the first byte.
func startMail(b *board, settings MailSettings) (*Mail, error) {
	if settings.MaxBytes == 0 {
		settings.MaxBytes = 10 << 20
	}
	if settings.MaxRecipients == 0 {
		settings.MaxRecipients = 100
	}
	if settings.Idle == 0 {
		settings.Idle = 5 * time.Minute
	}
	if settings.Mechanisms == nil {
		settings.Mechanisms = []string{authCRAMMD5, sasl.Plain, sasl.Login, authXOAUTH2}
	}
	ca, err := newAuthority()
	if err != nil {
		return nil, fmt.Errorf("sandbox: certificate: %w", err)
	}
	m := &Mail{
		board: b, settings: settings, ca: ca, stop: make(chan struct{}),
		rcpt: map[string][]MailReply{}, always: map[string]MailReply{}, grey: map[string]time.Time{},
	}
	m.plain, m.secure = m.server(), m.server()
	if settings.NoSTARTTLS {
		m.plain.TLSConfig = nil
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a listener has no deadline
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	secure, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // as above
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sandbox: %w", err), plain.Close())
	}
	m.listeners = []net.Listener{plain, secure}
	m.plainAddr, m.secureAddr = plain.Addr().String(), secure.Addr().String()
	m.serving.Go(func() { _ = m.plain.Serve(&mailListener{Listener: plain, mail: m}) })
	m.serving.Go(func() { _ = m.secure.Serve(&mailListener{Listener: secure, mail: m, config: ca.config}) })
	return m, nil
}

func (m *Mail) server() *smtp.Server {
	s := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &mailSession{mail: m, conn: c}, nil
	}))
	s.Domain = "mail.sandbox.invalid"
	s.TLSConfig = m.ca.config
	s.AllowInsecureAuth = m.settings.AuthWithoutTLS
	s.EnableSMTPUTF8 = !m.settings.NoSMTPUTF8
	s.MaxMessageBytes = m.settings.MaxBytes
	s.MaxRecipients = m.settings.MaxRecipients
	s.MaxLineLength = 1000 // RFC 5321 §4.5.3.1.6
	s.ReadTimeout = m.settings.Idle
	s.ErrorLog = silence{} // broken connections are what faults are for
	return s
}

// silence is go-smtp's logger.
type silence struct{}

// Printf says nothing.
func (silence) Printf(string, ...any) {}

// Println says nothing.
func (silence) Println(...any) {}

// Addr is the host:port that speaks plain SMTP and offers STARTTLS.
func (m *Mail) Addr() string { return m.plainAddr }

// TLSAddr is the host:port that speaks TLS from the first byte.
func (m *Mail) TLSAddr() string { return m.secureAddr }

// CertPool trusts the server's certificate, which is for 127.0.0.1 and localhost.
func (m *Mail) CertPool() *x509.CertPool { return m.ca.pool }

// CA is the certificate of the authority in PEM, for a ca_file.
func (m *Mail) CA() []byte { return m.ca.pem }

// Inject queues faults; each takes part in the first transaction or connection that it fits.
func (m *Mail) Inject(list ...MailFault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = append(m.faults, list...)
}

// Answer queues replies to RCPT for an address, one a mail.
func (m *Mail) Answer(address string, replies ...MailReply) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rcpt[strings.ToLower(address)] = append(m.rcpt[strings.ToLower(address)], replies...)
}

// Refuse answers every RCPT for an address like this; a zero reply takes it back.
func (m *Mail) Refuse(address string, reply MailReply) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if reply == (MailReply{}) {
		delete(m.always, strings.ToLower(address))
		return
	}
	m.always[strings.ToLower(address)] = reply
}

// close ends every connection and waits for the listeners.
func (m *Mail) close() {
	close(m.stop)
	for _, l := range m.listeners {
		_ = l.Close() // go-smtp closes only those it serves already; its error is the one that counts
	}
	_, _ = m.plain.Close(), m.secure.Close()
	m.serving.Wait()
}

// fault takes the first queued fault that fits.
func (m *Mail) fault(fits func(MailFault) bool) (MailFault, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.faults, fits)
	if i < 0 {
		return MailFault{}, false
	}
	f := m.faults[i]
	m.faults = slices.Delete(m.faults, i, i+1)
	return f, true
}

// recipient decides about one RCPT; a zero reply takes it.
func (m *Mail) recipient(address string) MailReply {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := strings.ToLower(address)
	if q := m.rcpt[key]; len(q) > 0 {
		m.rcpt[key] = q[1:]
		if q[0].Code/100 == 2 {
			return MailReply{}
		}
		return q[0]
	}
	if r, ok := m.always[key]; ok {
		return r
	}
	if m.settings.Greylist > 0 {
		first, ok := m.grey[key]
		if !ok {
			first = m.board.now()
			m.grey[key] = first
		}
		if m.board.now().Before(first.Add(m.settings.Greylist)) {
			return MailReply{Code: 451, Enhanced: [3]int{4, 7, 1}, Text: "Greylisted, please try again later"}
		}
	}
	return MailReply{}
}

// mailSession is one client. go-smtp calls it from the connection's own goroutine.
type mailSession struct {
	mail  *Mail
	conn  *smtp.Conn
	authd bool
	mails int

	from string
	to   []string
}

var _ smtp.AuthSession = (*mailSession)(nil)

// reply makes a scripted answer. A 421 closes the connection behind it.
func (s *mailSession) reply(r MailReply) error {
	if r.Close || r.Code == 421 {
		hangUp(s.conn.Conn())
	}
	enhanced := smtp.EnhancedCode(r.Enhanced)
	return &smtp.SMTPError{Code: r.Code, EnhancedCode: enhanced, Message: r.Text}
}

// Reset forgets the transaction.
func (s *mailSession) Reset() { s.from, s.to = "", nil }

// Logout has nothing to free.
func (s *mailSession) Logout() error { return nil }

// Mail begins a transaction.
func (s *mailSession) Mail(from string, opts *smtp.MailOptions) error {
	if s.mail.settings.RequireAuth && !s.authd {
		return s.reply(MailReply{Code: 530, Enhanced: [3]int{5, 7, 0}, Text: "Authentication required"})
	}
	if limit := s.mail.settings.MailsPerConn; limit > 0 && s.mails >= limit {
		return s.reply(MailReply{Code: 421, Enhanced: [3]int{4, 7, 0}, Text: "Too many mails on this connection"})
	}
	if f, ok := s.mail.fault(func(f MailFault) bool { return f.MailFrom != nil }); ok {
		s.record(*f.MailFrom, "mail_from", nil)
		return s.reply(*f.MailFrom)
	}
	if err := s.checkASCII(from, opts.UTF8); err != nil {
		return err
	}
	s.mails++
	s.from = from
	return nil
}

// checkASCII refuses an address that needs SMTPUTF8 when the client has not asked for it.
func (s *mailSession) checkASCII(address string, utf8 bool) error {
	ascii := strings.IndexFunc(address, func(r rune) bool { return r > 127 }) < 0
	if ascii || utf8 {
		return nil
	}
	return s.reply(MailReply{Code: 553, Enhanced: [3]int{5, 6, 7}, Text: "Address needs SMTPUTF8"})
}

// Rcpt answers for one recipient.
func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if r := s.mail.recipient(to); r.Code != 0 {
		s.record(r, "", nil)
		return s.reply(r)
	}
	s.to = append(s.to, to)
	return nil
}

// Data takes the mail.
func (s *mailSession) Data(r io.Reader) error {
	f, _ := s.mail.fault(func(f MailFault) bool { return f.Greeting == nil && f.MailFrom == nil })
	if f.DropInData {
		_, _ = io.CopyN(io.Discard, r, 64)
		s.record(MailReply{Text: "dropped before the dot"}, "drop_in_data", nil)
		return s.conn.Conn().Close()
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if f.Data != nil {
		s.record(*f.Data, "data", raw)
		return s.reply(*f.Data)
	}
	switch {
	case f.StoreThenDrop:
		s.record(MailReply{Code: 250, Text: "stored, not answered"}, "store_then_drop", raw)
		_ = s.conn.Conn().Close()
	case f.StoreThenHang != nil:
		s.record(MailReply{Code: 250, Text: "stored, not answered"}, "store_then_hang", raw)
		s.hang(f.StoreThenHang)
	default:
		s.record(MailReply{Code: 250, Text: "queued"}, "", raw)
	}
	return nil
}

// hang waits for release, the end of the sandbox, or the client's going.
func (s *mailSession) hang(release <-chan struct{}) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = s.conn.Conn().Read(make([]byte, 1)) // the client says nothing while it waits
	}()
	select {
	case <-release:
	case <-s.mail.stop:
	case <-gone:
	}
	_ = s.conn.Conn().Close()
	<-gone
}

// record keeps the attempt, and the mail when it was taken.
func (s *mailSession) record(r MailReply, fault string, raw []byte) {
	now := s.mail.board.now()
	req := Request{
		At: now, Inbox: InboxEmail, Account: s.from, Method: "DATA", Body: raw, Fault: fault,
		Verdict: Verdict{Code: r.Code, Text: r.Text, Delivered: r.Code == 250},
	}
	if !req.Verdict.Delivered {
		s.mail.board.record(req, nil)
		return
	}
	if s.mail.board.keep == 0 {
		req.Body = nil
		s.mail.board.record(req, nil)
		return
	}
	parsed := parseMail(raw)
	parsed.From, parsed.To = s.from, slices.Clone(s.to)
	s.mail.board.record(req, &Message{
		At: now, Inbox: InboxEmail, Account: s.from, Group: strings.Join(s.to, ", "), Robot: parsed.FromHeader,
		Type: "mail", Title: parsed.Subject, Text: parsed.Text, Body: raw, Flags: parsed.Faults, Mail: parsed,
	})
}

// mailListener counts connections and plays faults of the greeting.
type mailListener struct {
	net.Listener

	mail   *Mail
	config *tls.Config // nil: plain
}

// Accept returns the next connection that is not turned away.
func (l *mailListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		reply := l.greeting()
		if reply == nil {
			counted := &mailConn{Conn: c, mail: l.mail}
			if l.config != nil {
				return tls.Server(counted, l.config), nil
			}
			return counted, nil
		}
		l.mail.serving.Go(func() { l.turnAway(c, *reply) })
	}
}

// greeting returns the reply that turns a connection away; nil when it is welcome, and then it is counted.
func (l *mailListener) greeting() *MailReply {
	if f, ok := l.mail.fault(func(f MailFault) bool { return f.Greeting != nil }); ok {
		return f.Greeting
	}
	l.mail.mu.Lock()
	defer l.mail.mu.Unlock()
	if limit := l.mail.settings.MaxConns; limit > 0 && l.mail.conns >= limit {
		return &MailReply{Code: 421, Text: "4.7.0 Too many connections"}
	}
	l.mail.conns++
	return nil
}

func (l *mailListener) turnAway(c net.Conn, r MailReply) {
	if l.config != nil {
		c = tls.Server(c, l.config)
	}
	_ = c.SetDeadline(time.Now().Add(time.Second))
	_, _ = fmt.Fprintf(c, "%d %s\r\n", r.Code, r.Text)
	_ = c.Close()
	l.mail.board.record(Request{
		At: l.mail.board.now(), Inbox: InboxEmail, Method: "CONNECT", Fault: "greeting",
		Verdict: Verdict{Code: r.Code, Text: r.Text},
	}, nil)
}

// mailConn closes behind the next write once it was told to.
type mailConn struct {
	net.Conn

	mail *Mail
	once sync.Once
	last bool // only touched by the connection's own goroutine
}

// Write writes, and hangs up if this was the last line.
func (c *mailConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.last {
		_ = c.Close()
	}
	return n, err
}

// Close also makes room for another connection.
func (c *mailConn) Close() error {
	c.once.Do(func() {
		c.mail.mu.Lock()
		c.mail.conns--
		c.mail.mu.Unlock()
	})
	return c.Conn.Close()
}

// hangUp makes the next line the last one of this connection.
func hangUp(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if m, ok := c.(*mailConn); ok {
		m.last = true
	}
}
