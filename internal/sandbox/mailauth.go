package sandbox

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Mechanisms that go-sasl does not name.
const (
	authCRAMMD5 = "CRAM-MD5"
	authXOAUTH2 = "XOAUTH2"
)

// AuthMechanisms are offered in the server's order.
func (s *mailSession) AuthMechanisms() []string {
	if s.mail.settings.Username == "" {
		return nil
	}
	return s.mail.settings.Mechanisms
}

// Auth begins an exchange.
func (s *mailSession) Auth(mechanism string) (sasl.Server, error) {
	for _, offered := range s.AuthMechanisms() {
		if offered != mechanism {
			continue
		}
		switch mechanism {
		case sasl.Plain:
			return sasl.NewPlainServer(func(_, user, password string) error { return s.login(user, password) }), nil
		case sasl.Login:
			return &loginExchange{session: s}, nil
		case authCRAMMD5:
			return &cramExchange{session: s}, nil
		case authXOAUTH2:
			return &oauthExchange{session: s}, nil
		}
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

func (s *mailSession) login(user, password string) error {
	if user != s.mail.settings.Username || password != s.mail.settings.Password {
		return smtp.ErrAuthFailed
	}
	s.authd = true
	return nil
}

// loginExchange asks for user and password, one after the other.
type loginExchange struct {
	session *mailSession
	user    *string
	asked   bool
}

// Next takes one answer of the client.
func (l *loginExchange) Next(response []byte) ([]byte, bool, error) {
	switch {
	case response == nil && !l.asked:
		l.asked = true
		return []byte("Username:"), false, nil
	case l.user == nil:
		user := string(response)
		l.user = &user
		return []byte("Password:"), false, nil
	}
	return nil, true, l.session.login(*l.user, string(response))
}

// cramExchange is RFC 2195: the client proves the password by a digest of our challenge.
type cramExchange struct {
	session   *mailSession
	challenge string
}

// Next gives the challenge, then checks the answer.
func (c *cramExchange) Next(response []byte) ([]byte, bool, error) {
	if c.challenge == "" {
		c.challenge = fmt.Sprintf("<%d.sandbox@mail.sandbox.invalid>", c.session.mail.board.now().UnixNano())
		return []byte(c.challenge), false, nil
	}
	settings := c.session.mail.settings
	mac := hmac.New(md5.New, []byte(settings.Password))
	mac.Write([]byte(c.challenge))
	if string(response) != settings.Username+" "+hex.EncodeToString(mac.Sum(nil)) {
		return nil, true, smtp.ErrAuthFailed
	}
	return nil, true, c.session.login(settings.Username, settings.Password)
}

// oauthExchange is Google's and Microsoft's XOAUTH2: the password is a bearer token.
// https://developers.google.com/workspace/gmail/imap/xoauth2-protocol
type oauthExchange struct {
	session *mailSession
	failed  bool
}

// Next checks the token. A wrong one is told in a challenge first, which the client answers with an empty line.
func (o *oauthExchange) Next(response []byte) ([]byte, bool, error) {
	if o.failed {
		return nil, true, smtp.ErrAuthFailed
	}
	if response == nil {
		return nil, false, nil
	}
	user, rest, _ := strings.Cut(strings.TrimPrefix(string(response), "user="), "\x01")
	token := strings.TrimSuffix(strings.TrimPrefix(rest, "auth=Bearer "), "\x01\x01")
	o.failed = o.session.login(user, token) != nil
	if o.failed {
		return []byte(`{"status":"401","schemes":"bearer","scope":"https://mail.google.com/"}`), false, nil
	}
	return nil, true, nil
}
