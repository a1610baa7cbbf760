package email_test

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/receivers/email"
	"github.com/alertrelay/relay/receivers/receiverstest"
	"github.com/alertrelay/relay/templates"
)

// now is the time of every delivery in these tests.
var now = time.Date(2026, 11, 20, 9, 30, 0, 0, time.FixedZone("CST", 8*3600))

// notification reads a recorded webhook.
func notification(tb testing.TB, name string) *relay.Notification {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	require.NoError(tb, err)
	var n relay.Notification
	require.NoError(tb, json.Unmarshal(b, &n))
	return &n
}

// build makes an integration from an item of email_configs with defaults filled in.
func build(tb testing.TB, c email.Config) relay.Setup {
	tb.Helper()
	if c.To == "" {
		c.To = "ops@example.org"
	}
	c.SetDefaults(email.Globals{SMTPFrom: "relay@example.com", SMTPSmarthost: "127.0.0.1:25"})
	setup, err := email.New(c, env(tb))
	require.NoError(tb, err)
	return setup
}

// buildReal is build with the real templates.
func buildReal(tb testing.TB, c email.Config) relay.Setup {
	tb.Helper()
	set, err := templates.New(templates.Config{Locale: "en", Timezone: "Asia/Shanghai", Timeout: time.Minute})
	require.NoError(tb, err)
	c.To = cmp.Or(c.To, "ops@example.org")
	c.SetDefaults(email.Globals{SMTPFrom: "relay@example.com", SMTPSmarthost: "127.0.0.1:25"})
	e := env(tb)
	e.Templates = set
	setup, err := email.New(c, e)
	require.NoError(tb, err)
	return setup
}

// recorded is the delivery of a recorded notification.
func recorded(t *testing.T, s relay.Setup, payload string) relay.Delivery {
	t.Helper()
	d := receiverstest.Delivery(t, payload)
	var err error
	d.Destination, err = s.Destination(d.Notification())
	require.NoError(t, err)
	return d
}

// delivery is what the outbox would hand over for n.
func delivery(tb testing.TB, s relay.Setup, n *relay.Notification) relay.Delivery {
	tb.Helper()
	to, err := s.Destination(n)
	require.NoError(tb, err)
	return relay.Delivery{
		ID: "01JD4Q6R8S", Destination: to, Now: now, Tellings: []relay.Telling{{Notification: n, Since: now}},
	}
}

// render makes the one mail of a delivery.
func render(tb testing.TB, s relay.Setup, d relay.Delivery) relay.Message {
	tb.Helper()
	messages, err := s.Render(d)
	require.NoError(tb, err)
	require.Len(tb, messages, 1)
	return messages[0]
}
