package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/sandbox"
)

// A hundred groups at once go through robots of 20 messages a window, whose vendors ban for ten minutes whoever sends more:
// all are shown within the second window, none is refused.
func TestAStormIsToldInDigests(t *testing.T) {
	t.Parallel()
	limit := sandbox.Limit{Messages: 20, Per: 2 * time.Second, Ban: 10 * time.Minute} // a minute shortened
	box, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, box.Close())
		http.DefaultClient.CloseIdleConnections()
	})
	p := start(t, t.TempDir(), fmt.Sprintf(`
global: {locale: en}
route: {receiver: ops}
receivers:
  - name: ops
    dingtalk_configs: [{name: robot, url: %q, secret: %q, rate_limit: {messages: 20, per: 2s}, timeout: 1h}]
    wecom_configs: [{name: robot, url: %q, rate_limit: {messages: 20, per: 2s}, timeout: 1h}]
`,
		box.DingTalk.Add(sandbox.DingTalkRobot{
			Token: "ding-token", Group: "Ops", Robot: "relay", Secret: dingtalkSecret, Limit: limit,
		}), dingtalkSecret,
		box.WeCom.Add(sandbox.WeComRobot{Key: "wecom-key", Group: "Ops", Robot: "relay", Limit: limit})), nil)
	all := make(chan struct{}) // however long it takes to post them, they wait at once
	box.DingTalk.Break("", sandbox.FaultHang(all))
	box.WeCom.Break("", sandbox.FaultHang(all))
	const groups = 100
	for n := range groups {
		p.accept(t, "accepted", notification(fmt.Sprintf("g%03d", n), firing(fmt.Sprintf("Alert%03d", n))))
	}
	close(all)
	for _, inbox := range []string{sandbox.InboxDingTalk, sandbox.InboxWeCom} {
		require.Eventually(t, func() bool {
			var told strings.Builder
			for _, m := range box.Inbox(inbox) {
				told.WriteString(said(m))
			}
			for n := range groups {
				if !strings.Contains(told.String(), fmt.Sprintf("Alert%03d is too slow", n)) {
					return false
				}
			}
			return true
		}, wait, tick, inbox)
		require.Less(t, len(box.Inbox(inbox)), groups/2)
		require.Len(t, box.Requests(inbox), len(box.Inbox(inbox)), "none was refused")
	}
	for _, robot := range []string{"dingtalk", "wecom"} {
		digested := fmt.Sprintf(`relay_notifications_digested_total{integration=%q,receiver="ops"}`, robot)
		// It is counted once it is settled.
		require.Eventually(t, func() bool { return p.metric(t, digested) != "0" }, wait, tick, robot)
	}
}
