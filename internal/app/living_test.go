package app_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/sandbox"
)

// applications are those of DingTalk and WeCom, and a configuration that sends cards through both.
func applications(t *testing.T) (*sandbox.Sandbox, string) {
	t.Helper()
	box, _ := vendors(t)
	dingtalk := box.DingTalk.AddApp(sandbox.DingTalkApp{
		Key: "dingkey1", Secret: "ding-app-secret", RobotCode: "dingkey1", Robot: "relay",
		Groups: map[string]string{"cid1": "Ops"}, Templates: []string{"alert.schema"}, Limit: sandbox.NoLimit(),
	})
	wecom := box.WeCom.AddApp(sandbox.WeComApp{CorpID: "ww1", AgentID: 7, Secret: "wecom-app-secret", Name: "relay"})
	return box, fmt.Sprintf(`
global: {locale: en, dingtalk_openapi_url: %q, wecom_api_url: %q}
route: {receiver: ops}
receivers:
  - name: ops
    dingtalk_configs:
      - {app_key: dingkey1, app_secret: ding-app-secret, conversation_id: cid1, message_type: card, card_template_id: alert.schema, timeout: 1m}
    wecom_configs:
      - {corp_id: ww1, agent_id: "7", secret: wecom-app-secret, to_user: alice, message_type: template_card, timeout: 1m}
`, dingtalk, wecom)
}

// TestTheQueueIsKeptWhileTokensCannotBeFetched: nothing is lost, the log says it once, and the metrics show it.
func TestTheQueueIsKeptWhileTokensCannotBeFetched(t *testing.T) {
	t.Parallel()
	box, text := applications(t)
	box.WeCom.Break(sandbox.AccountToken, sandbox.FaultStatus(503))
	p := start(t, t.TempDir(), text, nil)
	for _, group := range []string{"A", "B", "C"} {
		p.accept(t, "accepted", notification(group, firing("checkout")))
	}
	await(t, box, sandbox.InboxDingTalk, 3)
	require.Eventually(t, func() bool { return strings.Contains(p.logs.String(), "No access token can be fetched") }, wait, tick)
	require.Equal(t, 1, strings.Count(p.logs.String(), "No access token can be fetched"))
	require.Eventually(t, func() bool {
		return p.metric(t, "relay_pending_notifications") == "3" &&
			p.metric(t, `relay_notifications_failed_total{integration="wecom",reason="transient",receiver="ops"}`) != "0"
	}, wait, tick)
	require.Empty(t, box.Inbox(sandbox.InboxWeCom))
	failed, all := p.tokens(t, "wecom")
	require.NotEqual(t, "0", failed)
	require.Equal(t, all, failed)
	failed, all = p.tokens(t, "dingtalk")
	require.Equal(t, "0", failed)
	require.Equal(t, "1", all)
	p.stop()
	require.Equal(t, 1, strings.Count(p.logs.String(), "level=WARN"), "one line, not one for each attempt")
	require.NotContains(t, p.logs.String(), "level=ERROR")
}

// tokens are the counters of the token endpoint of a vendor's only application: those that failed, and all.
func (p *process) tokens(t *testing.T, vendor string) (failed, all string) {
	t.Helper()
	_, text := p.do(t, http.MethodGet, "/metrics", nil)
	value := func(name string) string {
		found := regexp.MustCompile(name + `{limiter="` + vendor + `/[0-9a-f]+"} (\d+)`).FindSubmatch(text)
		require.NotNil(t, found, name)
		return string(found[1])
	}
	return value("relay_access_token_requests_failed_total"), value("relay_access_token_requests_total")
}

// TestAnHourWithoutTokens: all is kept, the endpoint is left alone most of the time, and what waited is told when there are
// tokens again.
func TestAnHourWithoutTokens(t *testing.T) {
	t.Parallel()
	box, text := applications(t)
	box.WeCom.Break(sandbox.AccountToken, sandbox.FaultStatus(503))
	synctest.Test(t, func(t *testing.T) {
		v := startVirtual(t, box, text)
		pending := func() int {
			synctest.Wait()
			stats, err := v.store.Stats(t.Context())
			require.NoError(t, err)
			require.Zero(t, stats.Dead)
			return stats.Pending
		}
		groups := []string{"A", "B", "C"}
		for _, group := range groups {
			v.accept(t, notification(group, firing("checkout")))
		}
		time.Sleep(time.Hour)
		require.Equal(t, len(groups), pending(), "what WeCom is to be told")
		require.Len(t, box.Inbox(sandbox.InboxDingTalk), len(groups))
		require.Empty(t, box.Inbox(sandbox.InboxWeCom))
		require.Zero(t, box.WeCom.Issued())

		box.WeCom.Repair(sandbox.AccountToken)
		time.Sleep(10 * time.Minute)
		require.Zero(t, pending())
		require.Len(t, box.Inbox(sandbox.InboxWeCom), len(groups), "each is told, once")
		require.Equal(t, 1, box.WeCom.Issued())
	})
}

// TestABanOutlivesTheProcess: DingTalk refuses a robot for ten minutes, whoever asks. A new process does not even try.
func TestABanOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	box, text := vendors(t)
	storage := t.TempDir()
	box.DingTalk.Inject("ding-token", sandbox.FaultAnswer(200, "application/json",
		`{"errcode":130101,"errmsg":"send too fast, exceed 20 times per minute"}`))
	p := start(t, storage, text, nil)
	p.accept(t, "accepted", notification("A", firing("checkout")))
	require.Eventually(t, func() bool { return strings.Contains(p.logs.String(), "reason=rate_limited") }, wait, tick)
	p.stop()

	p = start(t, storage, text, nil)
	p.accept(t, "accepted", notification("B", firing("checkout")))
	for _, inbox := range inboxes()[1:] {
		await(t, box, inbox, 2)
	}
	p.stop()
	require.Len(t, box.Requests(sandbox.InboxDingTalk), 1, "the ban is respected")
}
