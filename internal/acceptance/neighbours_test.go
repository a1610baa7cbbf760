package acceptance_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/sandbox"
)

// many is more than one vendor may have under way, and more than there are workers.
const many = 100

// troubles are what can be wrong with a destination for good.
func troubles() []string { return []string{"hangs", "refuses", "breaks"} }

// TestTroubleStaysAtHome: of sixteen destinations, three at each vendor are in trouble from the first message on. The
// fourth gets everything meanwhile, and what the three were to get waits.
func TestTroubleStaysAtHome(t *testing.T) {
	t.Parallel()
	relay := startTroubled(t)
	for i := range many {
		require.Equal(t, http.StatusOK, relay.post(t, notification(fmt.Sprint("Neighbour", i), alert(i, "all the same"))))
	}
	for _, inbox := range inboxes() {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		messages, err := relay.vendors.Await(ctx, inbox, many)
		cancel()
		require.NoErrorf(t, err, inbox)
		require.Lenf(t, messages, many, inbox)
		for _, m := range messages {
			require.Contains(t, m.Account+m.Group, "well", inbox)
		}
	}
	waiting := strconv.Itoa(many * len(inboxes()) * len(troubles()))
	parts.WaitFor(t, "what was told to be settled", func() error {
		if pending := metric(t, relay.url, "relay_pending_notifications"); pending != waiting {
			return fmt.Errorf("%s pending instead of %s", pending, waiting)
		}
		return nil
	})
}

// startTroubled starts a relay with four destinations without limits at each vendor, one of them well.
func startTroubled(t *testing.T) *relayProcess {
	t.Helper()
	vendors := startVendors(t)
	var configs [4]strings.Builder
	add := func(account, smarthost string) {
		fmt.Fprintf(&configs[0], "      - {url: %q, rate_limit: {messages: 0}}\n",
			vendors.DingTalk.Add(sandbox.DingTalkRobot{Token: account, Limit: sandbox.NoLimit()}))
		fmt.Fprintf(&configs[1], "      - {url: %q, rate_limit: {messages: 0}}\n",
			vendors.WeCom.Add(sandbox.WeComRobot{Key: account, Limit: sandbox.NoLimit()}))
		fmt.Fprintf(&configs[2], "      - {api_url: %q, channel: %s, rate_limit: {messages: 0}}\n",
			vendors.Slack.Add(sandbox.SlackHook{Team: "T", Bot: account, Token: "x", Limit: sandbox.NoLimit()}), account)
		fmt.Fprintf(&configs[3], "      - {to: %s@example.org, smarthost: %q}\n", account, smarthost)
	}
	add("well", vendors.Mail.Addr())
	for _, trouble := range troubles() {
		fault := map[string]sandbox.Fault{
			"hangs":   sandbox.FaultHang(make(chan struct{})),
			"refuses": sandbox.FaultAnswer(http.StatusOK, "application/json", `{"errcode":-1,"errmsg":"busy"}`),
			"breaks":  sandbox.FaultClose(),
		}[trouble]
		vendors.DingTalk.Break(trouble, fault)
		vendors.WeCom.Break(trouble, fault)
		vendors.Slack.Break("T/"+trouble, fault)
		add(trouble, troubledMail(t, trouble))
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `
global: {locale: en, smtp_from: relay@example.org, smtp_require_tls: false}
route: {receiver: ops}
receivers:
  - name: ops
    dingtalk_configs:
%s    wecom_configs:
%s    slack_configs:
%s    email_configs:
%s`, configs[0].String(), configs[1].String(), configs[2].String(), configs[3].String()), 0o600))
	addr := parts.FreeAddress(t)
	r := &relayProcess{url: "http://" + addr, vendors: vendors, args: []string{
		"--config.file=" + file, "--storage.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + addr,
		"--log.level=error",
	}}
	r.start(t)
	return r
}

func startVendors(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	vendors, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, vendors.Close()) })
	return vendors
}

// troubledMail is the address of a mail server in trouble.
func troubledMail(t *testing.T, trouble string) string {
	t.Helper()
	switch trouble {
	case "hangs": // connections are made, and nobody says a word
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { l.Close() })
		return l.Addr().String()
	case "refuses":
		vendors := startVendors(t)
		refusals := make([]sandbox.MailFault, 100*many)
		for i := range refusals {
			refusals[i].MailFrom = &sandbox.MailReply{Code: 451, Enhanced: [3]int{4, 3, 0}, Text: "Try again later"}
		}
		vendors.Mail.Inject(refusals...)
		return vendors.Mail.Addr()
	default: // nobody listens
		return parts.FreeAddress(t)
	}
}
