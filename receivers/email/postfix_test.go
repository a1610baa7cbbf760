package email_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/common/config"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/receivers/email"
)

func TestThroughPostfix(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	p := startPostfix(t, ca)
	c := email.Config{
		Smarthost: p.address, TLSConfig: &config.TLSConfig{CAFile: p.ca, ServerName: "mail.test"},
		To: "值班 <oncall@example.org>, gone@example.org, ops@example.org",
	}
	s := build(t, c)
	d := delivery(t, s, notification(t, "hostile"))
	m := render(t, s, d)

	receipt, err := s.Send(t.Context(), m)
	require.NoError(t, err, p.Log())
	require.Contains(t, receipt.Detail, "queued as")
	require.Len(t, receipt.Refused, 1)
	require.Contains(t, receipt.Refused["gone@example.org"], "RCPT: 550 5.1.1")

	for _, name := range []string{"ops", "oncall"} {
		raw := p.read(t, name)
		require.Contains(t, raw, "using TLS", "Postfix notes how it got the mail")
		mail := parse(t, raw)
		require.Equal(t, []string{"<relay@example.com>"}, mail.Header["Return-Path"])
		require.Equal(t, []string{"auto-generated"}, mail.Header["Auto-Submitted"])
		require.Equal(t, mail.Header["References"], mail.Header["In-Reply-To"])
		sent := parse(t, envelope(t, m).Mail)
		require.Equal(t, sent.subject, mail.subject)
		require.Equal(t, sent.Header["Message-Id"], mail.Header["Message-Id"])
		require.Equal(t, strings.Join(strings.Fields(sent.Get("To")), " "), strings.Join(strings.Fields(mail.Get("To")), " "))
		require.Len(t, mail.parts, 2)
		for i, part := range mail.parts {
			require.Equal(t, strings.ReplaceAll(sent.parts[i].body, "\r\n", "\n"), strings.ReplaceAll(part.body, "\r\n", "\n"))
		}
	}
	require.NoDirExists(t, filepath.Join(p.mail, "gone"))
}

// TestPostfixAuthenticates lets Postfix ask for a password over TLS, each mechanism in turn.
func TestPostfixAuthenticates(t *testing.T) {
	t.Parallel()
	p := startPostfix(t, newAuthority(t))
	base := email.Config{
		Smarthost: p.address, TLSConfig: &config.TLSConfig{CAFile: p.ca, ServerName: "mail.test"},
		To: "ops@example.org", AuthUsername: "relay",
	}
	for _, mechanism := range []string{"PLAIN", "LOGIN", "CRAM-MD5"} {
		p.auth.offer(mechanism)
		c := base
		c.AuthPassword = secret.New("hunter2")
		if mechanism == "CRAM-MD5" {
			c.AuthPassword, c.AuthSecret = secret.String{}, secret.New("hunter2")
		}
		_, err := send(t, c)
		require.NoError(t, err, "%s: %s", mechanism, p.Log())
		require.Contains(t, p.read(t, "ops"), "Authenticated sender: relay", mechanism)
		require.NoError(t, os.RemoveAll(filepath.Join(p.mail, "ops")))

		c.AuthPassword, c.AuthSecret = secret.New("wr0ng"), secret.New("wr0ng")
		_, err = send(t, c)
		require.Equal(t, relay.Misconfigured, relay.KindOf(err), mechanism)
		require.ErrorContains(t, err, "AUTH: 535", mechanism)
		require.NotContains(t, err.Error(), "wr0ng")
	}
	require.Equal(t, []string{"PLAIN", "LOGIN", "CRAM-MD5"}, p.auth.used())
}

// TestPostfixFaults lets Postfix's own fault injector refuse and hang up.
func TestPostfixFaults(t *testing.T) {
	t.Parallel()
	sink := parts.Binary(t, "smtp-sink")
	for name, f := range map[string]struct {
		flags []string
		kind  relay.Kind
	}{
		"later, at MAIL":      {[]string{"-r", "mail"}, relay.Transient},
		"later, at RCPT":      {[]string{"-r", "rcpt"}, relay.Transient},
		"later, at the end":   {[]string{"-r", "."}, relay.Transient},
		"never, at EHLO":      {[]string{"-f", "ehlo,helo"}, relay.Misconfigured},
		"never, at MAIL":      {[]string{"-f", "mail"}, relay.Misconfigured},
		"never, at RCPT":      {[]string{"-f", "rcpt"}, relay.Refused},
		"never, at DATA":      {[]string{"-f", "data"}, relay.Refused},
		"never, at the end":   {[]string{"-f", "."}, relay.Refused},
		"hangs up at connect": {[]string{"-q", "connect"}, relay.Transient},
		"hangs up at MAIL":    {[]string{"-q", "mail"}, relay.Transient},
		"hangs up at DATA":    {[]string{"-q", "data"}, relay.Transient},
		"hangs up at the end": {[]string{"-q", "."}, relay.Transient},
		"takes it":            {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := parts.FreeAddress(t)
			args := append([]string{"-u", "nobody"}, f.flags...)
			if os.Getuid() != 0 {
				args = f.flags
			}
			p := parts.Start(t, sink, append(args, address, "10")...)
			awaitPort(t, p, address)
			_, err := send(t, to(address))
			if f.kind == "" {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			require.Equal(t, f.kind, relay.KindOf(err), err)
		})
	}
}

