package soak_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/sandbox"
	"github.com/alertrelay/relay/internal/soak"
)

// What the relay is told about sending, and what the vendors enforce.
const (
	robotCalls  = 20 // in any window of robotWindow
	robotWindow = time.Second
	mailCalls   = 200
	inFlight    = 8
	sendTimeout = 3 * time.Second
	eachTeam    = 1 // gets a mail for each notification
)

// vendors are the four vendors of all teams, as unreliable as the seed makes them, and what was seen of them.
type vendors struct {
	box    *sandbox.Sandbox
	plan   plan
	random *rand.Rand
	never  chan struct{} // what hangs waits for this

	seenMessage, seenRequest map[string]int // the newest sequence number read of each inbox
	messages                 map[string]int // read of each inbox
	tellings                 []seen
	calls                    []soak.Call
	asked                    map[string]int // requests of each account
	prepared                 map[string]int // faults queued for each account, harmless ones among them
	mailFaults, mailFaulted  int
	calm                     bool
}

// seen is a telling with its place among all of them.
type seen struct {
	soak.Telling

	seq int
}

// kept is how many messages of an inbox the sandbox keeps until they are read.
const kept = 1500

func startVendors(t *testing.T, p plan) *vendors {
	t.Helper()
	box, err := sandbox.Start(sandbox.Options{Keep: kept})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, box.Close()) })
	return &vendors{
		box: box, plan: p, random: rand.New(rand.NewPCG(p.seed, 0)), never: make(chan struct{}),
		seenMessage: map[string]int{}, seenRequest: map[string]int{}, messages: map[string]int{},
		asked: map[string]int{}, prepared: map[string]int{},
	}
}

// config is what the relay is to be told: a receiver for each team, with all four vendors.
func (v *vendors) config() string {
	var routes, receivers strings.Builder
	limit := sandbox.Limit{Messages: robotCalls, Per: robotWindow, Ban: time.Second}
	common := fmt.Sprintf("timeout: %s, max_in_flight: %d, rate_limit: {messages: %d, per: %s}",
		sendTimeout, inFlight, robotCalls, robotWindow)
	for team := range v.plan.teams {
		name := fmt.Sprint("team-", team)
		fmt.Fprintf(&routes, "    - {matchers: ['team=\"%d\"'], receiver: %s}\n", team, name)
		fmt.Fprintf(&receivers, `  - name: %[1]s
    dingtalk_configs: [{url: %[2]q, secret: SECsoak, %[5]s}]
    wecom_configs: [{url: %[3]q, %[5]s}]
    slack_configs: [{api_url: %[4]q, channel: "#%[1]s", %[5]s}]
    email_configs: [{to: %[1]s@example.org, backlog: %[10]s, timeout: %[6]s, max_in_flight: %[7]d, rate_limit: {messages: %[8]d, per: %[9]s}}]
`, name,
			v.box.DingTalk.Add(sandbox.DingTalkRobot{Token: name, Secret: "SECsoak", Limit: limit}),
			v.box.WeCom.Add(sandbox.WeComRobot{Key: name, Limit: limit}),
			v.box.Slack.Add(sandbox.SlackHook{
				Team: "T", Bot: name, Token: "x", Channel: name, Burst: robotCalls,
				Limit: sandbox.Limit{Messages: robotCalls, Per: robotWindow},
			}),
			common, sendTimeout, inFlight, mailCalls, robotWindow, map[bool]string{true: "each", false: "merge"}[team == eachTeam])
	}
	return fmt.Sprintf(`
global: {locale: en, timezone: UTC, smtp_smarthost: %q, smtp_from: relay@example.org, smtp_require_tls: false}
dedupe: {window: %s}
route:
  receiver: team-0
  routes:
%sreceivers:
%s`, v.box.Mail.Addr(), window, routes.String(), receivers.String())
}

// destinations are those of a group.
func (v *vendors) destinations(group int) []string {
	name := fmt.Sprint("team-", v.plan.team(group))
	return []string{
		sandbox.InboxDingTalk + "/" + name, sandbox.InboxWeCom + "/" + name, sandbox.InboxSlack + "/T/" + name,
		sandbox.InboxEmail + "/" + name + "@example.org",
	}
}

// each tells which destinations are not to be told several notifications at once.
func (v *vendors) each(destination string) bool {
	return destination == fmt.Sprintf("%s/team-%d@example.org", sandbox.InboxEmail, eachTeam)
}

// destination is that of an integration, which has the team and the type in its name.
func (v *vendors) destination(integration string) string {
	team, rest, _ := strings.Cut(integration, "/")
	inbox, _, _ := strings.Cut(rest, "/")
	return map[string]string{
		sandbox.InboxDingTalk: "dingtalk/" + team, sandbox.InboxWeCom: "wecom/" + team,
		sandbox.InboxSlack: "slack/T/" + team, sandbox.InboxEmail: "email/" + team + "@example.org",
	}[inbox]
}

