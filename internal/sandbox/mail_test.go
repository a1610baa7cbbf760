package sandbox_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/wneessen/go-mail"

	"github.com/alertrelay/relay/internal/sandbox"
)

// dial opens a client of the mail server; port and TLS follow from the address.
func dial(t *testing.T, sb *sandbox.Sandbox, addr string, opts ...mail.Option) *mail.Client {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	n, err := strconv.Atoi(port)
	require.NoError(t, err)
	opts = append([]mail.Option{
		mail.WithPort(n), mail.WithTimeout(5 * time.Second), mail.WithHELO("relay.test"),
		mail.WithTLSConfig(&tls.Config{RootCAs: sb.Mail.CertPool(), ServerName: "localhost", MinVersion: tls.VersionTLS12}),
	}, opts...)
	if addr == sb.Mail.TLSAddr() {
		opts = append(opts, mail.WithSSL())
	}
	c, err := mail.NewClient(host, opts...)
	require.NoError(t, err)
	return c
}

func letter(t *testing.T, to ...string) *mail.Msg {
	t.Helper()
	m := mail.NewMsg()
	require.NoError(t, m.FromFormat("告警 Relay", "relay@example.org"))
	require.NoError(t, m.To(to...))
	m.Subject("[告警] API 错误率过高，房间 10086，请尽快处理，这是一个很长很长的标题以便折行")
	m.SetMessageIDWithValue("n1.relay@example.org")
	m.SetDate()
	m.SetGenHeader(mail.HeaderReferences, "<root@example.org>")
	m.SetBodyString(mail.TypeTextPlain, "错误率 12%\n.a line that begins with a dot")
	m.AddAlternativeString(mail.TypeTextHTML, `<p>错误率 <b>12%</b> <img src="cid:g1"></p>`)
	require.NoError(t, m.EmbedReader("g.png", bytes.NewReader([]byte("png")), mail.WithFileContentID("<g1>")))
	return m
}

func TestMailIsReadByAnotherParser(t *testing.T) {
	t.Parallel()
	for name, implicit := range map[string]bool{"STARTTLS": false, "implicit TLS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sb, _ := start(t)
			addr := sb.Mail.Addr()
			if implicit {
				addr = sb.Mail.TLSAddr()
			}
			require.NoError(t, dial(t, sb, addr).DialAndSendWithContext(t.Context(), letter(t, "ops@example.org", "a@example.org")))
			in, err := sb.Await(t.Context(), "email", 1)
			require.NoError(t, err)
			m := in[0].Mail
			require.Equal(t, "relay@example.org", m.From)
			require.Equal(t, []string{"ops@example.org", "a@example.org"}, m.To)
			require.Equal(t, "[告警] API 错误率过高，房间 10086，请尽快处理，这是一个很长很长的标题以便折行", m.Subject)
			require.Equal(t, "告警 Relay <relay@example.org>", m.FromHeader)
			require.Equal(t, "<n1.relay@example.org>", m.MessageID)
			require.Equal(t, "<root@example.org>", m.References)
			require.Equal(t, "错误率 12%\n.a line that begins with a dot", strings.TrimSpace(m.Text))
			require.Contains(t, m.HTML, "<b>12%</b>")
			require.Equal(t, "png", string(m.Parts[m.CIDs["g1"]].Body))
			require.Empty(t, m.Faults)
			require.Equal(t, m.Text, in[0].Text)
		})
	}
}

func TestMailFaultsAreSeen(t *testing.T) {
	t.Parallel()
	const good = "Date: Fri, 20 Nov 2026 10:00:00 +0000\r\nFrom: a@b\r\nMessage-ID: <1@b>\r\nSubject: x\r\n"
	for name, c := range map[string]struct{ raw, want string }{
		"a second subject":    {good + "Subject: y\r\n\r\nbody\r\n", "2 headers Subject"},
		"Bcc":                 {good + "Bcc: x@y\r\n\r\nbody\r\n", "header Bcc"},
		"no date":             {"From: a@b\r\nMessage-ID: <1@b>\r\nSubject: x\r\n\r\nbody\r\n", "no header Date"},
		"no part for a cid":   {good + "Content-Type: text/html\r\n\r\n<img src='cid:g1'>\r\n", "no part for cid:g1"},
		"cid without bracket": {good + "Content-Type: text/html\r\nContent-ID: g1\r\n\r\n<p>\r\n", "Content-ID without brackets: g1"},
		"html first": {
			good + "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>\r\n" +
				"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n", "the text part comes after the HTML part",
		},
		"no header at all": {"hello\r\n", "unreadable header"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sb, _ := start(t)
			s := talk(t, sb.Mail.Addr())
			s.say("EHLO relay.test", 250)
			s.say("MAIL FROM:<a@b>", 250)
			s.say("RCPT TO:<c@d>", 250)
			s.say("DATA", 354)
			s.say(c.raw+".", 250)
			require.Contains(t, strings.Join(sb.Inbox("email")[0].Flags, "; "), c.want)
		})
	}
}

