package email

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/secret"
)

// Defaults where mail differs from the other integrations.
const (
	// DefaultTimeout is longer than elsewhere: servers look a sender up, scan a mail for viruses, and answer late on
	// purpose to keep spammers away.
	DefaultTimeout = 30 * time.Second
	// DefaultMaxInFlight bounds the connections to one server. Providers refuse more than a few at once.
	DefaultMaxInFlight = 8

	defaultHello   = "localhost"
	defaultSubject = `{{ template "relay.email.subject" . }}`
	defaultHTML    = `{{ template "relay.email.html" . }}`
	defaultText    = `{{ template "relay.email.text" . }}`
)

// Globals are mail's keys in the section global. Each stands in where an item leaves its twin out.
type Globals struct {
	SMTPSmarthost        string            `yaml:"smtp_smarthost,omitempty"`
	SMTPFrom             string            `yaml:"smtp_from,omitempty"`
	SMTPHello            string            `yaml:"smtp_hello,omitempty"`
	SMTPAuthUsername     string            `yaml:"smtp_auth_username,omitempty"`
	SMTPAuthPassword     secret.String     `yaml:"smtp_auth_password,omitempty"`
	SMTPAuthPasswordFile secret.File       `yaml:"smtp_auth_password_file,omitempty"`
	SMTPAuthSecret       secret.String     `yaml:"smtp_auth_secret,omitempty"`
	SMTPAuthSecretFile   secret.File       `yaml:"smtp_auth_secret_file,omitempty"`
	SMTPAuthIdentity     string            `yaml:"smtp_auth_identity,omitempty"`
	SMTPRequireTLS       *bool             `yaml:"smtp_require_tls,omitempty"`
	SMTPTLSConfig        *config.TLSConfig `yaml:"smtp_tls_config,omitempty"`
	SMTPForceImplicitTLS *bool             `yaml:"smtp_force_implicit_tls,omitempty"`
}

// Validate reports what is wrong with the global keys alone.
func (g Globals) Validate(f *fault.List) {
	if !g.SMTPAuthPassword.IsZero() && g.SMTPAuthPasswordFile != "" {
		f.Addf("at most one of smtp_auth_password & smtp_auth_password_file must be configured")
	}
	if !g.SMTPAuthSecret.IsZero() && g.SMTPAuthSecretFile != "" {
		f.Addf("at most one of smtp_auth_secret & smtp_auth_secret_file must be configured")
	}
	if g.SMTPSmarthost != "" {
		validateSmarthost(f.In("smtp_smarthost"), g.SMTPSmarthost)
	}
}

// Config is one item of email_configs, under Alertmanager's names.
type Config struct {
	relay.Common `yaml:",inline"`

	// To is a list of addresses with commas between them. Template.
	To string `yaml:"to,omitempty"`
	// Cc and Bcc are further lists, which may come out empty. Templates. No header names those of Bcc.
	Cc  string `yaml:"cc,omitempty"`
	Bcc string `yaml:"bcc,omitempty"`
	// From is one address. Template.
	From string `yaml:"from,omitempty"`
	// Smarthost is the mail server as host:port.
	Smarthost string `yaml:"smarthost,omitempty"`
	// Hello is the name the relay gives itself in EHLO.
	Hello            string        `yaml:"hello,omitempty"`
	AuthUsername     string        `yaml:"auth_username,omitempty"`
	AuthPassword     secret.String `yaml:"auth_password,omitempty"`
	AuthPasswordFile secret.File   `yaml:"auth_password_file,omitempty"`
	// AuthSecret is the secret of CRAM-MD5; PLAIN and LOGIN take the password.
	AuthSecret     secret.String `yaml:"auth_secret,omitempty"`
	AuthSecretFile secret.File   `yaml:"auth_secret_file,omitempty"`
	// AuthIdentity is PLAIN's authorisation identity.
	AuthIdentity string `yaml:"auth_identity,omitempty"`
	// AuthOAuth2 makes the relay authenticate with XOAUTH2.
	AuthOAuth2 *OAuth2 `yaml:"auth_oauth2,omitempty"`
	// RequireTLS is true by default: STARTTLS, or no mail.
	RequireTLS *bool             `yaml:"require_tls,omitempty"`
	TLSConfig  *config.TLSConfig `yaml:"tls_config,omitempty"`
	// ForceImplicitTLS is TLS from the first byte; left out, exactly on port 465.
	ForceImplicitTLS *bool `yaml:"force_implicit_tls,omitempty"`
	// Headers are added to the mail, or replace Subject, To, From and others. Templates.
	Headers map[string]string `yaml:"headers,omitempty"`
	// HTML and Text are the two bodies. Templates; an empty one leaves its part out.
	HTML *string `yaml:"html,omitempty"`
	Text *string `yaml:"text,omitempty"`
	// Mention says which of the people get the mail as well, in Cc. Unlike elsewhere, those whose match: fits do so only
	// with matching: true.
	Mention relay.Mention `yaml:"mention,omitempty"`
	// Threading shows the mails of one alert group as one thread.
	Threading Threading `yaml:"threading,omitempty"`
}

// Threading says how mails become threads.
type Threading struct {
	// Enabled is true by default, unlike in Alertmanager.
	Enabled *bool `yaml:"enabled,omitempty"`
	// ThreadByDate is none (default) for one thread per alert group, or daily for a new one each day.
	ThreadByDate string `yaml:"thread_by_date,omitempty"`
}

// The values of thread_by_date.
const (
	threadByGroup = "none"
	threadByDay   = "daily"
)

// Mentioned is the part of mention: that all integrations have.
func (c *Config) Mentioned() relay.Mention { return c.Mention }