// limits are what the relay was told to keep.
func (v *vendors) limits() map[string]soak.Limit {
	limits := map[string]soak.Limit{sandbox.InboxEmail + "/relay@example.org": {Calls: mailCalls, Per: robotWindow}}
	for group := range v.plan.teams {
		for _, destination := range v.destinations(group)[:3] {
			limits[destination] = soak.Limit{Calls: robotCalls, Per: robotWindow}
		}
	}
	return limits
}

// watch reads what arrives and sees to it that there are always faults to come, until ctx ends.
func (v *vendors) watch(ctx context.Context) {
	for ctx.Err() == nil {
		v.read()
		if !v.calm {
			v.disturb()
		}
		pause(ctx, 50*time.Millisecond)
	}
}

// read takes what has come since the last time.
func (v *vendors) read() {
	for _, inbox := range []string{sandbox.InboxDingTalk, sandbox.InboxWeCom, sandbox.InboxSlack, sandbox.InboxEmail} {
		messages, requests := v.box.Inbox(inbox), v.box.Requests(inbox)
		faults := map[int]string{}
		for _, r := range requests {
			faults[r.Seq] = r.Fault
			if r.Seq > v.seenRequest[inbox] {
				v.seenRequest[inbox] = r.Seq
				v.call(r)
			}
		}
		for _, m := range messages {
			if m.Seq > v.seenMessage[inbox] && m.Seq <= v.seenRequest[inbox] {
				v.seenMessage[inbox] = m.Seq
				v.messages[inbox]++
				v.tellings = append(v.tellings, seen{telling(m, faults[m.Seq]), m.Seq})
			}
		}
	}
}

func (v *vendors) call(r sandbox.Request) {
	account := r.Inbox + "/" + r.Account
	v.asked[account]++
	if r.Verdict.Text == "the caller has gone" {
		return
	}
	if r.Inbox == sandbox.InboxEmail && r.Fault != "" {
		v.mailFaulted++
	}
	tooMany := r.Fault == "" && (r.Verdict.Code == 130101 || r.Verdict.Code == 45009 || r.Verdict.Code == 429)
	rest := time.Duration(0)
	if r.Verdict.Text == restAnswer {
		rest = time.Minute
	}
	v.calls = append(v.calls, soak.Call{At: r.At, Limiter: account, TooMany: tooMany, Rest: rest})
}

var (
	part    = regexp.MustCompile(`\((\d+)/\d+\)|Part (\d+) of \d+`)
	counted = regexp.MustCompile(`and (\d+) more:|\+(\d+) more alerts`)
)

// telling reads a message as its reader does.
func telling(m sandbox.Message, fault string) soak.Telling {
	text := m.Title + "\n" + m.Text
	destination := m.Inbox + "/" + m.Account
	if m.Mail != nil {
		destination = m.Inbox + "/" + m.Group
	}
	return soak.Telling{
		At: m.At, Destination: destination, Limiter: m.Inbox + "/" + m.Account, Marks: soak.Marks(text),
		Part: number(part, text), Counted: number(counted, text),
		AnswerLost: slices.Contains([]string{"deliver_then_close", "truncate", "drip", "store_then_drop", "store_then_hang"}, fault),
	}
}

// number is the first number that the pattern finds; 0 when it finds nothing.
func number(pattern *regexp.Regexp, text string) int {
	found := pattern.FindStringSubmatch(text)
	if found == nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.Join(found[1:], ""))
	return n
}

// disturb queues faults for every account, and most of the time none.
func (v *vendors) disturb() {
	for team := range v.plan.teams {
		name := fmt.Sprint("team-", team)
		v.prepare(sandbox.InboxDingTalk+"/"+name, name, v.box.DingTalk.Inject, v.dingtalkFault)
		v.prepare(sandbox.InboxWeCom+"/"+name, name, v.box.WeCom.Inject, v.wecomFault)
		v.prepare(sandbox.InboxSlack+"/T/"+name, "T/"+name, v.box.Slack.Inject, v.slackFault)
	}
	if v.mailFaults-v.mailFaulted < 3 && v.random.IntN(4) == 0 {
		v.mailFaults++
		v.box.Mail.Inject(v.mailFault())
	}
}

const (
	ahead     = 500 // requests for which it is settled how they fail
	oneFaulty = 10  // of so many requests one fails, and sometimes some in a row
)

// prepare settles what becomes of the next requests of an account.
func (v *vendors) prepare(account, key string, inject func(string, ...sandbox.Fault), next func(roll int) sandbox.Fault) {
	if v.prepared[account]-v.asked[account] > ahead {
		return
	}
	faults := make([]sandbox.Fault, ahead)
	for i := 0; i < len(faults); i++ {
		if v.random.IntN(oneFaulty) > 0 {
			continue
		}
		row := 1
		if v.random.IntN(10) == 0 {
			row = 5
		}
		roll := v.random.IntN(faultKinds)
		for ; row > 0 && i < len(faults); row-- {
			faults[i] = next(roll)
			i++
		}
	}
	if v.plan.rests && v.prepared[account] == 0 && strings.HasPrefix(account, sandbox.InboxWeCom) {
		faults[ahead-1] = sandbox.FaultAnswer(200, "application/json", restAnswer)
	}
	v.prepared[account] += len(faults)
	inject(key, faults...)
}

