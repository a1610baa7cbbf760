package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/alertrelay/relay/internal/sandbox"
)

const demoWelcome = `
  relay demo: one Alertmanager webhook, four inboxes.

  Look at it   %s
  Post to it   %s

  Ctrl-C ends it and shows how to use it for real.

`

// demoAfterword are the lines for real use. Both files are checked by a test.
const demoAfterword = `
Use it for real, in three steps.

1. config.yaml

` + demoRealConfig + `
2. alertmanager.yml: under receivers, and as the receiver of a route

` + demoAlertmanager + `
3. relay check-config config.yaml && relay --config.file=config.yaml

docs/tutorial/first-notification.md goes through it step by step.
`

const demoRealConfig = `   global:
     locale: en             # or zh-CN
   route:
     receiver: ops
   receivers:
     - name: ops
       dingtalk_configs:    # and wecom_configs, slack_configs, email_configs
         - url: https://oapi.dingtalk.com/robot/send?access_token=YOUR-TOKEN
           secret: YOUR-SECRET
`

const demoAlertmanager = `   receivers:
     - name: relay
       webhook_configs:
         - url: http://127.0.0.1:8060/webhook
`

// The secrets of the demo's vendors, which nobody else can reach.
const (
	demoToken    = "demo"
	demoSecret   = "SECdemo"
	demoPassword = "demo"
)

// demoConfig adds the demo's robots to the sandbox and is the configuration that sends to them: two chats in Chinese,
// a channel and a mailbox in English. Each of the story's three webhooks is a message of its own, however fast it is told;
// in the channel it is one message, which turns green, with its thread.
func demoConfig(sb *sandbox.Sandbox, zone *time.Location) []byte {
	dingtalk := sb.DingTalk.Add(sandbox.DingTalkRobot{
		Token: demoToken, Secret: demoSecret, Group: "直播业务值班群", Robot: "告警中继",
	})
	wecom := sb.WeCom.Add(sandbox.WeComRobot{Key: demoToken, Group: "API 值班群", Robot: "告警中继"})
	slack := sb.SlackAPI.Add(sandbox.SlackBot{Token: demoToken, App: "relay", Channels: []string{"ops-alerts"}, Burst: 5})
	return fmt.Appendf(nil, `
global:
  locale: zh-CN
  timezone: %q
snapshots:
  trace_url: "%s/jaeger/trace/{{ .TraceID }}"
route:
  receiver: ops
receivers:
  - name: ops
    dingtalk_configs:
      - url: %q
        secret: %s
        mention: {user_ids: [lin]}
        backlog: each
    wecom_configs:
      - url: %q
        backlog: each
    slack_configs:
      - app_url: %q
        app_token: %s
        channel: "#ops-alerts"
        backlog: each
        rate_limit: {messages: 5, per: 1s}
        locale: en
    email_configs:
      - to: ops@example.org
        from: Relay <relay@example.org>
        smarthost: %s
        backlog: each
        auth_username: relay
        auth_password: %s
        tls_config: {ca: %q}
        locale: en
`, zone, sb.Elsewhere(), dingtalk, demoSecret, wecom, slack, demoToken, sb.Mail.Addr(), demoPassword,
		strings.TrimSpace(string(sb.Mail.CA())))
}
