package email_test

import (
	"io"
	"mime"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/receivers/email"
	"github.com/alertrelay/relay/receivers/receiverstest"
	"github.com/alertrelay/relay/templates"
)

func TestContract(t *testing.T) {
	t.Parallel()
	set, err := templates.New(templates.Config{Locale: "zh-CN", Timezone: "Asia/Shanghai"})
	require.NoError(t, err)
	receiverstest.Run(t, receiverstest.Suite{
		New: func(t *testing.T, env relay.Env, target string) relay.Setup {
			t.Helper()
			c := email.Config{
				Common: relay.Common{MaxParts: receiverstest.MaxParts},
				To:     "ops@example.org, 值班 <oncall@example.org>", From: "relay@example.com",
				Smarthost: target, RequireTLS: new(false),
				AuthUsername: "relay", AuthPassword: secret.New("hunter2"),
			}
			c.SetDefaults(email.Globals{})
			setup, err := email.New(c, env)
			require.NoError(t, err)
			return setup
		},
		Vendor: func(t *testing.T) string {
			t.Helper()
			return serve(t, &server{mechanisms: []string{"PLAIN"}, user: "relay", password: "hunter2"}, nil, false).address
		},
		Faults:    replies(),
		Hang:      hang,
		Secrets:   []string{"hunter2", "AHJlbGF5AGh1bnRlcjI="},
		Check:     check,
		Templates: set,
	})
}

// replies are a few ways to fail; TestReplyCodesHaveTheirKinds has all.
func replies() []receiverstest.Fault {
	const auth = "250-mail.test|250 AUTH PLAIN"
	var faults []receiverstest.Fault
	for name, f := range map[string]struct {
		script []string
		kind   relay.Kind
	}{
		"closing":        {[]string{"421 closing"}, relay.Transient},
		"wrong password": {[]string{"220 hi", auth, "535 no: AHJlbGF5AGh1bnRlcjI= is hunter2", "501 ok", "221 bye"}, relay.Misconfigured},
		"busy":           {[]string{"220 hi", auth, "454 later, hunter2", "501 ok", "221 bye"}, relay.Transient},
		"no recipient":   {[]string{"220 hi", auth, "235 ok", "250 ok", "550 no", "550 no"}, relay.Refused},
		"spam":           {[]string{"220 hi", auth, "235 ok", "250 ok", "250 ok", "250 ok", "354 go", "554 spam"}, relay.Refused},
	} {
		faults = append(faults, receiverstest.Fault{
			Name:   name,
			Vendor: func(t *testing.T) string { t.Helper(); return script(t, f.script...) },
			Kind:   f.kind,
		})
	}
	return faults
}

// hang takes connections and never says a word.
func hang(t *testing.T, arrived func()) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			arrived()
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

// check fails for a mail that a server may refuse or a reader's program take for something else.
func check(t *testing.T, m relay.Message) {
	t.Helper()
	e := envelope(t, m)
	require.Equal(t, []string{"ops@example.org", "oncall@example.org"}, e.To)
	mail := parse(t, e.Mail)
	for name, values := range mail.Header {
		require.Len(t, values, 1, name)
	}
	require.NotEmpty(t, mail.subject)
	for name := range mail.Header {
		value, err := new(mime.WordDecoder).DecodeHeader(mail.Get(name))
		require.NoError(t, err, name)
		receiverstest.RequireTame(t, value)
	}
	require.Empty(t, mail.Get("Bcc"))
	require.NotEmpty(t, m.Text)
	require.Less(t, len(e.Mail), 1<<20)
	for line := range strings.SplitSeq(e.Mail, "\r\n") {
		require.LessOrEqual(t, len(line), 998)
		require.NotContains(t, line, "\n")
		require.NotContains(t, line, "\r")
	}
	for _, p := range mail.parts {
		require.NotEmpty(t, p.body)
		receiverstest.RequireTame(t, strings.ReplaceAll(p.body, "\r\n", "\n"))
		require.NotContains(t, p.body, "<@")
		if p.mediaType == "text/html" {
			require.NotRegexp(t, `(href|src)="?(https?://evil|javascript:|data:)`, p.body)
			require.NotContains(t, p.body, "onclick=\"x")
			require.NotContains(t, p.body, "<script")
			require.NotContains(t, p.body, "<b>bold")
		}
	}
}
