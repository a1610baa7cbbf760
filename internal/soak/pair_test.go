package soak_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alertrelay/relay/internal/soak"
)

// Alertmanager's times, scaled down: a copy of the second node comes up to 15 s later, retries begin after half a second,
// a flush is given up after its group_interval.
const (
	copyWithin   = 1500 * time.Millisecond
	firstPause   = 100 * time.Millisecond
	longestPause = 2 * time.Second
	flushTimeout = 4 * time.Second
	window       = 5 * time.Second
)

// refusedState is added to the state of a body that can never be accepted.
const refusedState = 1_000_000

// reasonReminder is how Alertmanager says that a notification is one.
const reasonReminder = "repeat interval elapsed"

// A pair plays two Alertmanagers of one cluster. Each group lives its own life on the first node, which posts as
// Alertmanager does: one notification of a group at a time, again after 5xx and broken connections, with the alerts of
// the moment once a flush took too long. While the nodes cannot hear each other the second node posts its copies, later.
type pair struct {
	urls    []string // of the relays; each post goes to any of them
	plan    plan
	client  *http.Client
	started time.Time

	accepted atomic.Int64
	mu       sync.Mutex
	attempts []soak.Attempt
}

func newPair(p plan, urls ...string) *pair {
	return &pair{urls: urls, plan: p, started: time.Now(), client: &http.Client{
		Timeout:   flushTimeout,
		Transport: &http.Transport{MaxIdleConnsPerHost: p.groups},
	}}
}

// run posts until as many notifications as planned are accepted.
func (p *pair) run(ctx context.Context) {
	defer p.client.CloseIdleConnections()
	var groups sync.WaitGroup
	for number := range p.plan.groups {
		groups.Go(func() { p.live(ctx, number+1) })
	}
	groups.Wait()
}

// live is the life of one group.
func (p *pair) live(ctx context.Context, number int) {
	random := rand.New(rand.NewPCG(p.plan.seed, uint64(number)))
	copies := make(chan notification, 1000)
	var second sync.WaitGroup
	second.Go(func() { p.repeat(ctx, copies, rand.New(rand.NewPCG(p.plan.seed, uint64(number)<<32))) })
	defer second.Wait()
	defer close(copies)

	g := &group{number: number, alerts: make([]alert, 1+random.IntN(6))}
	deaf := 0 // notifications for which the nodes do not hear each other
	for p.accepted.Load() < int64(p.plan.accepted) && ctx.Err() == nil {
		pause(ctx, p.gap(random))
		n, after := g.next(random)
		pause(ctx, after)
		if random.IntN(100) == 0 {
			p.post(ctx, n.refusable(), 1)
		}
		if deaf--; deaf < -10 && random.IntN(5) == 0 {
			deaf = 1 + random.IntN(5)
		}
		if deaf > 0 || p.plan.deaf {
			n.due = time.Now().Add(upTo(random, copyWithin))
			copies <- n
		}
		if p.flush(ctx, n, 1, random) {
			g.delivered()
		}
	}
}

// gap is how long nothing happens in a group: sometimes nearly nothing, as when everything breaks at once.
func (p *pair) gap(random *rand.Rand) time.Duration {
	if random.IntN(8) == 0 {
		return upTo(random, 10*time.Millisecond)
	}
	return time.Duration(random.ExpFloat64() * float64(p.plan.gap))
}

// repeat posts the copies of the second node.
func (p *pair) repeat(ctx context.Context, copies <-chan notification, random *rand.Rand) {
	for n := range copies {
		pause(ctx, time.Until(n.due))
		p.flush(ctx, n, 2, random)
	}
}

// flush posts one notification until it is answered, or takes too long, and tells whether it was taken.
func (p *pair) flush(ctx context.Context, n notification, node int, random *rand.Rand) bool {
	deadline := time.Now().Add(flushTimeout)
	wait := firstPause
	for time.Now().Before(deadline) && ctx.Err() == nil {
		switch p.post(ctx, n, node) {
		case soak.Accepted, soak.Duplicate:
			return true
		case soak.Refused:
			return false
		case soak.Unknown:
		}
		pause(ctx, wait/2+upTo(random, wait))
		wait = min(longestPause, wait*3/2)
	}
	return false
}

// post makes one attempt and notes it.
func (p *pair) post(ctx context.Context, n notification, node int) soak.Verdict {
	a := soak.Attempt{
		Post:  soak.Post{Group: n.group, State: n.state, Node: node},
		Facts: n.facts, Reminder: n.reminder, Sent: time.Now(),
	}
	a.Verdict, a.ID = p.ask(ctx, n.body(node, p.plan, p.started))
	a.Answered = time.Now()
	if a.Verdict == soak.Accepted {
		p.accepted.Add(1)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attempts = append(p.attempts, a)
	return a.Verdict
}

func (p *pair) ask(ctx context.Context, body []byte) (soak.Verdict, string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.urls[rand.IntN(len(p.urls))]+"/webhook", bytes.NewReader(body))
	if err != nil {
		return soak.Unknown, ""
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.client.Do(req)
	if err != nil {
		return soak.Unknown, ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	var answer struct{ Status, ID string }
	switch {
	case resp.StatusCode/100 == 4:
		return soak.Refused, ""
	case err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(text, &answer) != nil || answer.ID == "":
		return soak.Unknown, ""
	case answer.Status == "accepted":
		return soak.Accepted, answer.ID
	case answer.Status == "duplicate":
		return soak.Duplicate, answer.ID
	}
	return soak.Unknown, ""
}

// log is what was posted so far.
func (p *pair) log() []soak.Attempt {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]soak.Attempt(nil), p.attempts...)
}

