package email_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/prometheus/common/config"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/receivers/email"
)

func TestMain(m *testing.M) {
	// The thread that real programs are started on stays for as long as the tests run.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/alertrelay/relay/internal/parts.onMainThread.func1.1"))
}

// to is a configuration for a server without TLS.
func to(address string) email.Config {
	return email.Config{Smarthost: address, RequireTLS: new(false)}
}

// send renders a recorded notification and sends it.
func send(tb testing.TB, c email.Config) (relay.Receipt, error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s := build(tb, c)
	return s.Send(ctx, render(tb, s, delivery(tb, s, notification(tb, "firing"))))
}

func TestTheServerGetsTheMailAsRendered(t *testing.T) {
	t.Parallel()
	s := serve(t, &server{}, nil, false)
	c := to(s.address)
	c.To = `"Doe, J." <j@example.org>, oncall@example.org, j@example.org`
	setup := build(t, c)
	m := render(t, setup, delivery(t, setup, notification(t, "firing")))
	receipt, err := setup.Send(t.Context(), m)
	require.NoError(t, err)
	require.Empty(t, receipt.Refused)
	require.NotEmpty(t, receipt.Detail)
	require.Len(t, s.all(), 1)
	got := s.all()[0]
	require.Equal(t, "relay@example.com", got.from)
	require.Equal(t, []string{"j@example.org", "oncall@example.org"}, got.to, "each once")
	require.Equal(t, envelope(t, m).Mail, strings.TrimSuffix(got.data, "\r\n")+"\r\n")
	require.False(t, got.utf8, "not needed for these addresses")
}

func TestAddressesBeyondASCII(t *testing.T) {
	t.Parallel()
	s := serve(t, &server{}, nil, false)
	c := to(s.address)
	c.To = `值班@example.org, "two words"@example.org`
	_, err := send(t, c)
	require.NoError(t, err)
	require.Equal(t, []string{"值班@example.org", "two words@example.org"}, s.all()[0].to)
	require.True(t, s.all()[0].utf8)
}

func TestOneRefusedRecipientKeepsNobodyElseFromTheMail(t *testing.T) {
	t.Parallel()
	s := serve(t, &server{onRcpt: func(to string) error {
		switch to {
		case "gone@example.org":
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
		case "busy@example.org":
			return &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 1}, Message: "greylisted"}
		}
		return nil
	}}, nil, false)
	c := to(s.address)
	c.To = "gone@example.org, a@example.org, busy@example.org, b@example.org"
	receipt, err := send(t, c)
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"gone@example.org": "RCPT: 550 5.1.1 no such user", "busy@example.org": "RCPT: 450 4.2.1 greylisted",
	}, receipt.Refused)
	require.Equal(t, []string{"a@example.org", "b@example.org"}, s.all()[0].to)
	require.Contains(t, string(receipt.Again.Body), `"to":["busy@example.org"]`, "who may take it later gets it again, alone")

	c.To = "gone@example.org, busy@example.org"
	_, err = send(t, c)
	require.Equal(t, relay.Transient, relay.KindOf(err), "one of them may be taken later")
	require.ErrorContains(t, err, "450")
	require.Len(t, s.all(), 1)
}