// telnet speaks SMTP line by line.
type telnet struct {
	t    *testing.T
	conn *textproto.Conn
	// hello is the greeting.
	code  int
	hello string
}

func talk(t *testing.T, addr string) *telnet {
	t.Helper()
	conn, err := textproto.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	code, hello, _ := conn.ReadResponse(0)
	return &telnet{t, conn, code, hello}
}

func (s *telnet) say(line string, want int) string {
	s.t.Helper()
	require.NoError(s.t, s.conn.PrintfLine("%s", line))
	code, text, err := s.conn.ReadResponse(0)
	var refused *textproto.Error
	if err != nil && !errors.As(err, &refused) {
		require.NoError(s.t, err)
	}
	require.Equal(s.t, want, code, text)
	return text
}

// gone says that the server has closed the connection.
func (s *telnet) gone() {
	s.t.Helper()
	_, err := s.conn.ReadLine()
	require.Error(s.t, err)
}

func TestMailCapabilities(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings sandbox.MailSettings
		has, not []string
	}{
		"as usual": {
			settings: sandbox.MailSettings{Username: "u", MaxBytes: 1000},
			has:      []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "SIZE 1000", "STARTTLS"},
			not:      []string{"AUTH"},
		},
		"AUTH without TLS": {
			settings: sandbox.MailSettings{Username: "u", AuthWithoutTLS: true}, has: []string{"AUTH CRAM-MD5 PLAIN LOGIN XOAUTH2"},
		},
		"taken away": {
			settings: sandbox.MailSettings{NoSTARTTLS: true, NoSMTPUTF8: true}, not: []string{"STARTTLS", "SMTPUTF8"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sb, _ := start(t, func(o *sandbox.Options) { o.Mail = c.settings })
			s := talk(t, sb.Mail.Addr())
			require.Equal(t, 220, s.code)
			got := s.say("EHLO relay.test", 250)
			for _, want := range c.has {
				require.Contains(t, got, want)
			}
			for _, no := range c.not {
				require.NotContains(t, got, no)
			}
		})
	}
}

func TestMailAuth(t *testing.T) {
	t.Parallel()
	for _, mechanism := range []mail.SMTPAuthType{
		mail.SMTPAuthPlain, mail.SMTPAuthLogin, mail.SMTPAuthCramMD5, mail.SMTPAuthXOAUTH2,
	} {
		for password, right := range map[string]bool{"授权码": true, "wrong": false} {
			t.Run(fmt.Sprintf("%s %v", mechanism, right), func(t *testing.T) {
				t.Parallel()
				sb, _ := start(t, func(o *sandbox.Options) {
					o.Mail = sandbox.MailSettings{Username: "u", Password: "授权码", RequireAuth: true}
				})
				c := dial(t, sb, sb.Mail.Addr(), mail.WithSMTPAuth(mechanism), mail.WithUsername("u"), mail.WithPassword(password))
				err := c.DialAndSendWithContext(t.Context(), letter(t, "ops@example.org"))
				if right {
					require.NoError(t, err)
					require.Len(t, sb.Inbox("email"), 1)
					return
				}
				var refused *textproto.Error
				require.ErrorAs(t, err, &refused)
				require.Equal(t, 535, refused.Code)
				require.Empty(t, sb.Inbox("email"))
			})
		}
	}
}

func TestMailWithoutAuth(t *testing.T) {
	t.Parallel()
	sb, _ := start(t, func(o *sandbox.Options) { o.Mail = sandbox.MailSettings{Username: "u", RequireAuth: true} })
	s := talk(t, sb.Mail.Addr())
	s.say("EHLO relay.test", 250)
	s.say("MAIL FROM:<a@b>", 530)
	s.say("AUTH PLAIN AHUAdQ==", 523) // not before TLS
}

