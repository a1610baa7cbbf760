package sandbox

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// words are the page's own texts in one language; what the inboxes show is in the relay's.
type words struct {
	Lang, Other, OtherName        string
	Title, Tagline                string
	DingTalk, WeCom, Mail         string
	Bot, App, Empty, To           string
	EmptyChat, EmptyMail          string
	Timeline, TimelineHint, Quiet string
	Waiting, Sent, Retrying       string
	Failed, Attempt               string
	Duplicate, SameAs             string
	Firing, Resolved              string
	Webhooks, Suppressed, Told    string
	Open, Failures                string
	Elsewhere, Back               string
	Systems                       map[string]string // what links lead to, by the first part of their path
}

// wordsFor takes the language from ?lang=, else from what the browser prefers.
func wordsFor(r *http.Request) words {
	lang := r.URL.Query().Get("lang")
	if lang == "" {
		lang = r.Header.Get("Accept-Language")
	}
	if strings.HasPrefix(strings.ToLower(lang), "zh") {
		return chinese()
	}
	return english()
}

func english() words {
	return words{
		Lang: "en", Other: "zh", OtherName: "中文",
		Title: "relay demo", Tagline: "One Alertmanager webhook, four inboxes",
		DingTalk: "DingTalk", WeCom: "WeCom", Mail: "Mail",
		Bot: "Bot", App: "APP", To: "to",
		EmptyChat: "Nothing yet. The first alert is on its way …", EmptyMail: "No mail yet",
		Timeline: "What the relay did", TimelineHint: "newest first", Quiet: "No webhook has come in yet.",
		Waiting: "waiting", Sent: "sent", Retrying: "retrying", Failed: "failed", Attempt: "attempt %d",
		Duplicate: "duplicate, suppressed", SameAs: "same state as %s, %s earlier: nobody is told twice",
		Firing: "firing", Resolved: "resolved",
		Webhooks: "webhooks in", Suppressed: "suppressed", Told: "messages out", Open: "waiting", Failures: "failed",
		Elsewhere: "In your installation this link opens", Back: "Back to the inboxes",
		Systems: map[string]string{
			"alertmanager": "Alertmanager", "prometheus": "Prometheus", "jaeger": "the trace, in Jaeger, Tempo or Zipkin",
			"runbooks": "your runbook",
		},
	}
}

func chinese() words {
	return words{
		Lang: "zh-CN", Other: "en", OtherName: "English",
		Title: "relay 演示", Tagline: "一个 Alertmanager webhook，四个收件箱",
		DingTalk: "钉钉", WeCom: "企业微信", Mail: "邮件",
		Bot: "机器人", App: "应用", To: "收件人",
		EmptyChat: "还没有消息，第一条告警马上就到……", EmptyMail: "还没有邮件",
		Timeline: "relay 做了什么", TimelineHint: "最新的在最前", Quiet: "还没有收到 webhook。",
		Waiting: "等待中", Sent: "已送达", Retrying: "重试中", Failed: "失败", Attempt: "第 %d 次尝试",
		Duplicate: "重复通知，已抑制", SameAs: "与 %s 的状态相同，仅隔 %s：不再重复打扰",
		Firing: "告警", Resolved: "已恢复",
		Webhooks: "次 webhook", Suppressed: "次重复已抑制", Told: "条消息已送达", Open: "条等待中", Failures: "条失败",
		Elsewhere: "在你的环境里，这个链接会打开", Back: "返回收件箱",
		Systems: map[string]string{
			"alertmanager": "Alertmanager", "prometheus": "Prometheus", "jaeger": "这条链路（Jaeger、Tempo 或 Zipkin）",
			"runbooks": "你的处理手册",
		},
	}
}

// headline says what came in.
func (w words) headline(e Event) string {
	if w.Lang == "en" {
		if e.Alerts == 1 {
			return "1 alert"
		}
		return fmt.Sprintf("%d alerts", e.Alerts)
	}
	return fmt.Sprintf("%d 条告警", e.Alerts)
}

// app is the vendor's name, in the page's language.
func (w words) app(inbox string) string {
	switch inbox {
	case InboxDingTalk:
		return w.DingTalk
	case InboxWeCom:
		return w.WeCom
	case InboxSlack:
		return "Slack"
	}
	return w.Mail
}

// StatusWord is firing or resolved in the page's language.
func (w words) StatusWord(status string) string {
	if status == "resolved" {
		return w.Resolved
	}
	return w.Firing
}

// ago prints how long before.
func (w words) ago(d time.Duration) string {
	unit := " s"
	if w.Lang != "en" {
		unit = " 秒"
	}
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f%s", d.Seconds(), unit)
	}
	return fmt.Sprintf("%.0f%s", d.Seconds(), unit)
}