// SetDefaults fills in what the item leaves out, from the global section where that says something.
func (c *Config) SetDefaults(g Globals) {
	c.Smarthost = or(c.Smarthost, g.SMTPSmarthost)
	c.From = or(c.From, g.SMTPFrom)
	c.Hello = or(c.Hello, g.SMTPHello, defaultHello)
	c.AuthUsername = or(c.AuthUsername, g.SMTPAuthUsername)
	c.AuthIdentity = or(c.AuthIdentity, g.SMTPAuthIdentity)
	if c.AuthPassword.IsZero() && c.AuthPasswordFile == "" {
		c.AuthPassword, c.AuthPasswordFile = g.SMTPAuthPassword, g.SMTPAuthPasswordFile
	}
	if c.AuthSecret.IsZero() && c.AuthSecretFile == "" {
		c.AuthSecret, c.AuthSecretFile = g.SMTPAuthSecret, g.SMTPAuthSecretFile
	}
	c.RequireTLS = or(c.RequireTLS, g.SMTPRequireTLS, new(true))
	c.TLSConfig = or(c.TLSConfig, g.SMTPTLSConfig, &config.TLSConfig{})
	c.ForceImplicitTLS = or(c.ForceImplicitTLS, g.SMTPForceImplicitTLS)
	c.HTML = or(c.HTML, new(defaultHTML))
	c.Text = or(c.Text, new(defaultText))
	c.Mention.Matching = or(c.Mention.Matching, new(false))
	c.Threading.Enabled = or(c.Threading.Enabled, new(true))
	c.Threading.ThreadByDate = or(c.Threading.ThreadByDate, threadByGroup)
	c.Timeout = or(c.Timeout, model.Duration(DefaultTimeout))
	c.MaxInFlight = or(c.MaxInFlight, DefaultMaxInFlight)
	c.Name = or(c.Name, digest(c.To)[:8])
}

// or returns the first value that is not zero.
func or[T comparable](values ...T) T {
	var zero T
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}

// Validate reports everything that is wrong with an item after SetDefaults.
func (c *Config) Validate(f *fault.List) {
	c.validateAddresses(f)
	if c.Smarthost == "" {
		f.Addf("no smarthost: set smarthost here or smtp_smarthost in global")
	} else {
		validateSmarthost(f.In("smarthost"), c.Smarthost)
	}
	if !c.AuthPassword.IsZero() && c.AuthPasswordFile != "" {
		f.Addf("at most one of auth_password & auth_password_file must be configured")
	}
	if !c.AuthSecret.IsZero() && c.AuthSecretFile != "" {
		f.Addf("at most one of auth_secret & auth_secret_file must be configured")
	}
	if c.AuthOAuth2 != nil {
		c.AuthOAuth2.validate(f.In("auth_oauth2"))
		if c.AuthUsername == "" {
			f.In("auth_oauth2").Addf("needs auth_username: whose mailbox it is")
		}
	}
	if strings.ContainsAny(c.Hello, "\r\n ") {
		f.In("hello").Addf("must be one host name")
	}
	if deref(c.HTML) == "" && deref(c.Text) == "" {
		f.Addf("html and text are both empty: at least one must say something")
	}
	c.validateHeaders(f.In("headers"))
	c.validateThreading(f.In("threading"))
}

// validateAddresses looks at addresses that are not templates; the others are looked at when they are executed.
func (c *Config) validateAddresses(f *fault.List) {
	switch {
	case c.To == "":
		f.Addf("no to: at least one address is needed")
	case !isTemplate(c.To):
		if _, err := parseAddresses(c.To); err != nil {
			f.In("to").Addf("%s", err)
		}
	}
	for key, list := range map[string]string{"cc": c.Cc, "bcc": c.Bcc} {
		if list != "" && !isTemplate(list) {
			if _, err := parseAddresses(list); err != nil {
				f.In(key).Addf("%s", err)
			}
		}
	}
	switch {
	case c.From == "":
		f.Addf("no from: set from here or smtp_from in global")
	case !isTemplate(c.From):
		if _, err := parseSender(c.From); err != nil {
			f.In("from").Addf("%s", err)
		}
	}
}

// isTemplate reports whether what src says depends on the notification.
func isTemplate(src string) bool { return strings.Contains(src, "{{") }

func validateSmarthost(f *fault.List, smarthost string) {
	host, port, err := net.SplitHostPort(smarthost)
	if err != nil || host == "" {
		f.Addf("must be host:port")
		return
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		f.Addf("the port must be a number from 1 to 65535")
	}
}

// validateHeaders finds names that are no header names, names given twice (they are case-insensitive), and headers that
// would break the mail.
func (c *Config) validateHeaders(f *fault.List) {
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case !validHeaderName(name):
			f.Addf("%q is no header name", name)
		case seen[canonical]:
			f.Addf("duplicate header %q: names are case-insensitive", canonical)
		case slices.Contains([]string{"Content-Type", "Content-Transfer-Encoding", "Mime-Version"}, canonical):
			f.In(name).Addf("the relay writes this header itself")
		case canonical == "Bcc":
			f.In(name).Warnf("is left out, because every recipient would see it: use the key bcc")
		}
		seen[canonical] = true
	}
}

// validHeaderName follows RFC 5322 §2.2: printable ASCII without the colon.
func validHeaderName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' })
}

func (c *Config) validateThreading(f *fault.List) {
	if by := c.Threading.ThreadByDate; by != threadByGroup && by != threadByDay {
		f.In("thread_by_date").Addf("must be either 'none' or 'daily'")
	}
}

// digest is a hash in hex, for names that must be stable and short.
func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