func TestMailProtocolErrors(t *testing.T) {
	t.Parallel()
	sb, _ := start(t, func(o *sandbox.Options) { o.Mail = sandbox.MailSettings{MaxBytes: 1000, MaxRecipients: 2} })
	s := talk(t, sb.Mail.Addr())
	s.say("MAIL FROM:<a@b>", 502)
	s.say("EHLO relay.test", 250)
	s.say("NOOP", 250)
	s.say("RCPT TO:<a@b>", 502)
	s.say("MAIL FROM:<a@b> SIZE=1001", 552)
	s.say("MAIL FROM:<ä@b>", 553)
	s.say("MAIL FROM:<ä@b> SMTPUTF8 BODY=8BITMIME SIZE=10", 250)
	s.say("DATA", 502)
	s.say("RCPT TO:<1@b>", 250)
	s.say("RCPT TO:<2@b>", 250)
	s.say("RCPT TO:<3@b>", 452)
	s.say("RSET", 250)
	s.say("RCPT TO:<1@b>", 502)
	s.say("QUIT", 221)
	s.gone()

	long := talk(t, sb.Mail.Addr())
	long.say("NOOP "+strings.Repeat("x", 1100), 500)
	long.gone()

	mail := talk(t, sb.Mail.Addr())
	mail.say("EHLO relay.test", 250)
	mail.say("MAIL FROM:<a@b>", 250)
	mail.say("RCPT TO:<1@b>", 250)
	mail.say("DATA", 354)
	mail.say(strings.Repeat("x", 999)+"\r\n.", 554)
}

func TestMailRecipients(t *testing.T) {
	t.Parallel()
	sb, clk := start(t, func(o *sandbox.Options) { o.Mail.Greylist = time.Minute })
	clk.Advance(time.Hour)
	sb.Mail.Refuse("Gone@example.org", sandbox.MailReply{Code: 550, Enhanced: [3]int{5, 1, 1}, Text: "No such user"})
	sb.Mail.Answer("busy@example.org", sandbox.MailReply{Code: 450, Enhanced: [3]int{4, 2, 1}, Text: "Mailbox busy"},
		sandbox.MailReply{Code: 250}, sandbox.MailReply{Code: 250})
	s := talk(t, sb.Mail.Addr())
	s.say("EHLO relay.test", 250)
	s.say("MAIL FROM:<a@b>", 250)
	require.Contains(t, s.say("RCPT TO:<gone@example.org>", 550), "5.1.1 No such user")
	s.say("RCPT TO:<busy@example.org>", 450)
	s.say("RCPT TO:<busy@example.org>", 250)
	s.say("RCPT TO:<new@example.org>", 451)
	clk.Advance(time.Minute)
	s.say("RCPT TO:<new@example.org>", 250)
	s.say("DATA", 354)
	s.say("Subject: x\r\n\r\nhello\r\n.", 250)
	require.Equal(t, []string{"busy@example.org", "new@example.org"}, sb.Inbox("email")[0].Mail.To)
	require.Equal(t, sandbox.Counts{Requests: 4, Delivered: 1, Refused: 3}, sb.Counts("email"))
}

