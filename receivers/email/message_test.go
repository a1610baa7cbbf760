package email_test

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/receivers/email"
	"github.com/alertrelay/relay/receivers/receiverstest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGolden: the mail of each notification, in each language.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, locale := range []string{relay.LocaleChinese, relay.LocaleEnglish} {
		for _, story := range receiverstest.Stories() {
			t.Run(story+"/"+locale, func(t *testing.T) {
				t.Parallel()
				testGolden(t, story+"."+locale, email.Config{Common: relay.Common{Locale: locale}}, receiverstest.Story(t, story))
			})
		}
	}
}

func TestCopiesAreAsRecorded(t *testing.T) {
	t.Parallel()
	d := receiverstest.Story(t, "firing")
	d.People = []relay.Person{{Name: "alice", Email: "alice@example.org"}}
	e := testGolden(t, "copies", email.Config{
		Cc: "Lead <lead@example.org>, ops@example.org", Bcc: "{{ .CommonLabels.team }}@example.org", Text: new(""),
	}, d)
	require.Equal(t, []string{"lead@example.org", "alice@example.org", "platform@example.org"}, e.To[2:], "each once")
	require.NotContains(t, e.Mail, "platform@example.org", "who gets a hidden copy stands nowhere")
}

// testGolden compares the mail of a delivery with testdata/<name>.golden.eml, or writes that.
func testGolden(t *testing.T, name string, c email.Config, d relay.Delivery) enveloped {
	t.Helper()
	c.To = "Ops <ops@example.org>, 值班 <oncall@example.org>"
	s := buildReal(t, c)
	var err error
	d.Destination, err = s.Destination(d.Notification())
	require.NoError(t, err)
	e := envelope(t, render(t, s, d))
	golden := filepath.Join("testdata", name+".golden.eml")
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(e.Mail), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), e.Mail)
	require.Equal(t, "relay@example.com", e.From)
	require.Equal(t, []string{"ops@example.org", "oncall@example.org"}, e.To[:2])
	require.Empty(t, parse(t, e.Mail).Header["Bcc"])
	return e
}

func TestMailHasOneFormForTextAndOneForHTML(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		html, text *string
		want       []string
	}{
		"both, the text first": {nil, nil, []string{"text/plain", "text/html"}},
		"text alone":           {new(""), nil, []string{"text/plain"}},
		"html alone":           {nil, new(""), []string{"text/html"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := build(t, email.Config{HTML: c.html, Text: c.text})
			m := render(t, s, delivery(t, s, notification(t, "firing")))
			var types []string
			for _, p := range parse(t, envelope(t, m).Mail).parts {
				types = append(types, p.mediaType)
				require.Contains(t, p.body, "firing")
			}
			require.Equal(t, c.want, types)
			require.NotEmpty(t, m.Text)
		})
	}
}

func TestHostileTextStaysOutOfHeadersAndEnvelope(t *testing.T) {
	t.Parallel()
	attack := "x\r\nBcc: victim@example.net\r\n\r\n<script>evil()</script>\u2028\x00 " + strings.Repeat("w", 3000)
	n := notification(t, "firing")
	n.CommonLabels["alertname"] = attack
	n.GroupLabels["alertname"] = attack
	n.GroupKey = attack
	n.Alerts[0].Labels["alertname"] = attack
	s := build(t, email.Config{
		From: `"{{ .CommonLabels.alertname }}" <relay@example.com>`,
		Headers: map[string]string{
			"X-Alert": "{{ .CommonLabels.alertname }}", "reply-to": "{{ .CommonLabels.alertname }}", "Subject": "s {{ .CommonLabels.alertname }}",
		},
	})
	d := delivery(t, s, n)
	_, err := s.Render(d)
	require.ErrorContains(t, err, "from", "a display name with a new line in it is no address")

	s = build(t, email.Config{Headers: map[string]string{
		"X-Alert": "{{ .CommonLabels.alertname }}", "reply-to": "{{ .CommonLabels.alertname }}", "Subject": "s {{ .CommonLabels.alertname }}",
	}})
	e := envelope(t, render(t, s, d))
	m := parse(t, e.Mail)
	require.Empty(t, m.Header["Bcc"])
	for name, values := range m.Header {
		require.Len(t, values, 1, name)
	}
	require.True(t, strings.HasPrefix(m.subject, "s x Bcc: victim@example.net"), m.subject)
	require.Contains(t, m.parts[1].body, "&lt;script&gt;")
	for line := range strings.SplitSeq(e.Mail, "\r\n") {
		require.LessOrEqual(t, len(line), 998)
		require.NotContains(t, line, "\n")
		require.NotContains(t, line, "\r")
	}
}

