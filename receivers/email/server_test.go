package email_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"
)

// A server is a mail server that takes what it is told to take.
type server struct {
	address string

	// What to answer; nil means yes.
	onMail func(from string) error
	onRcpt func(to string) error
	onData func() error
	// Who may authenticate; empty means that AUTH is not offered.
	mechanisms     []string
	user, password string

	mu          sync.Mutex
	mails       []stored
	connections int
}

// stored is a mail that the server took, with what the dialogue said about it.
type stored struct {
	from       string
	to         []string
	data       string
	encrypted  bool
	authorized string // mechanism and user
	utf8       bool
}

// serve starts s. With a certificate it offers STARTTLS; implicit starts TLS with the first byte.
func serve(tb testing.TB, s *server, certificate *tls.Certificate, implicit bool) *server {
	tb.Helper()
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.connections++
		return &session{server: s, conn: c}, nil
	}))
	srv.Domain = "mail.test"
	srv.EnableSMTPUTF8 = true
	srv.AllowInsecureAuth = true
	srv.ErrorLog = silent{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	s.address = l.Addr().String()
	if certificate != nil {
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12}
		if implicit {
			l = tls.NewListener(l, srv.TLSConfig)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	tb.Cleanup(func() {
		_ = srv.Close()
		_ = l.Close() // Serve may not have known it yet
		<-done
	})
	return s
}

// all are the mails taken so far.
func (s *server) all() []stored {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mails
}

// take is all, which the server then forgets.
func (s *server) take() []stored {
	s.mu.Lock()
	defer s.mu.Unlock()
	mails := s.mails
	s.mails = nil
	return mails
}

type silent struct{}

func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}

// session is one connection to a server.
type session struct {
	server *server
	conn   *smtp.Conn
	mail   stored
	login  string
}

func (s *session) Reset()        { s.mail = stored{} }
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, o *smtp.MailOptions) error {
	if s.server.onMail != nil {
		if err := s.server.onMail(from); err != nil {
			return err
		}
	}
	s.mail.from, s.mail.utf8 = from, o != nil && o.UTF8
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.server.onRcpt != nil {
		if err := s.server.onRcpt(to); err != nil {
			return err
		}
	}
	s.mail.to = append(s.mail.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if s.server.onData != nil {
		if err := s.server.onData(); err != nil {
			return err
		}
	}
	s.mail.data = string(b)
	_, s.mail.encrypted = s.conn.TLSConnectionState()
	s.mail.authorized = s.login
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.mails = append(s.server.mails, s.mail)
	return nil
}

func (s *session) AuthMechanisms() []string { return s.server.mechanisms }

func (s *session) Auth(mechanism string) (sasl.Server, error) {
	check := func(user, password string) error {
		if user != s.server.user || password != s.server.password {
			// Some servers do echo what they were given.
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "bad password " + password}
		}
		s.login = mechanism + " " + user
		return nil
	}
	switch mechanism {
	case "PLAIN":
		return sasl.NewPlainServer(func(identity, user, password string) error {
			if identity != "" && identity != "someone" {
				return errors.New("unexpected identity")
			}
			return check(user, password)
		}), nil
	case "LOGIN":
		return &loginServer{check: check}, nil
	case "CRAM-MD5":
		return &cramServer{key: s.server.password, check: func(user string, ok bool) error {
			if !ok {
				return check(user, "")
			}
			return check(user, s.server.password)
		}}, nil
	}
	if mechanism == "XOAUTH2" {
		return &xoauth2Server{check: check}, nil
	}
	return nil, smtp.ErrAuthUnsupported
}

// xoauth2Server is the server's side of AUTH XOAUTH2: https://developers.google.com/workspace/gmail/imap/xoauth2-protocol
type xoauth2Server struct {
	check   func(user, token string) error
	refused error // told once the client has heard why
}

func (x *xoauth2Server) Next(response []byte) ([]byte, bool, error) {
	if x.refused != nil {
		return nil, true, x.refused
	}
	user, token, _ := strings.Cut(strings.TrimPrefix(string(response), "user="), "\x01auth=Bearer ")
	x.refused = x.check(user, strings.TrimRight(token, "\x01"))
	return []byte(`{"status":"400","schemes":"bearer"}`), x.refused == nil, nil
}

// loginServer is the server's side of AUTH LOGIN.
type loginServer struct {
	check func(user, password string) error
	user  *string
}

func (l *loginServer) Next(response []byte) ([]byte, bool, error) {
	switch {
	case response == nil:
		return []byte("Username:"), false, nil
	case l.user == nil:
		l.user = new(string(response))
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(*l.user, string(response))
}

// cramServer is the server's side of AUTH CRAM-MD5 (RFC 2195).
type cramServer struct {
	key   string
	check func(user string, ok bool) error
}

const challenge = "<1896.697170952@mail.test>"

func (c *cramServer) Next(response []byte) ([]byte, bool, error) {
	if response == nil {
		return []byte(challenge), false, nil
	}
	user, sum, _ := strings.Cut(string(response), " ")
	mac := hmac.New(md5.New, []byte(c.key))
	mac.Write([]byte(challenge))
	return nil, true, c.check(user, sum == hex.EncodeToString(mac.Sum(nil)))
}

// script serves one connection at a time by a script: it says each line, after each but the first it reads one command.
// A line that is empty ends the connection without a word. It returns the address.
func script(tb testing.TB, lines ...string) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			play(conn, lines)
		}
	}()
	tb.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

func play(conn net.Conn, lines []string) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	in := bufio.NewReader(conn)
	for i, line := range lines {
		if i > 0 {
			until := "\n"
			if strings.HasPrefix(lines[i-1], "354") {
				until = "\r\n.\r\n"
			}
			if !readUntil(in, until) {
				return
			}
		}
		if line == "" {
			return
		}
		if _, err := io.WriteString(conn, strings.ReplaceAll(line, "|", "\r\n")+"\r\n"); err != nil {
			return
		}
	}
	_, _ = io.Copy(io.Discard, in)
}

func readUntil(in *bufio.Reader, end string) bool {
	var got strings.Builder
	for !strings.HasSuffix(got.String(), end) {
		b, err := in.ReadByte()
		if err != nil {
			return false
		}
		got.WriteByte(b)
	}
	return true
}

// authority makes certificates and is trusted by nobody who does not know it.
type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
	pem         string
}

func newAuthority(tb testing.TB) *authority {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(tb, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(tb, err)
	return &authority{key, certificate, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

// issue makes a certificate for a host name or an address.
func (a *authority) issue(tb testing.TB, host string) *tls.Certificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	require.NoError(tb, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// hangUpInData serves a connection up to DATA and ends it in the middle of the mail.
func hangUpInData(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(conn)
			_, _ = io.WriteString(conn, "220 hi\r\n")
			for _, answer := range []string{"250 mail.test", "250 ok", "250 ok", "354 go"} {
				if !readUntil(in, "\n") {
					break
				}
				_, _ = io.WriteString(conn, answer+"\r\n")
			}
			_, _ = in.ReadString('\n')
			_ = conn.Close()
		}
	}()
	tb.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}