func TestReplyCodesHaveTheirKinds(t *testing.T) {
	t.Parallel()
	const hello = "250-mail.test|250 ENHANCEDSTATUSCODES"
	const auth, tls = "250-mail.test|250 AUTH PLAIN", "250-mail.test|250 STARTTLS"
	for name, c := range map[string]struct {
		script []string
		kind   relay.Kind
		text   string
	}{
		"greeting 421":        {[]string{"421 4.3.2 closing"}, relay.Transient, "greeting: 421"},
		"greeting 554":        {[]string{"554 5.7.1 go away"}, relay.Misconfigured, "greeting: 554"},
		"greeting dropped":    {[]string{""}, relay.Transient, "greeting: EOF"},
		"greeting not SMTP":   {[]string{"HTTP/1.1 400 Bad Request"}, relay.Transient, "greeting"},
		"EHLO 421":            {[]string{"220 hi", "421 later", ""}, relay.Transient, "EHLO: 421"},
		"EHLO 550":            {[]string{"220 hi", "550 bad name", "550 bad name"}, relay.Misconfigured, "EHLO: 550"},
		"MAIL 451":            {[]string{"220 hi", hello, "451 4.3.0 local error"}, relay.Transient, "MAIL FROM: 451"},
		"MAIL 530":            {[]string{"220 hi", hello, "530 5.7.0 authenticate first"}, relay.Misconfigured, "MAIL FROM: 530"},
		"MAIL 553":            {[]string{"220 hi", hello, "553 mail from must equal user"}, relay.Misconfigured, "MAIL FROM: 553"},
		"MAIL 552":            {[]string{"220 hi", hello, "552 5.3.4 too large"}, relay.Refused, "MAIL FROM: 552"},
		"MAIL dropped":        {[]string{"220 hi", hello, ""}, relay.Transient, "MAIL FROM: EOF"},
		"MAIL odd":            {[]string{"220 hi", hello, "220 what"}, relay.Transient, "MAIL FROM: 220"},
		"RCPT 421":            {[]string{"220 hi", hello, "250 ok", "421 4.7.0 HL:ICC"}, relay.Transient, "RCPT: 421"},
		"RCPT 450":            {[]string{"220 hi", hello, "250 ok", "450 busy"}, relay.Transient, "RCPT: 450"},
		"RCPT 550":            {[]string{"220 hi", hello, "250 ok", "550 5.1.1 nobody"}, relay.Refused, "RCPT: 550"},
		"RCPT 552":            {[]string{"220 hi", hello, "250 ok", "552 too many recipients"}, relay.Transient, "RCPT: 552"},
		"RCPT 530":            {[]string{"220 hi", hello, "250 ok", "530 authenticate"}, relay.Misconfigured, "RCPT: 530"},
		"RCPT dropped":        {[]string{"220 hi", hello, "250 ok", ""}, relay.Transient, "RCPT: EOF"},
		"RCPT QQ's frequency": {[]string{"220 hi", hello, "250 ok", "550 Domain frequency limited"}, relay.RateLimited, "frequency"},
		"RCPT QQ's guard":     {[]string{"220 hi", hello, "250 ok", "550 Mailbox unavailable or access denied"}, relay.Transient, "RCPT: 550"},
		"DATA 451":            {[]string{"220 hi", hello, "250 ok", "250 ok", "451 later"}, relay.Transient, "DATA: 451"},
		"DATA 554":            {[]string{"220 hi", hello, "250 ok", "250 ok", "554 no"}, relay.Refused, "DATA: 554"},
		"end 452":             {[]string{"220 hi", hello, "250 ok", "250 ok", "354 go", "452 full"}, relay.Transient, "end of data: 452"},
		"end 550":             {[]string{"220 hi", hello, "250 ok", "250 ok", "354 go", "550 spam"}, relay.Refused, "end of data: 550"},
		"end 552":             {[]string{"220 hi", hello, "250 ok", "250 ok", "354 go", "552 too large"}, relay.Refused, "end of data: 552"},
		"end 554 many lines":  {[]string{"220 hi", hello, "250 ok", "250 ok", "354 go", "554-no|554 never"}, relay.Refused, "end of data: 554 no never"},
		"MAIL 432":            {[]string{"220 hi", hello, "432 4.7.12 a password transition is needed"}, relay.Transient, "MAIL FROM: 432"},
		"MAIL 452":            {[]string{"220 hi", hello, "452 4.3.1 no storage"}, relay.Transient, "MAIL FROM: 452"},
		"MAIL 455":            {[]string{"220 hi", hello, "455 parameters not now"}, relay.Transient, "MAIL FROM: 455"},
		"MAIL 555":            {[]string{"220 hi", hello, "555 parameters never"}, relay.Misconfigured, "MAIL FROM: 555"},
		"MAIL 500":            {[]string{"220 hi", hello, "500 unrecognised"}, relay.Misconfigured, "MAIL FROM: 500"},
		"MAIL NetEase's HL":   {[]string{"220 hi", hello, "421 HL:IFC 203.0.113.9"}, relay.Transient, "MAIL FROM: 421"},
		"MAIL NetEase's MI":   {[]string{"220 hi", hello, "450 MI:DMC 163"}, relay.Transient, "MAIL FROM: 450"},
		"MAIL NetEase's SFQ":  {[]string{"220 hi", hello, "451 MI:SFQ"}, relay.Transient, "MAIL FROM: 451"},
		"RCPT 451":            {[]string{"220 hi", hello, "250 ok", "451 4.7.1 greylisted"}, relay.Transient, "RCPT: 451"},
		"RCPT 452":            {[]string{"220 hi", hello, "250 ok", "452 4.5.3 too many recipients"}, relay.Transient, "RCPT: 452"},
		"RCPT 501":            {[]string{"220 hi", hello, "250 ok", "501 syntax"}, relay.Refused, "RCPT: 501"},
		"RCPT 503":            {[]string{"220 hi", hello, "250 ok", "503 bad sequence"}, relay.Refused, "RCPT: 503"},
		"RCPT 551":            {[]string{"220 hi", hello, "250 ok", "551 not local"}, relay.Refused, "RCPT: 551"},
		"RCPT 553":            {[]string{"220 hi", hello, "250 ok", "553 name not allowed"}, relay.Refused, "RCPT: 553"},
		"RCPT 554":            {[]string{"220 hi", hello, "250 ok", "554 5.7.1 relay access denied"}, relay.Refused, "RCPT: 554"},
		"RCPT 555":            {[]string{"220 hi", hello, "250 ok", "555 parameters"}, relay.Refused, "RCPT: 555"},
		"RCPT QQ's sender":    {[]string{"220 hi", hello, "250 ok", "550 Sender frequency limited"}, relay.RateLimited, "frequency"},
		"MAIL QQ's frequency": {[]string{"220 hi", hello, "550 Connection frequency limited"}, relay.RateLimited, "frequency"},
		"end NetEase's SPM":   {[]string{"220 hi", hello, "250 ok", "250 ok", "354 go", "451 DT:SPM, please try again"}, relay.Transient, "end of data: 451"},
		"AUTH 432":            {[]string{"220 hi", auth, "432 4.7.12 a password transition is needed", "501 ok", "221 bye"}, relay.Transient, "AUTH: 432"},
		"AUTH 454":            {[]string{"220 hi", auth, "454 4.7.0 temporary authentication failure", "501 ok", "221 bye"}, relay.Transient, "AUTH: 454"},
		"AUTH 504":            {[]string{"220 hi", auth, "504 5.5.4 unrecognised authentication type", "501 ok", "221 bye"}, relay.Misconfigured, "AUTH: 504"},
		"AUTH 534":            {[]string{"220 hi", auth, "534 5.7.9 mechanism too weak", "501 ok", "221 bye"}, relay.Misconfigured, "AUTH: 534"},
		"AUTH 535":            {[]string{"220 hi", auth, "535 5.7.8 bad credentials", "501 ok", "221 bye"}, relay.Misconfigured, "AUTH: 535"},
		"AUTH 538":            {[]string{"220 hi", auth, "538 5.7.11 encryption needed", "501 ok", "221 bye"}, relay.Misconfigured, "AUTH: 538"},
		"STARTTLS 454":        {[]string{"220 hi", tls, "454 4.7.0 not available now"}, relay.Transient, "STARTTLS: 454"},
		"STARTTLS 502":        {[]string{"220 hi", tls, "502 not implemented"}, relay.Misconfigured, "STARTTLS: 502"},
		"end dropped":         {[]string{"220 hi", hello, "250 ok", "250 ok", "354 go", ""}, relay.Transient, "end of data: EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			item := to(script(t, c.script...))
			switch c.script[min(1, len(c.script)-1)] {
			case auth:
				item.AuthUsername, item.AuthPassword = "relay", secret.New("hunter2")
			case tls:
				item.RequireTLS = new(true)
			}
			_, err := send(t, item)
			require.Error(t, err)
			require.Equal(t, c.kind, relay.KindOf(err), err)
			require.ErrorContains(t, err, c.text)
			if c.kind == relay.RateLimited {
				require.Equal(t, time.Minute, relay.RetryAfter(err))
			}
		})
	}
}