func TestRecipientsFromLabelsAreAddressesOrNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		label   string
		key     string
		address string
		wrong   bool
	}{
		"one":                     {label: "a@example.org", key: "a@example.org", address: "<a@example.org>"},
		"several, in any order":   {label: "b@example.org, A@example.org", key: "a@example.org,b@example.org", address: "<b@example.org>, <A@example.org>"},
		"with names":              {label: `"Doe, J." <j@example.org>`, key: "j@example.org", address: `"Doe, J." <j@example.org>`},
		"empty list items":        {label: "a@example.org,", key: "a@example.org", address: "<a@example.org>"},
		"new line and a header":   {label: "a@example.org\r\nBcc: b@example.org", wrong: true},
		"new line and a command":  {label: "a@example.org>\r\nRCPT TO:<b@example.org", wrong: true},
		"angle brackets":          {label: "a@example.org> <b@example.org", wrong: true},
		"encoded new line":        {label: "=?utf-8?q?x=0D=0ABcc=3A_b?= <a@example.org>", key: "a@example.org", address: `"x Bcc: b" <a@example.org>`},
		"quoted local part, NUL":  {label: "\"a\x00\"@example.org", wrong: true},
		"nothing":                 {label: "", wrong: true},
		"a word":                  {label: "ops", wrong: true},
		"a group without members": {label: "undisclosed-recipients:;", wrong: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := notification(t, "firing")
			n.CommonLabels["mail"] = c.label
			got, err := build(t, email.Config{To: "{{ .CommonLabels.mail }}"}).Destination(n)
			if c.wrong {
				require.ErrorContains(t, err, "to: ")
				return
			}
			require.NoError(t, err)
			require.Equal(t, relay.Destination{Key: c.key, Address: c.address}, got)
		})
	}
}

func TestConfiguredHeadersReplaceOurs(t *testing.T) {
	t.Parallel()
	s := build(t, email.Config{Headers: map[string]string{
		"subject":    "{{ .CommonLabels.alertname }} 告警",
		"to":         "undisclosed-recipients:;",
		"FROM":       "On call <oncall@example.org>",
		"message-id": "<mine@example.org>",
		"X-Empty":    "{{ .CommonLabels.nothing }}",
		"X-Team":     "{{ .CommonLabels.alertname }}",
	}})
	n := notification(t, "firing")
	e := envelope(t, render(t, s, delivery(t, s, n)))
	m := parse(t, e.Mail)
	require.Equal(t, n.CommonLabels["alertname"]+" 告警", m.subject)
	require.Equal(t, []string{"undisclosed-recipients:;"}, m.Header["To"])
	require.Equal(t, `"On call" <oncall@example.org>`, m.Get("From"))
	require.Equal(t, []string{"<mine@example.org>"}, m.Header["Message-Id"])
	require.NotContains(t, m.Header, "X-Empty")
	require.Equal(t, n.CommonLabels["alertname"], m.Get("X-Team"))
	require.Equal(t, "relay@example.com", e.From, "the envelope keeps the configured sender")
	require.Equal(t, []string{"ops@example.org"}, e.To)
}

