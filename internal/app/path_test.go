package app_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/app"
	"github.com/alertrelay/relay/internal/sandbox"
)

// TestFourInboxes follows one alert group from the first firing to the end.
func TestFourInboxes(t *testing.T) {
	t.Parallel()
	box, text := vendors(t)
	p := start(t, t.TempDir(), text, nil)

	first := p.accept(t, "accepted", notification("HighLatency", firing("checkout")))
	for _, inbox := range inboxes() {
		shown := await(t, box, inbox, 1)
		require.Contains(t, shown, "checkout is too slow", inbox)
		require.Contains(t, shown, "http://jaeger:16686/trace/4bf92f3577b34da6a3ce929d0e0e4736", inbox)
		require.Contains(t, shown, "10086", inbox)
		require.Contains(t, shown, "MicroMessenger/8.0.50", inbox)
	}

	// The second Alertmanager of a pair posts the same with another external URL.
	again := notification("HighLatency", firing("checkout"))
	again.ExternalURL = "http://other.example.org:9093"
	require.Equal(t, first, p.accept(t, "duplicate", again))

	p.accept(t, "accepted", notification("HighLatency", firing("checkout"), firing("search")))
	for _, inbox := range inboxes() {
		require.Contains(t, await(t, box, inbox, 2), "search is too slow", inbox)
	}

	// The alert that ended says nothing of its request any more; the relay still knows.
	over := resolved("checkout")
	delete(over.Annotations, "trace_id")
	delete(over.Annotations, "room_id")
	p.accept(t, "accepted", notification("HighLatency", over, resolved("search")))
	for _, inbox := range inboxes() {
		shown := await(t, box, inbox, 3)
		require.Contains(t, strings.ToLower(shown), "resolved", inbox)
		require.Contains(t, shown, "4bf92f3577b34da6a3ce929d0e0e4736", inbox)
		require.Contains(t, shown, "10086", inbox)
	}

	require.Equal(t, "1", p.metric(t, "relay_notifications_deduplicated_total"))
	require.Eventually(t, func() bool { // it is counted once it is settled
		return p.metric(t, `relay_notification_latency_seconds_count{integration="slack",receiver="ops"}`) == "3"
	}, wait, tick)
	p.stop()
	require.Equal(t, 12, box.Counts("").Delivered)
	for _, secret := range []string{"ding-token", "wecom-key", "slack-token", dingtalkSecret} {
		require.NotContains(t, p.logs.String(), secret)
	}
}

func TestOneVendorHangsWhileTheOthersDeliver(t *testing.T) {
	t.Parallel()
	box, text := vendors(t)
	p := start(t, t.TempDir(), text, nil)
	release := make(chan struct{})
	box.DingTalk.Break("", sandbox.FaultHang(release))

	const groups = 40 // more than dingtalk's max_in_flight
	for i := range groups {
		p.accept(t, "accepted", notification(string(rune('A'+i)), firing("checkout")))
	}
	for _, inbox := range inboxes()[1:] {
		await(t, box, inbox, groups)
	}
	require.Zero(t, box.Counts(sandbox.InboxDingTalk).Delivered)

	box.DingTalk.Repair("")
	close(release)
	await(t, box, sandbox.InboxDingTalk, groups)
}

func TestReloadKeepsTheOldConfigurationWhenTheNewOneIsBad(t *testing.T) {
	t.Parallel()
	box, text := vendors(t)
	hangups := make(chan os.Signal)
	p := start(t, t.TempDir(), text, func(o *app.Options) { o.Reloads = hangups })
	require.Equal(t, "1", p.metric(t, "relay_config_last_reload_successful"))
	hash := p.metric(t, "relay_config_hash")

	p.configure(t, strings.ReplaceAll(text, "slack_configs", "slak_configs"))
	code, answer := p.do(t, http.MethodPost, "/-/reload", nil)
	require.Equal(t, http.StatusInternalServerError, code)
	require.Contains(t, string(answer), "slak_configs")
	require.Equal(t, "0", p.metric(t, "relay_config_last_reload_successful"))
	require.Equal(t, hash, p.metric(t, "relay_config_hash"))
	p.accept(t, "accepted", notification("HighLatency", firing("checkout")))
	await(t, box, sandbox.InboxSlack, 1)

	p.configure(t, strings.ReplaceAll(text, `"{{ template`, `"`)+"  - {name: second}\n")
	hangups <- os.Interrupt
	require.Eventually(t, func() bool { return p.metric(t, "relay_config_hash") != hash }, wait, tick)
	require.Equal(t, "1", p.metric(t, "relay_config_last_reload_successful"))
	code, _ = p.post(t, "/webhook/second", notification("HighLatency", firing("checkout")))
	require.Equal(t, http.StatusOK, code, "a receiver without integrations records")
	code, _ = p.post(t, "/webhook/third", notification("HighLatency", firing("checkout")))
	require.Equal(t, http.StatusNotFound, code)
	p.stop()
	require.NotContains(t, p.logs.String(), "slack-token")
}

func TestReloadTriesAtOnceWhatAPersonHasMended(t *testing.T) {
	t.Parallel()
	box, text := vendors(t)
	wrong := strings.Replace(text, dingtalkSecret, "SEC-of-another-robot", 1)
	p := start(t, t.TempDir(), wrong, nil)
	misconfigured := func() string {
		return p.metric(t, `relay_integration_misconfigured{integration="dingtalk",receiver="ops"}`)
	}
	p.accept(t, "accepted", notification("HighLatency", firing("checkout")))
	require.Eventually(t, func() bool { return misconfigured() == "1" }, wait, tick)
	require.Empty(t, box.Inbox(sandbox.InboxDingTalk))

	p.configure(t, text)
	code, answer := p.do(t, http.MethodPost, "/-/reload", nil)
	require.Equal(t, http.StatusOK, code, string(answer))
	require.Contains(t, await(t, box, sandbox.InboxDingTalk, 1), "checkout")
	require.Equal(t, "0", misconfigured())
}