// The rolls of the dice: the vendors share most of what may happen. A message that is refused, and whose plain form is
// refused as well, is a dead letter.
const (
	faultKinds = 12
	refused    = 11
)

func (v *vendors) commonFault(roll int) sandbox.Fault {
	switch roll {
	case 0:
		return sandbox.FaultStatus(500)
	case 1:
		return sandbox.FaultStatus(503)
	case 2:
		return sandbox.FaultClose()
	case 3:
		return sandbox.FaultDeliverThenClose()
	case 4:
		return sandbox.FaultTruncate()
	case 5:
		return sandbox.FaultDelay(upTo(v.random, 500*time.Millisecond))
	case 6:
		return sandbox.FaultDrip(5 * time.Millisecond)
	case 7:
		return sandbox.FaultAnswer(200, "text/html", "<html><body>Please log in</body></html>")
	case 8:
		if v.random.IntN(5) == 0 {
			return sandbox.FaultHang(v.never)
		}
	}
	return sandbox.FaultDelay(50 * time.Millisecond)
}

func (v *vendors) dingtalkFault(roll int) sandbox.Fault {
	switch roll {
	case 9, 10:
		return sandbox.FaultDingTalkBusy()
	case refused:
		return sandbox.FaultAnswer(200, "application/json", `{"errcode":40035,"errmsg":"缺少参数 json"}`)
	}
	return v.commonFault(roll)
}

// restAnswer asks for a minute of silence.
const restAnswer = `{"errcode":45009,"errmsg":"api freq out of limit"}`

func (v *vendors) wecomFault(roll int) sandbox.Fault {
	switch roll {
	case 9, 10:
		return sandbox.FaultAnswer(200, "application/json", `{"errcode":-1,"errmsg":"system busy"}`)
	case refused:
		return sandbox.FaultAnswer(200, "application/json", `{"errcode":40058,"errmsg":"invalid Request Parameter"}`)
	}
	return v.commonFault(roll)
}

func (v *vendors) slackFault(roll int) sandbox.Fault {
	switch roll {
	case 9:
		return sandbox.FaultAnswer(429, "application/json", `{"retry_after":1,"ok":false,"error":"rate_limited"}`)
	case 10:
		return sandbox.FaultAnswer(200, "text/html", "internal_error")
	case refused:
		return sandbox.FaultAnswer(400, "text/html", "invalid_payload")
	}
	return v.commonFault(roll)
}

func (v *vendors) mailFault() sandbox.MailFault {
	busy := sandbox.MailReply{Code: 451, Enhanced: [3]int{4, 3, 0}, Text: "Try again later"}
	switch v.random.IntN(7) {
	case 0:
		return sandbox.MailFault{Greeting: &sandbox.MailReply{Code: 421, Text: "4.3.2 Service not available"}}
	case 1:
		return sandbox.MailFault{MailFrom: &busy}
	case 2:
		return sandbox.MailFault{Data: &busy}
	case 3:
		return sandbox.MailFault{DropInData: true}
	case 4:
		return sandbox.MailFault{StoreThenDrop: true}
	case 5:
		return sandbox.MailFault{Data: &sandbox.MailReply{Code: 554, Enhanced: [3]int{5, 6, 0}, Text: "Message refused"}}
	default:
		return sandbox.MailFault{StoreThenHang: v.never}
	}
}

// soothe ends all faults.
func (v *vendors) soothe() {
	v.calm = true
	for team := range v.plan.teams {
		name := fmt.Sprint("team-", team)
		v.box.DingTalk.Repair(name)
		v.box.WeCom.Repair(name)
		v.box.Slack.Repair("T/" + name)
	}
}

// all returns what was told, in the order in which it was, once nothing is left unread.
func (v *vendors) all(t *testing.T) []soak.Telling {
	t.Helper()
	v.read()
	for inbox, n := range v.messages {
		require.Equal(t, v.box.Counts(inbox).Delivered, n, "messages of %s read", inbox)
	}
	slices.SortFunc(v.tellings, func(a, b seen) int { return a.seq - b.seq })
	tellings := make([]soak.Telling, len(v.tellings))
	for i, s := range v.tellings {
		tellings[i] = s.Telling
	}
	return tellings
}

// A watcher runs watch beside the test.
type watcher struct {
	stop context.CancelFunc
	done sync.WaitGroup
}

func (v *vendors) start(ctx context.Context) *watcher {
	ctx, stop := context.WithCancel(ctx)
	w := &watcher{stop: stop}
	w.done.Go(func() { v.watch(ctx) })
	return w
}

func (w *watcher) end() {
	w.stop()
	w.done.Wait()
}