func TestPeopleGetACopy(t *testing.T) {
	t.Parallel()
	s := build(t, email.Config{To: "ops@example.org"})
	d := delivery(t, s, notification(t, "firing"))
	d.People = []relay.Person{
		{Name: "alice", Email: "alice@example.org"},
		{Name: "bob", Mobile: "138"},
		{Name: "ops", Email: "OPS@example.org"},
		{Email: "carol@example.org"},
	}
	e := envelope(t, render(t, s, d))
	require.Equal(t, []string{"ops@example.org", "alice@example.org", "carol@example.org"}, e.To)
	m := parse(t, e.Mail)
	require.Equal(t, `"alice" <alice@example.org>, <carol@example.org>`, m.Get("Cc"))
	require.Equal(t, "<ops@example.org>", m.Get("To"))
}

func TestARetryHasTheSameMessageID(t *testing.T) {
	t.Parallel()
	s := build(t, email.Config{})
	d := delivery(t, s, notification(t, "firing"))
	first := parse(t, envelope(t, render(t, s, d)).Mail)
	d.Now = d.Now.Add(time.Hour)
	again := parse(t, envelope(t, render(t, s, d)).Mail)
	require.Equal(t, first.Header["Message-Id"], again.Header["Message-Id"])
	require.NotEqual(t, first.Header["Date"], again.Header["Date"])
	d.ID = "01JD4Q6R8T"
	other := parse(t, envelope(t, render(t, s, d)).Mail)
	require.NotEqual(t, first.Header["Message-Id"], other.Header["Message-Id"])
}

func TestMailsOfOneGroupAreOneThread(t *testing.T) {
	t.Parallel()
	root := func(c email.Config, group string, hours int) []string {
		s := build(t, c)
		n := notification(t, "firing")
		n.GroupKey = group
		d := delivery(t, s, n)
		d.Now = now.Add(time.Duration(hours) * time.Hour)
		m := parse(t, envelope(t, render(t, s, d)).Mail)
		require.Equal(t, m.Header["References"], m.Header["In-Reply-To"])
		return m.Header["References"]
	}
	daily := email.Config{Threading: email.Threading{ThreadByDate: "daily"}}
	first := root(email.Config{}, "a", 0)
	require.Regexp(t, `^<alert-[0-9a-f]{16}@example\.com>$`, first[0])
	require.Equal(t, first, root(email.Config{}, "a", 48))
	require.NotEqual(t, first, root(email.Config{}, "b", 0))
	require.Equal(t, root(daily, "a", 0), root(daily, "a", 1))
	require.NotEqual(t, root(daily, "a", 0), root(daily, "a", 24))
	require.Empty(t, root(email.Config{Threading: email.Threading{Enabled: new(false)}}, "a", 0))
}

// The day of a daily thread is the readers', not that of the machine.
func TestADaysThreadBeginsAtTheReadersMidnight(t *testing.T) {
	t.Parallel()
	root := func(zone *time.Location, at time.Time) string {
		e := env(t)
		e.Zone = zone
		c := email.Config{To: "ops@example.org", Threading: email.Threading{ThreadByDate: "daily"}}
		c.SetDefaults(email.Globals{SMTPFrom: "relay@example.com", SMTPSmarthost: "127.0.0.1:25"})
		s, err := email.New(c, e)
		require.NoError(t, err)
		d := delivery(t, s, notification(t, "firing"))
		d.Now = at
		return parse(t, envelope(t, render(t, s, d)).Mail).Get("References")
	}
	beijing := time.FixedZone("CST", 8*3600)
	evening := time.Date(2026, 11, 20, 23, 59, 0, 0, beijing)
	require.Contains(t, root(beijing, evening.UTC()), "-2026-11-20@")
	require.Contains(t, root(beijing, evening.Add(2*time.Minute).UTC()), "-2026-11-21@")
	require.Contains(t, root(nil, evening.Add(2*time.Minute)), "-2026-11-20@", "UTC, where nothing is said")
}