func TestASenderFromALabelIsRefusedAlone(t *testing.T) {
	t.Parallel()
	c := to(script(t, "220 hi", "250 mail.test", "553 not you"))
	c.From = "relay+{{ .Status }}@example.com"
	_, err := send(t, c)
	require.Equal(t, relay.Refused, relay.KindOf(err), "another notification may have another sender")
}

func TestAServerThatHangsUpBeforeTheEnd(t *testing.T) {
	t.Parallel()
	l := hangUpInData(t)
	_, err := send(t, to(l))
	require.Equal(t, relay.Transient, relay.KindOf(err))
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	s := script(t)
	c := to(s)
	c.Smarthost = "127.0.0.1:1"
	_, err := send(t, c)
	require.Equal(t, relay.Transient, relay.KindOf(err))
	require.ErrorContains(t, err, "connect: ")
}

func TestAContextThatEndsStopsEveryWait(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string][]string{
		"greeting": nil,
		"EHLO":     {"220 hi"},
		"MAIL":     {"220 hi", "250 mail.test"},
		"the end":  {"220 hi", "250 mail.test", "250 ok", "250 ok", "354 go"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := build(t, to(script(t, lines...)))
			m := render(t, s, delivery(t, s, notification(t, "firing")))
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := s.Send(ctx, m)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, relay.Transient, relay.KindOf(err))

			ctx, cancel = context.WithCancel(t.Context())
			cancel()
			_, err = s.Send(ctx, m)
			require.ErrorIs(t, err, context.Canceled)
		})
	}
}