// A group is what the first node knows of an alert group.
type group struct {
	number, state int
	alerts        []alert
	reminder      bool // the last notification was one
	told          bool // the last notification was taken, and nothing has changed since
}

// An alert is one of a group. It has fired starts times.
type alert struct {
	starts int
	firing bool
	ended  bool // and nobody was told yet
}

// next lets something happen in the group and returns the notification of it, and how long to wait before it is sent.
func (g *group) next(random *rand.Rand) (notification, time.Duration) {
	firing := 0
	for _, a := range g.alerts {
		if a.firing {
			firing++
		}
	}
	g.state++
	after := time.Duration(0)
	reminded := g.reminder
	g.reminder = false
	switch roll := random.IntN(100); {
	case !g.told && roll < 30 && len(g.facts()) > 0: // the next flush, and nothing has changed
	case firing == 0 && roll < 10 && g.refire(): // the link to Prometheus is back
	case firing == 0:
		g.fire(random, 1+random.IntN(len(g.alerts)))
	case g.told && !reminded && roll < 10:
		g.reminder = true
	case g.told && roll < 13: // a reminder of an older Alertmanager, which does not say so
		after = window + 500*time.Millisecond
	case roll < 40 && firing < len(g.alerts):
		g.fire(random, 1)
	case roll < 65 && firing > 1:
		g.end(random, 1+random.IntN(firing-1))
	case roll < 80:
		g.end(random, firing) // and fires again at once, so that the end goes unsaid
		g.fire(random, 1)
	default:
		g.end(random, firing)
	}
	g.told = false
	return notification{group: g.number, state: g.state, facts: g.facts(), reminder: g.reminder}, after
}

// fire lets n alerts begin anew.
func (g *group) fire(random *rand.Rand, n int) {
	for _, i := range random.Perm(len(g.alerts)) {
		if a := &g.alerts[i]; n > 0 && !a.firing {
			*a = alert{starts: a.starts + 1, firing: true}
			n--
		}
	}
}

// refire lets one alert fire that seemed resolved: with the start it had.
func (g *group) refire() bool {
	for i := range g.alerts {
		if a := &g.alerts[i]; a.starts > 0 {
			a.firing, a.ended = true, false
			return true
		}
	}
	return false
}

// end lets n firing alerts end.
func (g *group) end(random *rand.Rand, n int) {
	for _, i := range random.Perm(len(g.alerts)) {
		if a := &g.alerts[i]; n > 0 && a.firing {
			a.firing, a.ended = false, true
			n--
		}
	}
}

// facts are what a notification says now: what fires, and what has ended and nobody was told of.
func (g *group) facts() []soak.Fact {
	var facts []soak.Fact
	for i, a := range g.alerts {
		if a.firing || a.ended {
			facts = append(facts, soak.Fact{Group: g.number, Alert: i, Start: a.starts, Resolved: a.ended})
		}
	}
	return facts
}

// delivered notes that the last notification was taken.
func (g *group) delivered() {
	g.told = true
	for i := range g.alerts {
		g.alerts[i].ended = false
	}
}

// A notification is one state of a group.
type notification struct {
	group, state int
	facts        []soak.Fact
	reminder     bool
	version      string // default 4
	due          time.Time
}

// refusable is the notification in a form that the program cannot read.
func (n notification) refusable() notification {
	n.state += refusedState
	n.version = "3"
	return n
}

// body is what a node posts.
func (n notification) body(node int, p plan, epoch time.Time) []byte {
	type object = map[string]any
	team, name := strconv.Itoa(p.team(n.group)), fmt.Sprint("Soak", n.group)
	groupLabels := map[string]string{"alertname": name, "team": team}
	status, alerts := "resolved", make([]object, 0, len(n.facts))
	var annotations map[string]string
	for _, f := range n.facts {
		annotations = map[string]string{
			"summary": soak.Mark{Post: soak.Post{Group: n.group, State: n.state, Node: node}, Fact: f}.String(),
		}
		start := epoch.Add(time.Duration(f.Start) * time.Second).UTC()
		a := object{
			"status": "firing", "labels": map[string]string{
				"alertname": name, "team": team, "severity": "warning", "instance": fmt.Sprint("host-", f.Alert),
			},
			"annotations": annotations, "startsAt": start, "endsAt": "0001-01-01T00:00:00Z",
			"generatorURL": "http://prometheus.example.org/graph", "fingerprint": fingerprint(n.group, f.Alert),
		}
		if f.Resolved {
			a["status"], a["endsAt"] = "resolved", start.Add(time.Second)
		} else {
			status = "firing"
		}
		alerts = append(alerts, a)
	}
	if len(alerts) > 1 {
		annotations = map[string]string{}
	}
	body := object{
		"version": "4", "receiver": "relay", "status": status, "alerts": alerts,
		"groupKey":    fmt.Sprintf("{}:{alertname=%q, team=%q}", name, team),
		"groupLabels": groupLabels, "commonLabels": groupLabels, "commonAnnotations": annotations,
		"externalURL": fmt.Sprintf("http://alertmanager-%d.example.org", node), "truncatedAlerts": 0,
	}
	if n.version != "" {
		body["version"] = n.version
	}
	if n.reminder {
		body["notification_reason"] = reasonReminder
	}
	text, _ := json.Marshal(body) // maps and strings
	return text
}

func fingerprint(group, alert int) string {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, group, alert)
	return fmt.Sprintf("%016x", h.Sum64())
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// upTo is a random time below d.
func upTo(random *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(d)))
}