func TestAVeryLargeMailTellsTheRestInLines(t *testing.T) {
	t.Parallel()
	n := notification(t, "firing")
	alert := n.Alerts[0]
	n.Alerts = nil
	for i := range 5000 {
		a := alert
		a.Labels = template.KV{"alertname": "Down", "instance": "host-" + strconv.Itoa(i)}
		a.Annotations = template.KV{"summary": strings.Repeat("s", 2000)}
		n.Alerts = append(n.Alerts, a)
	}
	s := build(t, email.Config{})
	m := render(t, s, delivery(t, s, n))
	mail := parse(t, envelope(t, m).Mail)
	require.Len(t, mail.parts, 2)
	require.NotZero(t, m.Omitted)
	for _, p := range mail.parts {
		require.Contains(t, p.body, "Down host-0 ", "told in full")
		require.Contains(t, p.body, "~ Down host-200\r\n", "told in a line")
		require.Contains(t, p.body, "and "+strconv.Itoa(m.Omitted)+" more", "counted")
		require.Less(t, len(p.body), 150<<10)
	}
	require.True(t, strings.HasSuffix(mail.parts[1].body, "</pre>\r\n</body></html>"), "inside the html document")
}

func TestPlainNeedsNoTemplateOfAUser(t *testing.T) {
	t.Parallel()
	s := build(t, email.Config{
		Text:    new("{{ index .Alerts 99 }}"),
		Headers: map[string]string{"X-Broken": "{{ index .Alerts 99 }}"},
	})
	d := delivery(t, s, notification(t, "firing"))
	_, err := s.Render(d)
	require.Error(t, err)
	d.Plain = true
	m := render(t, s, d)
	require.NotEmpty(t, m.Fallback)
	mail := parse(t, envelope(t, m).Mail)
	require.Contains(t, mail.subject, "plain: ")
	require.Len(t, mail.parts, 1)
	require.Equal(t, "text/plain", mail.parts[0].mediaType)
	require.Equal(t, "auto-generated", mail.Get("Auto-Submitted"))
}

func TestSeveralNotificationsAreAllTold(t *testing.T) {
	t.Parallel()
	s := build(t, email.Config{})
	d := delivery(t, s, notification(t, "firing"))
	d.Tellings = append(d.Tellings, relay.Telling{Notification: notification(t, "mixed")})
	mail := parse(t, envelope(t, render(t, s, d)).Mail)
	require.NotEmpty(t, mail.subject)
	for _, telling := range d.Tellings {
		for _, a := range telling.Notification.Alerts {
			require.Contains(t, mail.parts[0].body, "~ "+a.Labels["alertname"]+" "+a.Labels["instance"])
		}
	}
}

// enveloped is the body of a message.
type enveloped struct {
	From string   `json:"from"`
	To   []string `json:"to"`
	Mail string   `json:"mail"`
}

// envelope reads the body of a message.
func envelope(tb testing.TB, m relay.Message) enveloped {
	tb.Helper()
	var e enveloped
	require.NoError(tb, json.Unmarshal(m.Body, &e))
	return e
}

// parsed is a mail as a reader's program sees it.
type parsed struct {
	mail.Header
	subject string
	parts   []part
}

type part struct{ mediaType, body string }

// parse reads a mail with the standard library, which the sender does not use for writing it.
func parse(tb testing.TB, raw string) parsed {
	tb.Helper()
	m, err := mail.ReadMessage(strings.NewReader(raw))
	require.NoError(tb, err)
	subject, err := (&mime.WordDecoder{}).DecodeHeader(m.Header.Get("Subject"))
	require.NoError(tb, err)
	p := parsed{Header: m.Header, subject: subject}
	mediaType, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	require.NoError(tb, err)
	if mediaType != "multipart/alternative" {
		require.Equal(tb, "quoted-printable", m.Header.Get("Content-Transfer-Encoding"))
		body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		require.NoError(tb, err)
		p.parts = []part{{mediaType, string(body)}}
		return p
	}
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		next, err := r.NextPart() // decodes quoted-printable
		if errors.Is(err, io.EOF) {
			return p
		}
		require.NoError(tb, err)
		body, err := io.ReadAll(next)
		require.NoError(tb, err)
		mediaType, params, err := mime.ParseMediaType(next.Header.Get("Content-Type"))
		require.NoError(tb, err)
		require.Equal(tb, "UTF-8", params["charset"])
		p.parts = append(p.parts, part{mediaType, string(body)})
	}
}