// go-mail's behaviour is known from running it against other servers; here it must be the same.
func TestGoMailAgainstTheEmulator(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script    func(*sandbox.Mail)
		code      int // of the SendError
		temporary bool
		reason    mail.SendErrReason
		dialCode  int // of the textproto.Error that is not a SendError
		stored    int
	}{
		"one of two recipients refused: nobody gets it": {
			script: func(m *sandbox.Mail) { m.Refuse("b@example.org", sandbox.MailReply{Code: 550, Text: "No"}) },
			code:   550, reason: mail.ErrSMTPRcptTo,
		},
		"several refused: the last one counts": {
			script: func(m *sandbox.Mail) {
				m.Refuse("a@example.org", sandbox.MailReply{Code: 550, Text: "No"})
				m.Refuse("b@example.org", sandbox.MailReply{Code: 450, Text: "Later"})
			},
			code: 450, temporary: true, reason: mail.ErrSMTPRcptTo,
		},
		"MAIL 451": {
			script: func(m *sandbox.Mail) {
				m.Inject(sandbox.MailFault{MailFrom: &sandbox.MailReply{Code: 451, Text: "Later"}})
			},
			code: 451, temporary: true, reason: mail.ErrSMTPMailFrom,
		},
		"dot 452": {
			script: func(m *sandbox.Mail) { m.Inject(sandbox.MailFault{Data: &sandbox.MailReply{Code: 452, Text: "Full"}}) },
			code:   452, temporary: true, reason: mail.ErrSMTPDataClose,
		},
		"dot 554": {
			script: func(m *sandbox.Mail) { m.Inject(sandbox.MailFault{Data: &sandbox.MailReply{Code: 554, Text: "Spam"}}) },
			code:   554, reason: mail.ErrSMTPDataClose,
		},
		"stored, then dropped: unknown": {
			script: func(m *sandbox.Mail) { m.Inject(sandbox.MailFault{StoreThenDrop: true}) },
			reason: mail.ErrSMTPDataClose, stored: 1,
		},
		"stored, then silent: unknown": {
			script: func(m *sandbox.Mail) { m.Inject(sandbox.MailFault{StoreThenHang: make(chan struct{})}) },
			reason: mail.ErrSMTPDataClose, stored: 1,
		},
		"dropped before the dot": {
			script: func(m *sandbox.Mail) { m.Inject(sandbox.MailFault{DropInData: true}) },
			reason: mail.ErrSMTPDataClose,
		},
		"greeting 421": {
			script: func(m *sandbox.Mail) {
				m.Inject(sandbox.MailFault{Greeting: &sandbox.MailReply{Code: 421, Text: "Busy"}})
			},
			dialCode: 421,
		},
		"greeting 554": {
			script: func(m *sandbox.Mail) {
				m.Inject(sandbox.MailFault{Greeting: &sandbox.MailReply{Code: 554, Text: "No"}})
			},
			dialCode: 554,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sb, _ := start(t)
			c.script(sb.Mail)
			client := dial(t, sb, sb.Mail.Addr(), mail.WithTimeout(300*time.Millisecond))
			err := client.DialAndSendWithContext(t.Context(), letter(t, "a@example.org", "b@example.org"))
			require.Error(t, err)
			if c.dialCode != 0 {
				var refused *textproto.Error
				require.ErrorAs(t, err, &refused)
				require.Equal(t, c.dialCode, refused.Code)
				return
			}
			var failed *mail.SendError
			require.ErrorAs(t, err, &failed)
			require.Equal(t, c.code, failed.ErrorCode())
			require.Equal(t, c.temporary, failed.IsTemp())
			require.Equal(t, c.reason, failed.Reason)
			require.Len(t, sb.Inbox("email"), c.stored)

			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			sb.Mail.Refuse("a@example.org", sandbox.MailReply{})
			sb.Mail.Refuse("b@example.org", sandbox.MailReply{})
			require.NoError(t, dial(t, sb, sb.Mail.Addr()).DialAndSendWithContext(ctx, letter(t, "a@example.org", "b@example.org")))
		})
	}
}

func TestMailConnections(t *testing.T) {
	t.Parallel()
	sb, _ := start(t, func(o *sandbox.Options) { o.Mail.MaxConns, o.Mail.MailsPerConn = 1, 1 })
	first := talk(t, sb.Mail.Addr())
	require.Equal(t, 220, first.code)
	second := talk(t, sb.Mail.Addr())
	require.Equal(t, 421, second.code)
	second.gone()
	first.say("EHLO relay.test", 250)
	first.say("MAIL FROM:<a@b>", 250)
	first.say("RSET", 250)
	first.say("MAIL FROM:<a@b>", 421)
	first.gone()
	require.Eventually(t, func() bool { return talk(t, sb.Mail.Addr()).code == 220 }, 5*time.Second, time.Millisecond)
}

func TestMailIdleConnectionIsClosed(t *testing.T) {
	t.Parallel()
	sb, _ := start(t, func(o *sandbox.Options) { o.Mail.Idle = 10 * time.Millisecond })
	s := talk(t, sb.Mail.Addr())
	code, _, _ := s.conn.ReadResponse(0)
	require.Equal(t, 421, code)
	s.gone()
}

func TestMailWithoutSTARTTLS(t *testing.T) {
	t.Parallel()
	sb, _ := start(t, func(o *sandbox.Options) { o.Mail.NoSTARTTLS = true })
	err := dial(t, sb, sb.Mail.Addr(), mail.WithTLSPolicy(mail.TLSMandatory)).DialAndSendWithContext(t.Context(), letter(t, "a@b.c"))
	require.ErrorContains(t, err, "STARTTLS")
	require.Empty(t, sb.Inbox("email"))
	require.NoError(t, dial(t, sb, sb.Mail.Addr(), mail.WithTLSPolicy(mail.TLSOpportunistic)).
		DialAndSendWithContext(t.Context(), letter(t, "a@b.c")))
}
