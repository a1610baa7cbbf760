package config_test

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/receivers"
	"github.com/alertrelay/relay/templates"
)

// items are the least that an item of each type says. A URL stands where the vendor is.
func items() map[string]string {
	return map[string]string{
		"dingtalk": `url: "URL/robot/send?access_token=x"`,
		"wecom":    `url: "URL/cgi-bin/webhook/send?key=x"`,
		"slack":    `api_url: "URL/services/T/B/x"`,
		"wechat":   `corp_id: c, agent_id: "1", api_secret: x, to_user: a`,
		"email":    `to: a@example.org, from: b@example.org, smarthost: "localhost:25"`,
	}
}

// item builds the only integration of a configuration: of a type, with keys beside its own.
func item(t *testing.T, kind, url, receiver, keys string) relay.Setup {
	t.Helper()
	least, ok := items()[kind]
	if !ok {
		t.Skipf("say in items() what the least of a %s item is", kind)
	}
	text := fmt.Sprintf("global: {timezone: UTC, locale: en}\nroute: {receiver: ops}\nreceivers: [{name: ops, %s %s_configs: [{%s, %s}]}]",
		receiver, kind, strings.ReplaceAll(least, "URL", url), keys)
	c, err := config.Parse("config.yaml", []byte(text))
	require.NoError(t, err, text)
	set, err := templates.New(templates.Config{Locale: c.Global.Locale, Timezone: c.Global.Timezone})
	require.NoError(t, err)
	setups, err := c.Setups(relay.Env{Templates: set, HTTPClient: http.DefaultClient, Now: time.Now})
	require.NoError(t, err)
	require.Len(t, setups, 1)
	return setups[0]
}

const vendor = "https://vendor.example.org"

// TestSharedKeys: each key that every integration has does on each type what it says.
func TestSharedKeys(t *testing.T) {
	t.Parallel()
	for _, kind := range receivers.Types() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			plain := item(t, kind, vendor, "", "")
			require.True(t, plain.SendResolved)
			require.Equal(t, relay.BacklogMerge, plain.Backlog)
			require.Positive(t, plain.Timeout)
			require.Positive(t, plain.MaxInFlight)
			require.NotEmpty(t, plain.Name)

			s := item(t, kind, vendor, "", `name: mine, send_resolved: false, backlog: each, timeout: 7s, max_in_flight: 3, `+
				`rate_limit: {messages: 5, per: 10s}`)
			require.Equal(t, relay.IntegrationID("ops/"+kind+"/mine"), s.ID)
			require.False(t, s.SendResolved)
			require.Equal(t, relay.BacklogEach, s.Backlog)
			require.Equal(t, 7*time.Second, s.Timeout)
			require.Equal(t, 3, s.MaxInFlight)
			require.Equal(t, relay.Limit{Messages: 5, Per: 10 * time.Second}, s.Limit)
			require.Equal(t, relay.Limit{Messages: 5, Per: time.Minute},
				item(t, kind, vendor, "", `rate_limit: {messages: 5}`).Limit, "of a minute by default")
			require.Zero(t, item(t, kind, vendor, "", `rate_limit: {messages: 0}`).Limit.Messages, "no limit")

			require.Contains(t, said(t, plain), "firing")
			require.Contains(t, said(t, plain), "08:00 UTC")
			require.Contains(t, said(t, item(t, kind, vendor, "", "locale: zh-CN")), "告警")
			require.Contains(t, said(t, item(t, kind, vendor, "locale: zh-CN,", "")), "告警", "from the receiver")
			require.Contains(t, said(t, item(t, kind, vendor, "", "timezone: Asia/Shanghai")), "16:00 CST")
			require.Contains(t, said(t, item(t, kind, vendor, "timezone: Asia/Shanghai,", "")), "16:00 CST", "from the receiver")
			require.Contains(t, said(t, item(t, kind, vendor, "timezone: Asia/Shanghai,", "timezone: America/New_York")), "03:00 EST")

			if kind == "wechat" {
				return // an application sends to those it names, and mentions nobody
			}
			require.Empty(t, plain.Concerned(&relay.Delivery{Tellings: []relay.Telling{{Notification: about()}}}))
			s = item(t, kind, vendor, "", "mention: {labels: [owner]}")
			n := about()
			n.Alerts[0].Labels["owner"] = "13800000000"
			alice := relay.Person{Mobile: "13800000000"}
			require.Equal(t, []relay.Person{alice}, s.Concerned(&relay.Delivery{Tellings: []relay.Telling{{Notification: n}}}))
		})
	}
}

func about() *relay.Notification {
	a := relay.Alert{}
	a.Status, a.Labels, a.Fingerprint = relay.StatusFiring, template.KV{"alertname": "Lag"}, "1"
	a.StartsAt = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	n := &relay.Notification{Alerts: relay.Alerts{a}, GroupKey: "g", Version: "4"}
	n.Status, n.GroupLabels = relay.StatusFiring, template.KV{"alertname": "Lag"}
	return n
}

// said renders about().
func said(t *testing.T, s relay.Setup) string {
	t.Helper()
	n := about()
	to, err := s.Destination(n)
	require.NoError(t, err)
	messages, err := s.Render(relay.Delivery{
		ID: "d", Destination: to, Now: n.Alerts[0].StartsAt.Add(time.Minute), Tellings: []relay.Telling{{Notification: n}},
	})
	require.NoError(t, err)
	require.Len(t, messages, 1)
	return messages[0].Text
}

// TestSharedHTTPConfig: each type that speaks HTTP takes a proxy and a certificate authority of its own.
func TestSharedHTTPConfig(t *testing.T) {
	t.Parallel()
	for _, kind := range receivers.Types() {
		if !strings.Contains(items()[kind], "URL") {
			continue
		}
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			asked := make(chan string, 1)
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked <- r.Host
				w.WriteHeader(http.StatusTeapot)
			}))
			t.Cleanup(proxy.Close)
			s := item(t, kind, "http://vendor.example.org", "", fmt.Sprintf("http_config: {proxy_url: %q}", proxy.URL))
			_ = send(t, s)
			require.Equal(t, "vendor.example.org", <-asked)

			taken := make(chan string, 1)
			vendor := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				taken <- string(body)
			}))
			vendor.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
			vendor.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
			vendor.StartTLS()
			t.Cleanup(vendor.Close)
			ca := filepath.Join(t.TempDir(), "ca.pem")
			certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: vendor.Certificate().Raw})
			require.NoError(t, os.WriteFile(ca, certificate, 0o600))
			require.Error(t, send(t, item(t, kind, vendor.URL, "", "")), "nobody vouches for it")
			_ = send(t, item(t, kind, vendor.URL, "", fmt.Sprintf("http_config: {tls_config: {ca_file: %q}}", ca)))
			require.Contains(t, <-taken, "Lag")
		})
	}
}

func send(t *testing.T, s relay.Setup) error {
	t.Helper()
	messages, err := s.Render(relay.Delivery{
		ID: "d", Now: time.Now(), Tellings: []relay.Telling{{Notification: about()}},
	})
	require.NoError(t, err)
	messages[0].Limiter = s.Limiters[0]
	_, err = s.Send(t.Context(), messages[0])
	return err
}