func TestPasswordsGoOverTLSAlone(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(caFile, []byte(ca.pem), 0o600))
	password := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(password, []byte("hunter2\n"), 0o600))
	trusting := &config.TLSConfig{CAFile: caFile}

	for name, c := range map[string]struct {
		mechanisms []string
		host       string // whose certificate; empty: no TLS
		implicit   bool
		change     func(*email.Config)

		login string
		kind  relay.Kind // of the error; empty: none
		text  string
	}{
		"PLAIN":                {mechanisms: []string{"PLAIN", "LOGIN"}, host: "127.0.0.1", login: "PLAIN relay"},
		"LOGIN":                {mechanisms: []string{"LOGIN", "PLAIN"}, host: "127.0.0.1", login: "LOGIN relay"},
		"unknown ones skipped": {mechanisms: []string{"GSSAPI", "PLAIN"}, host: "127.0.0.1", login: "PLAIN relay"},
		"CRAM-MD5": {mechanisms: []string{"CRAM-MD5", "PLAIN"}, host: "127.0.0.1", change: func(c *email.Config) {
			c.AuthSecret, c.AuthPasswordFile = secret.New("hunter2"), ""
		}, login: "CRAM-MD5 relay"},
		"CRAM-MD5 needs auth_secret": {mechanisms: []string{"CRAM-MD5"}, host: "127.0.0.1", kind: relay.Misconfigured, text: "auth_secret"},
		"identity": {mechanisms: []string{"PLAIN"}, host: "127.0.0.1", change: func(c *email.Config) {
			c.AuthIdentity = "someone"
		}, login: "PLAIN relay"},
		"implicit": {mechanisms: []string{"PLAIN"}, host: "127.0.0.1", implicit: true, change: func(c *email.Config) {
			c.ForceImplicitTLS = new(true)
		}, login: "PLAIN relay"},
		"no AUTH offered":  {host: "127.0.0.1"},
		"no user":          {mechanisms: []string{"PLAIN"}, host: "127.0.0.1", change: func(c *email.Config) { c.AuthUsername = "" }},
		"another's server": {mechanisms: []string{"PLAIN"}, host: "mail.example.com", kind: relay.Misconfigured, text: "STARTTLS: "},
		"another's server, by its name": {mechanisms: []string{"PLAIN"}, host: "mail.example.com", change: func(c *email.Config) {
			c.TLSConfig = &config.TLSConfig{CAFile: caFile, ServerName: "mail.example.com"}
		}, login: "PLAIN relay"},
		"unknown authority": {mechanisms: []string{"PLAIN"}, host: "127.0.0.1", change: func(c *email.Config) {
			c.TLSConfig = nil
		}, kind: relay.Misconfigured, text: "certificate"},
		"unknown authority, implicit": {mechanisms: []string{"PLAIN"}, host: "127.0.0.1", implicit: true, change: func(c *email.Config) {
			c.TLSConfig, c.ForceImplicitTLS = nil, new(true)
		}, kind: relay.Misconfigured, text: "certificate"},
		"TLS from the first byte where there is none": {mechanisms: []string{"PLAIN"}, host: "127.0.0.1", change: func(c *email.Config) {
			c.ForceImplicitTLS = new(true)
		}, kind: relay.Misconfigured, text: "connect: "},
		"no STARTTLS": {mechanisms: []string{"PLAIN"}, kind: relay.Misconfigured, text: "STARTTLS"},
		"no TLS, but this machine": {mechanisms: []string{"PLAIN"}, change: func(c *email.Config) {
			c.RequireTLS = new(false)
		}, login: "PLAIN relay"},
		"wrong password": {mechanisms: []string{"PLAIN"}, host: "127.0.0.1", change: func(c *email.Config) {
			c.AuthPassword, c.AuthPasswordFile = secret.New("wr0ng"), ""
		}, kind: relay.Misconfigured, text: "AUTH: 535 5.7.8 bad password <secret>"},
		"wrong password, LOGIN": {mechanisms: []string{"LOGIN"}, host: "127.0.0.1", change: func(c *email.Config) {
			c.AuthPassword, c.AuthPasswordFile = secret.New("wr0ng"), ""
		}, kind: relay.Misconfigured, text: "AUTH: 535 5.7.8 bad password <secret>"},
		"password file gone": {mechanisms: []string{"PLAIN"}, host: "127.0.0.1", change: func(c *email.Config) {
			c.AuthPasswordFile = "/nowhere/password"
		}, kind: relay.Misconfigured, text: "auth_password: read secret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &server{mechanisms: c.mechanisms, user: "relay", password: "hunter2"}
			if c.host == "" {
				serve(t, s, nil, false)
			} else {
				serve(t, s, ca.issue(t, c.host), c.implicit)
			}
			cfg := email.Config{
				Smarthost: s.address, AuthUsername: "relay", AuthPasswordFile: secret.File(password), TLSConfig: trusting,
			}
			if c.change != nil {
				c.change(&cfg)
			}
			_, err := send(t, cfg)
			if c.kind != "" {
				require.Error(t, err)
				require.Equal(t, c.kind, relay.KindOf(err), err)
				require.ErrorContains(t, err, c.text)
				require.NotContains(t, err.Error(), "wr0ng")
				require.Empty(t, s.all())
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.login, s.all()[0].authorized)
			require.Equal(t, c.host != "", s.all()[0].encrypted)
		})
	}
}

