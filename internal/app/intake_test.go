package app_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/sandbox"
)

func TestResolvedAlertsAreHeldBackWhereTheyAreNotWanted(t *testing.T) {
	t.Parallel()
	box, text := vendors(t)
	p := start(t, t.TempDir(), strings.Replace(text, "slack_configs: [{", "slack_configs: [{send_resolved: false, ", 1), nil)

	p.accept(t, "accepted", notification("HighLatency", firing("checkout"), firing("search")))
	await(t, box, sandbox.InboxSlack, 1)
	p.accept(t, "accepted", notification("HighLatency", resolved("checkout"), firing("search"), firing("cart")))
	shown := await(t, box, sandbox.InboxSlack, 2)
	require.Contains(t, shown, "cart is too slow")
	require.NotContains(t, shown, "checkout is too slow")
	p.accept(t, "accepted", notification("HighLatency", resolved("search"), resolved("cart")))
	await(t, box, sandbox.InboxWeCom, 3)
	p.stop()
	require.Equal(t, 2, box.Counts(sandbox.InboxSlack).Delivered)
}

func TestAnUnchangedPartIsNotToldAgain(t *testing.T) {
	t.Parallel()
	box, text := vendors(t)
	p := start(t, t.TempDir(), strings.Replace(text, "route: {receiver: ops}",
		`route: {receiver: ops, routes: [{receiver: other, matchers: ['alertname="search"']}]}`, 1)+"  - {name: other}\n", nil)
	p.accept(t, "accepted", notification("HighLatency", firing("checkout"), firing("search")))
	require.NotContains(t, await(t, box, sandbox.InboxWeCom, 1), "search is too slow")
	p.accept(t, "accepted", notification("HighLatency", firing("checkout"), resolved("search")))

	// A reminder tells everything again.
	reminder := notification("HighLatency", firing("checkout"))
	reminder.NotificationReason = relay.ReasonRepeat
	p.accept(t, "accepted", reminder)
	await(t, box, sandbox.InboxWeCom, 2)
	require.Equal(t, "0", p.metric(t, "relay_notifications_untold_total"))
}

func TestWhatNobodyTellsIsAcceptedAndSaid(t *testing.T) {
	t.Parallel()
	box, text := vendors(t)
	p := start(t, t.TempDir(), text+"  - {name: empty}\n", nil)
	code, answer := p.post(t, "/webhook/empty", notification("HighLatency", firing("checkout")))
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "accepted", answer["status"])
	require.Equal(t, "1", p.metric(t, "relay_notifications_untold_total"))
	require.Contains(t, p.logs.String(), "no integration is to tell it")
	p.stop()
	require.Zero(t, box.Counts("").Delivered)
}

// TestADestinationThatCannotBeComputed: a template that fails holds up no other destination, and what it held up itself
// is told once the template is mended.
func TestADestinationThatCannotBeComputed(t *testing.T) {
	t.Parallel()
	box, text := vendors(t)
	p := start(t, t.TempDir(), strings.Replace(text, "to: ops@example.org", `to: '{{ (index .Alerts 7).Labels.mail }}'`, 1), nil)
	p.accept(t, "accepted", notification("HighLatency", firing("checkout")))
	for _, inbox := range []string{sandbox.InboxDingTalk, sandbox.InboxWeCom, sandbox.InboxSlack} {
		await(t, box, inbox, 1)
	}
	require.Equal(t, "1", p.metric(t, `relay_destination_errors_total{integration="email",receiver="ops"}`))
	require.Eventually(t, func() bool { return p.metric(t, "relay_pending_notifications") == "1" }, wait, tick)

	p.configure(t, text)
	code, _ := p.do(t, http.MethodPost, "/-/reload", nil)
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, await(t, box, sandbox.InboxEmail, 1), "checkout is too slow")
}

func TestAStoreThatFailsIsAnswered503(t *testing.T) {
	t.Parallel()
	_, text := vendors(t)
	p := start(t, t.TempDir(), text, nil)
	require.NoError(t, p.CloseStore())
	for i := range 3 {
		code, answer := p.post(t, "/webhook", notification(strconv.Itoa(i), firing("checkout")))
		require.Equal(t, http.StatusServiceUnavailable, code, answer)
	}
}