func TestAutoReload(t *testing.T) {
	t.Parallel()
	_, text := vendors(t)
	p := start(t, t.TempDir(), text, func(o *app.Options) { o.AutoReload = tick })
	hash := p.metric(t, "relay_config_hash")
	p.configure(t, text+"  - {name: second}\n")
	require.Eventually(t, func() bool { return p.metric(t, "relay_config_hash") != hash }, wait, tick)
	p.configure(t, "nonsense")
	require.Eventually(t, func() bool { return p.metric(t, "relay_config_last_reload_successful") == "0" }, wait, tick)
	p.configure(t, text)
	require.Eventually(t, func() bool { return p.metric(t, "relay_config_last_reload_successful") == "1" }, wait, tick)
	require.Equal(t, hash, p.metric(t, "relay_config_hash"))
}

func TestRestartGoesOnWithWhatIsPending(t *testing.T) {
	t.Parallel()
	box, text := vendors(t)
	storage := t.TempDir()
	p := start(t, storage, text, nil)
	box.Slack.Break("", sandbox.FaultStatus(http.StatusBadGateway))
	p.accept(t, "accepted", notification("HighLatency", firing("checkout")))
	for _, inbox := range []string{sandbox.InboxDingTalk, sandbox.InboxWeCom, sandbox.InboxEmail} {
		await(t, box, inbox, 1)
	}
	p.stop()
	require.Zero(t, box.Counts(sandbox.InboxSlack).Delivered)

	box.Slack.Repair("")
	p = start(t, storage, text, nil)
	await(t, box, sandbox.InboxSlack, 1)
	p.accept(t, "duplicate", notification("HighLatency", firing("checkout")))
	p.stop()
	require.Equal(t, 4, box.Counts("").Delivered, "nothing is told twice")
}

func TestLateWebhooksAreAnswered503(t *testing.T) {
	t.Parallel()
	box, text := vendors(t)
	p := start(t, t.TempDir(), text, nil)
	release := make(chan struct{})
	box.Slack.Break("", sandbox.FaultHang(release))
	p.accept(t, "accepted", notification("HighLatency", firing("checkout")))
	require.Eventually(t, func() bool { return p.metric(t, "relay_sends_in_flight") == "1" }, wait, tick)

	stopped := make(chan struct{})
	go func() { defer close(stopped); p.stop() }()
	require.Eventually(t, func() bool { return p.Ready() != nil }, wait, tick)
	code, _ := p.post(t, "/webhook", notification("Late", firing("checkout")))
	require.Equal(t, http.StatusServiceUnavailable, code)
	code, _ = p.do(t, http.MethodGet, "/-/ready", nil)
	require.Equal(t, http.StatusServiceUnavailable, code)
	code, _ = p.do(t, http.MethodGet, "/-/healthy", nil)
	require.Equal(t, http.StatusOK, code)
	close(release)
	<-stopped
	require.Equal(t, 1, box.Counts(sandbox.InboxSlack).Delivered, "a send under way may end")
}

func TestThePublicListenerHasHealthOnly(t *testing.T) {
	t.Parallel()
	web := filepath.Join(t.TempDir(), "web.yaml")
	// The password is "secret".
	require.NoError(t, os.WriteFile(web, []byte(`
basic_auth_users: {alertmanager: $2y$04$d1HLfRROMGYeVPvVI0VWWOcOIWvWlZv0L1O/zqRyGw9KmuOKAPK9u}
`), 0o600))
	_, text := vendors(t)
	p := start(t, t.TempDir(), text, func(o *app.Options) {
		o.ListenAddresses = []string{"127.0.0.1:0", "127.0.0.1:0"}
		o.WebConfigFile = web
		o.PublicListenAddress = "127.0.0.1:0"
	})
	for _, address := range p.Addresses()[:2] {
		p.url = "http://" + address
		code, _ := p.do(t, http.MethodGet, "/-/healthy", nil)
		require.Equal(t, http.StatusUnauthorized, code)
	}
	p.url = "http://" + p.Addresses()[2]
	code, _ := p.do(t, http.MethodGet, "/-/ready", nil)
	require.Equal(t, http.StatusOK, code)
	for _, path := range []string{"/metrics", "/webhook", "/-/reload"} {
		code, _ = p.do(t, http.MethodPost, path, []byte("{}"))
		require.Equal(t, http.StatusNotFound, code, path)
	}
}

// TestWhatFiresAgainIsToldWhereResolvedIsNot: Prometheus may let an alert fire again with its old start.
func TestWhatFiresAgainIsToldWhereResolvedIsNot(t *testing.T) {
	t.Parallel()
	box, text := vendors(t)
	p := start(t, t.TempDir(), strings.Replace(text, `channel: "#ops"`, `channel: "#ops", send_resolved: false`, 1), nil)
	p.accept(t, "accepted", notification("HighLatency", firing("checkout")))
	await(t, box, sandbox.InboxSlack, 1)
	p.accept(t, "accepted", notification("HighLatency", resolved("checkout")))
	await(t, box, sandbox.InboxEmail, 2)
	p.accept(t, "accepted", notification("HighLatency", firing("checkout")))
	require.Contains(t, await(t, box, sandbox.InboxSlack, 2), "checkout is too slow")
	await(t, box, sandbox.InboxEmail, 3)
	require.Len(t, box.Inbox(sandbox.InboxSlack), 2)
}
