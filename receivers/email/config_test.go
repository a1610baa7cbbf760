package email_test

import (
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/receivers/email"
)

// pasted is an item of Alertmanager's email_configs with every key it has.
const pasted = `
send_resolved: true
to: 'ops@example.org, {{ .CommonLabels.mail }}'
from: relay@example.com
smarthost: mail.example.com:587
hello: relay.example.com
auth_username: relay
auth_password: hunter2
auth_secret_file: /run/secrets/cram
auth_identity: someone
require_tls: true
force_implicit_tls: false
tls_config: {insecure_skip_verify: true}
headers: {subject: '{{ .Status }}', Reply-To: oncall@example.org}
html: '{{ template "relay.email.html" . }}'
text: ''
threading: {enabled: true, thread_by_date: daily}
`

func TestAnItemOfAlertmanagerIsTakenAsItIs(t *testing.T) {
	t.Parallel()
	var c email.Config
	require.NoError(t, yaml.UnmarshalWithOptions([]byte(pasted), &c, yaml.Strict()))
	c.SetDefaults(email.Globals{SMTPFrom: "other@example.com", SMTPAuthPasswordFile: "/run/secrets/other"})
	f := fault.New()
	c.Validate(f)
	require.Empty(t, f.All())
	require.Equal(t, "relay@example.com", c.From)
	require.Equal(t, "hunter2", c.AuthPassword.Reveal())
	require.Empty(t, c.AuthPasswordFile, "the global file does not join a password of the item's own")
	require.Empty(t, *c.Text, "an empty text stays empty")
	require.Equal(t, "daily", c.Threading.ThreadByDate)
	_, err := email.New(c, env(t))
	require.NoError(t, err)
}

func TestGlobalKeysStandIn(t *testing.T) {
	t.Parallel()
	var g email.Globals
	require.NoError(t, yaml.UnmarshalWithOptions([]byte(`
smtp_smarthost: mail.example.com:465
smtp_from: relay@example.com
smtp_hello: relay.example.com
smtp_auth_username: relay
smtp_auth_password_file: /run/secrets/password
smtp_auth_secret: hunter2
smtp_auth_identity: someone
smtp_require_tls: false
smtp_tls_config: {server_name: mail.internal}
smtp_force_implicit_tls: true
`), &g, yaml.Strict()))
	c := email.Config{To: "ops@example.org"}
	c.SetDefaults(g)
	f := fault.New()
	c.Validate(f)
	require.Empty(t, f.All())
	require.Equal(t, "mail.example.com:465", c.Smarthost)
	require.Equal(t, "relay.example.com", c.Hello)
	require.EqualValues(t, "/run/secrets/password", c.AuthPasswordFile)
	require.Equal(t, "hunter2", c.AuthSecret.Reveal())
	require.False(t, *c.RequireTLS)
	require.True(t, *c.ForceImplicitTLS)
	require.Equal(t, "mail.internal", c.TLSConfig.ServerName)
}

func TestEveryFaultIsToldWithItsKey(t *testing.T) {
	t.Parallel()
	c := email.Config{
		To: "ops", From: "a@example.org, b@example.org", Smarthost: "mail.example.com", Hello: "two names",
		AuthPassword: secret.New("hunter2"), AuthPasswordFile: "x", AuthSecret: secret.New("hunter2"), AuthSecretFile: "x",
		Headers: map[string]string{"X-A": "", "x-a": "", "Bad Name": "", "content-type": "text/plain", "bcc": "x@example.org"},
		Cc:      "nobody", Bcc: "a@", AuthOAuth2: &email.OAuth2{
			TokenURL: "x", ClientSecret: secret.New("hunter2"), ClientSecretFile: "x", RefreshToken: secret.New("hunter2"), RefreshTokenFile: "x",
		},
		HTML: new(""), Text: new(""), Threading: email.Threading{ThreadByDate: "weekly"},
	}
	c.SetDefaults(email.Globals{})
	f := fault.New()
	c.Validate(f.In("email_configs").Item(0))
	got := map[string]bool{}
	for _, one := range f.All() {
		require.NotContains(t, one.Message, "hunter2")
		got[one.Path+": "+one.Message] = true
	}
	const item = "email_configs[0]"
	for _, want := range []string{
		item + ".to: no list of mail addresses: mail: missing '@' or angle-addr",
		item + ".from: must be exactly one address, not 2",
		item + ".smarthost: must be host:port",
		item + ".cc: no list of mail addresses: mail: missing '@' or angle-addr",
		item + ".bcc: no list of mail addresses: mail: missing '@' or angle-addr",
		item + ".auth_oauth2.token_url: must be the http or https URL that gives access tokens",
		item + ".auth_oauth2: client_id is required",
		item + ".auth_oauth2: at most one of client_secret & client_secret_file must be configured",
		item + ".auth_oauth2: at most one of refresh_token & refresh_token_file must be configured",
		item + ".auth_oauth2: needs auth_username: whose mailbox it is",
		item + ".hello: must be one host name",
		item + ": at most one of auth_password & auth_password_file must be configured",
		item + ": at most one of auth_secret & auth_secret_file must be configured",
		item + ": html and text are both empty: at least one must say something",
		item + `.headers: duplicate header "X-A": names are case-insensitive`,
		item + `.headers: "Bad Name" is no header name`,
		item + ".headers.content-type: the relay writes this header itself",
		item + ".threading.thread_by_date: must be either 'none' or 'daily'",
	} {
		require.Contains(t, got, want)
	}
	require.Len(t, got, 19, "and the warning about bcc")

	f = fault.New()
	empty := email.Config{}
	empty.SetDefaults(email.Globals{})
	empty.Validate(f)
	require.Len(t, f.All(), 3, "to, from, smarthost")
	f = fault.New()
	email.Globals{SMTPAuthPassword: secret.New("x"), SMTPAuthPasswordFile: "x", SMTPSmarthost: "mail:0"}.Validate(f)
	require.Len(t, f.All(), 2)
}

func TestTemplateErrorsNameTheirKey(t *testing.T) {
	t.Parallel()
	c := email.Config{
		To: "{{ a", From: "{{ b", HTML: new("{{ c"), Text: new("{{ d"),
		Headers: map[string]string{"Subject": "{{ e", "X-A": "{{ f"},
	}
	c.SetDefaults(email.Globals{SMTPSmarthost: "127.0.0.1:25"})
	_, err := email.New(c, env(t))
	f := fault.New()
	f.Add(err)
	var paths []string
	for _, one := range f.All() {
		paths = append(paths, one.Path)
	}
	require.ElementsMatch(t, []string{"to", "from", "html", "text", "headers.Subject", "headers.X-A"}, paths)
}

func TestIdentityDependsOnTheDestinationAlone(t *testing.T) {
	t.Parallel()
	a := build(t, email.Config{To: "a@example.org"})
	require.Equal(t, a.Name, build(t, email.Config{To: "a@example.org", Smarthost: "other:25", AuthUsername: "u"}).Name)
	require.NotEqual(t, a.Name, build(t, email.Config{To: "b@example.org"}).Name)
	require.Equal(t, "mine", func() string {
		c := email.Config{}
		c.Name = "mine"
		return build(t, c).Name
	}())
	require.Equal(t, a.Limiters, build(t, email.Config{To: "b@example.org"}).Limiters, "one server and user, one limiter")
	require.NotEqual(t, a.Limiters, build(t, email.Config{AuthUsername: "u"}).Limiters)
	require.Zero(t, a.Limit)
}
