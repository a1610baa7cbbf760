package email

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"strings"
	"time"

	"github.com/prometheus/common/config"
	"github.com/wneessen/go-mail/smtp"

	"github.com/alertrelay/relay"
)

// quitTimeout bounds the writing of the farewell.
const quitTimeout = time.Second

// A session is one connection to the mail server, encrypted and authenticated as configured. Between two mails it waits in
// a pool; while in use, the context it is bound to ends every wait.
type session struct {
	ctx    context.Context //nolint:containedctx // of one call of Send
	stop   func() bool
	conn   net.Conn
	client *smtp.Client
	idle   *time.Timer // while it is in the pool
	mails  int         // that it has taken
	begun  bool        // the server has taken MAIL
	// fixedFrom says that every mail has the same sender, so that refusing it is a matter of configuration.
	fixedFrom bool
}

// open connects, and returns when the server is ready for MAIL.
func (i *Integration) open(ctx context.Context) (*session, error) {
	tlsConfig, err := config.NewTLSConfig(i.cfg.TLSConfig)
	if err != nil {
		return nil, relay.AsMisconfigured(fmt.Errorf("tls_config: %w", err))
	}
	if tlsConfig.ServerName == "" {
		tlsConfig.ServerName = i.host()
	}
	conn, err := i.dial(ctx, tlsConfig)
	if err != nil {
		return nil, reply(ctx, stageConnect, err)
	}
	s := &session{conn: conn, fixedFrom: !isTemplate(i.cfg.From)}
	s.bind(ctx)
	s.client, err = smtp.NewClient(conn, i.host())
	if err != nil {
		s.stop()
		_ = conn.Close()
		return nil, reply(ctx, stageGreeting, err)
	}
	if err := i.prepare(s, tlsConfig); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// bind makes the end of ctx the end of the connection.
func (s *session) bind(ctx context.Context) {
	s.ctx, s.begun = ctx, false
	s.stop = context.AfterFunc(ctx, func() { _ = s.conn.Close() })
}

func (i *Integration) dial(ctx context.Context, tlsConfig *tls.Config) (net.Conn, error) {
	if i.implicitTLS() {
		return (&tls.Dialer{Config: tlsConfig}).DialContext(ctx, "tcp", i.cfg.Smarthost)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", i.cfg.Smarthost)
}

// prepare says EHLO, encrypts and authenticates.
func (i *Integration) prepare(s *session, tlsConfig *tls.Config) error {
	if err := s.client.Hello(i.cfg.Hello); err != nil {
		return reply(s.ctx, stageHello, err)
	}
	encrypted := i.implicitTLS()
	if !encrypted && *i.cfg.RequireTLS {
		if ok, _ := s.client.Extension("STARTTLS"); !ok {
			return relay.AsMisconfigured(errors.New("require_tls is true, but the server offers no STARTTLS"))
		}
		if err := s.client.StartTLS(tlsConfig); err != nil {
			return reply(s.ctx, stageTLS, err)
		}
		encrypted = true
	}
	return i.authenticate(s, encrypted)
}

// authenticate takes the first mechanism the server offers that there is a secret for. Without a user name, or when the
// server offers no AUTH, it does nothing, as Alertmanager does: a server that minds answers MAIL with 530.
func (i *Integration) authenticate(s *session, encrypted bool) error {
	ok, offered := s.client.Extension("AUTH")
	if !ok || i.cfg.AuthUsername == "" {
		return nil
	}
	private := encrypted || loopback(i.host())
	for name := range strings.FieldsSeq(offered) {
		m, err := i.mechanism(s.ctx, name, private)
		if err != nil {
			return err
		}
		if m.auth == nil {
			continue
		}
		if err := s.client.Auth(m.auth); err != nil {
			return m.judge(withhold(reply(s.ctx, stageAuth, err), i.cfg.AuthIdentity, i.cfg.AuthUsername, m.key))
		}
		return nil
	}
	hint := "set auth_password for PLAIN and LOGIN, auth_secret for CRAM-MD5, auth_oauth2 for XOAUTH2"
	if !private {
		hint += "; without TLS no password is sent"
	}
	return relay.AsMisconfigured(fmt.Errorf("none of the server's AUTH mechanisms (%s) can be used: %s",
		oneLine(offered, maxReplyRunes), hint))
}

// A mechanism is a way to authenticate, with the secret that it shows. Auth is nil when it cannot be used.
type mechanism struct {
	auth smtp.Auth
	key  string
	// refused is told when the server refuses what was shown; nil when nothing can be done about it.
	refused func(err error) error
}

// judge is what an error of the mechanism means.
func (m mechanism) judge(err error) error {
	if m.refused != nil && relay.KindOf(err) == relay.Misconfigured {
		return m.refused(err)
	}
	return err
}

// mechanism returns none when it knows no such mechanism, has no secret for it, or must not show the secret to the line.
func (i *Integration) mechanism(ctx context.Context, name string, private bool) (mechanism, error) {
	var m mechanism
	var err error
	switch {
	case name == "CRAM-MD5" && !i.secret.IsZero():
		m.key, err = i.secret.Reveal()
		m.auth = smtp.CRAMMD5Auth(i.cfg.AuthUsername, m.key)
		return m, wrap("auth_secret", err)
	case name == "PLAIN" && !i.password.IsZero() && private:
		m.key, err = i.password.Reveal()
		m.auth = smtp.PlainAuth(i.cfg.AuthIdentity, i.cfg.AuthUsername, m.key, i.host(), true)
		return m, wrap("auth_password", err)
	case name == "LOGIN" && !i.password.IsZero() && private:
		m.key, err = i.password.Reveal()
		m.auth = smtp.LoginAuth(i.cfg.AuthUsername, m.key, i.host(), true)
		return m, wrap("auth_password", err)
	case name == "XOAUTH2" && i.tokens != nil && private:
		return i.xoauth2(ctx)
	}
	return m, nil
}

// xoauth2 shows an access token. One that was kept may have been revoked meanwhile, which another one mends.
func (i *Integration) xoauth2(ctx context.Context) (mechanism, error) {
	token, fresh, err := i.tokens.get(ctx)
	if err != nil {
		return mechanism{}, fmt.Errorf("auth_oauth2: %w", err)
	}
	return mechanism{
		auth: smtp.XOAuth2Auth(i.cfg.AuthUsername, token), key: token,
		refused: func(err error) error {
			i.tokens.drop(token)
			if fresh {
				return err
			}
			return relay.AsTokenExpired(err)
		},
	}, nil
}

func wrap(key string, err error) error {
	if err == nil {
		return nil
	}
	return relay.AsMisconfigured(fmt.Errorf("%s: %w", key, err))
}

// loopback reports whether host never leaves this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// withhold takes a secret out of the text of an error, should the server have echoed it.
func withhold(err error, identity, user, key string) error {
	var e *relay.Error
	if key == "" || !errors.As(err, &e) {
		return err
	}
	b64 := base64.StdEncoding.EncodeToString
	plain := b64([]byte(identity + "\x00" + user + "\x00" + key))
	text := strings.NewReplacer(plain, "<secret>", b64([]byte(key)), "<secret>", key, "<secret>").Replace(e.Error())
	if text == e.Error() {
		return err
	}
	return &relay.Error{Kind: e.Kind, RetryAfter: e.RetryAfter, Err: errors.New(text)}
}

// send makes one mail transaction (RFC 5321 §3.3): MAIL, RCPT for each recipient, DATA to those accepted.
func (s *session) send(e envelope) (receipt relay.Receipt, later []string, err error) {
	s.client.SkipSMTPUTF8(ascii(e.From) && ascii(strings.Join(e.To, "")))
	if err := s.client.Mail(path(e.From)); err != nil {
		stage := stageMail
		if s.fixedFrom {
			stage = stageSender
		}
		return relay.Receipt{}, nil, reply(s.ctx, stage, err)
	}
	s.begun = true
	receipt.Refused, later, err = s.recipients(e.To)
	if err != nil {
		return relay.Receipt{}, nil, err
	}
	w, err := s.client.Data()
	if err != nil {
		return relay.Receipt{}, nil, reply(s.ctx, stageData, err)
	}
	if _, err := w.Write([]byte(e.Mail)); err != nil {
		return relay.Receipt{}, nil, reply(s.ctx, stageData, err)
	}
	// From here on a lost connection leaves it open whether the server took the mail. That is transient: the next
	// attempt has the same Message-ID.
	if err := w.Close(); err != nil {
		return relay.Receipt{}, nil, reply(s.ctx, stageEnd, err)
	}
	if d, ok := w.(*smtp.DataCloser); ok {
		receipt.Detail = oneLine(d.ServerResponse(), maxReplyRunes)
	}
	return receipt, later, nil
}

// recipients names the recipients to the server. It returns those it refused while it took others, and which of them it
// may take later; when it took none, an error.
func (s *session) recipients(to []string) (refused map[string]string, later []string, err error) {
	var worst error
	for _, address := range to {
		err := s.client.Rcpt(path(address))
		if err == nil {
			continue
		}
		err = reply(s.ctx, stageRecipient, err)
		if !answered(err) {
			return nil, nil, err
		}
		if refused == nil {
			refused = map[string]string{}
		}
		refused[address] = err.Error()
		if relay.KindOf(err) != relay.Refused {
			later = append(later, address)
		}
		worst = hopeful(worst, err)
	}
	if len(refused) == len(to) {
		return nil, nil, worst
	}
	return refused, later, nil
}

// hopeful returns of two errors the one that leaves more hope: an address that may be taken later is worth a retry even
// if another never will be.
func hopeful(a, b error) error {
	rank := map[relay.Kind]int{relay.RateLimited: 3, relay.Transient: 2, relay.Misconfigured: 1}
	if a != nil && rank[relay.KindOf(a)] >= rank[relay.KindOf(b)] {
		return a
	}
	return b
}

// path is an address as MAIL and RCPT take it: in angle brackets, its local part quoted where it must be.
func path(address string) string { return (&mail.Address{Address: address}).String() }

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7f })
}

// close says farewell and hangs up. It does not wait for an answer: the mail is already taken, or never will be.
func (s *session) close() {
	if s.client.UpdateDeadline(quitTimeout) == nil {
		_ = s.client.Text.PrintfLine("QUIT")
	}
	_ = s.client.Close()
	s.stop()
}