func awaitPort(t *testing.T, p *parts.Process, address string) {
	t.Helper()
	parts.WaitFor(t, address, func() error {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return fmt.Errorf("%w\n%s", err, p.Log())
		}
		return conn.Close()
	})
}

// A postfix is a mail server of the test's own: its configuration, queue and mailboxes are in the test's folder.
type postfix struct {
	*parts.Process

	address string
	ca      string // file
	mail    string // folder of mailboxes: ops and oncall of example.org
	auth    *authServer
}

func startPostfix(t *testing.T, ca *authority) *postfix {
	t.Helper()
	_ = parts.Binary(t, "postfix")
	if os.Getuid() != 0 {
		t.Skip("Postfix starts as root only")
	}
	owner, err := user.Lookup("postfix")
	require.NoError(t, err)
	uid, _ := strconv.Atoi(owner.Uid)
	gid, _ := strconv.Atoi(owner.Gid)
	drop, err := user.LookupGroup("postdrop")
	require.NoError(t, err)
	dropID, _ := strconv.Atoi(drop.Gid)

	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o711)) // the server's own user passes through
	require.NoError(t, os.Chmod(dir, 0o755))
	p := &postfix{address: parts.FreeAddress(t), mail: filepath.Join(dir, "mail"), ca: filepath.Join(dir, "ca.pem")}
	mkdir := func(name string, mode os.FileMode, uid, gid int) {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, name), 0o755))
		require.NoError(t, os.Chown(filepath.Join(dir, name), uid, gid))
		require.NoError(t, os.Chmod(filepath.Join(dir, name), mode))
	}
	p.auth = startAuthServer(t, filepath.Join(dir, "auth"))
	mkdir("data", 0o700, uid, gid)
	mkdir("mail", 0o755, uid, gid)
	mkdir("queue", 0o755, 0, 0)
	mkdir("queue/pid", 0o755, 0, 0)
	for _, name := range []string{"active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace"} {
		mkdir("queue/"+name, 0o700, uid, 0)
	}
	mkdir("queue/public", 0o710, uid, dropID)
	mkdir("queue/maildrop", 0o730, uid, dropID)

	certificate := ca.issue(t, "mail.test")
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	require.NoError(t, err)
	files := map[string]string{
		"ca.pem":   ca.pem,
		"cert.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})),
		"key.pem":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
		"main.cf": strings.NewReplacer("DIR", dir, "UID", owner.Uid, "GID", owner.Gid).Replace(`
compatibility_level = 3.6
queue_directory = DIR/queue
data_directory = DIR/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.test
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = example.org
virtual_mailbox_base = DIR/mail
virtual_mailbox_maps = inline:{ops@example.org=ops/, oncall@example.org=oncall/}
virtual_minimum_uid = 1
virtual_uid_maps = static:UID
virtual_gid_maps = static:GID
smtpd_recipient_restrictions = reject_unauth_destination
smtpd_tls_security_level = encrypt
smtpd_tls_cert_file = DIR/cert.pem
smtpd_tls_key_file = DIR/key.pem
smtpd_tls_received_header = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = DIR/auth
smtpd_sasl_authenticated_header = yes
smtpd_tls_auth_only = yes
max_use = 1
smtp_tls_security_level = none
`),
		"master.cf": p.address + ` inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
`,
	}
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	require.NoError(t, os.Chmod(filepath.Join(dir, "key.pem"), 0o600))
	master := "/usr/lib/postfix/sbin/master"
	if _, err := os.Stat(master); err != nil {
		t.Skip("Postfix keeps its daemons elsewhere here: ", err)
	}
	p.Process = parts.Start(t, master, "-c", dir, "-d")
	t.Cleanup(func() { p.Stop(t) })
	awaitPort(t, p.Process, p.address)
	return p
}

// read waits for the one mail of a mailbox and returns it with lines that end as on the wire.
func (p *postfix) read(t *testing.T, name string) string {
	t.Helper()
	var raw string
	parts.WaitFor(t, "a mail for "+name, func() error {
		files, _ := filepath.Glob(filepath.Join(p.mail, name, "new", "*"))
		if len(files) == 0 {
			return errors.New("none yet")
		}
		require.Len(t, files, 1)
		b, err := os.ReadFile(files[0])
		raw = string(b)
		return err
	})
	return strings.ReplaceAll(raw, "\n", "\r\n")
}