func TestANewPasswordNeedsNoReload(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte("old"), 0o600))
	s := serve(t, &server{mechanisms: []string{"PLAIN"}, user: "relay", password: "new"}, nil, false)
	c := to(s.address)
	c.AuthUsername, c.AuthPasswordFile = "relay", secret.File(file)
	setup := build(t, c)
	m := render(t, setup, delivery(t, setup, notification(t, "firing")))
	_, err := setup.Send(t.Context(), m)
	require.Equal(t, relay.Misconfigured, relay.KindOf(err))
	require.NoError(t, os.WriteFile(file, []byte("new\n"), 0o600))
	_, err = setup.Send(t.Context(), m)
	require.NoError(t, err)
}

func TestAMailTwiceTakenIsRecognised(t *testing.T) {
	t.Parallel()
	lost := true
	s := serve(t, &server{}, nil, false)
	s.onData = func() error {
		if lost {
			lost = false
			return &smtp.SMTPError{Code: 451, Message: "stored, but who knows"}
		}
		return nil
	}
	setup := build(t, to(s.address))
	d := delivery(t, setup, notification(t, "firing"))
	_, err := setup.Send(t.Context(), render(t, setup, d))
	require.Equal(t, relay.Transient, relay.KindOf(err))
	d.Now = d.Now.Add(time.Minute)
	_, err = setup.Send(t.Context(), render(t, setup, d))
	require.NoError(t, err)
	require.Len(t, s.all(), 1)
}

func TestABodyThatIsNoMailIsRefused(t *testing.T) {
	t.Parallel()
	_, err := build(t, to("127.0.0.1:1")).Send(t.Context(), relay.Message{Body: []byte("{")})
	require.Equal(t, relay.Refused, relay.KindOf(err))
	require.Error(t, errors.Unwrap(err))
}
