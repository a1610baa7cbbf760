package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/internal/app"
	"github.com/alertrelay/relay/internal/sandbox"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/outboxtest"
)

const fallbackConfig = `
rooms:
- room_id: A
  fallback: mail
  slack_configs: [{name: own, api_url: "https://hooks.slack.com/services/T/B/a"}]
route: {receiver: ops}
receivers:
- name: ops
  fallback: mail
  slack_configs: [{name: hook, api_url: "https://hooks.slack.com/services/T/B/x"}]
- name: mail
  fallback: last
  fallback_after: 5m
  email_configs: [{name: all, to: all@example.org, from: a@example.org, smarthost: "localhost:25"}]
- name: last
  email_configs: [{name: boss, to: boss@example.org, from: a@example.org, smarthost: "localhost:25", send_resolved: false}]
`

const (
	hook = relay.IntegrationID("ops/slack/hook")
	room = relay.IntegrationID("room:A/slack/own")
	all  = relay.IntegrationID("mail/email/all")
	boss = relay.IntegrationID("last/email/boss")
)

// A night is a store, in which a test fails what it wants, beside what tells the fallback receivers.
type night struct {
	*testing.T
	*outboxtest.Memory

	config *config.Config
	n      int
}

// atNight runs a test in virtual time.
func atNight(t *testing.T, test func(n *night)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := config.Parse("config.yaml", []byte(fallbackConfig))
		require.NoError(t, err)
		n := &night{T: t, Memory: outboxtest.NewMemory(time.Now), config: c}
		stop := n.run()
		test(n)
		stop()
	})
}

// run tells the fallback receivers, until stop is called, as one process does.
func (n *night) run() (stop func()) {
	ctx, cancel := context.WithCancel(n.Context())
	done := make(chan struct{})
	run := app.Fallbacks(n.T, n.config, n.Memory)
	go func() { defer close(done); run(ctx) }()
	return func() { cancel(); <-done }
}

// accept stores an entry for an integration, about one alert.
func (n *night) accept(group string, to relay.IntegrationID, status string) {
	n.Helper()
	n.n++
	a := relay.Alert{}
	a.Status, a.Fingerprint, a.StartsAt = status, group, time.Unix(int64(n.n), 0)
	body, err := json.Marshal(relay.Notification{ID: fmt.Sprint("n", n.n), GroupKey: group, Version: "4", Alerts: relay.Alerts{a}})
	require.NoError(n, err)
	_, err = n.Accept(n.Context(), outbox.Webhook{
		ID: fmt.Sprintf("w%03d", n.n), ReceivedAt: time.Now(), GroupKey: group, Slot: dedupe.Slot{byte(n.n)}, Reminder: true,
		Entries: []outbox.Entry{{
			Lane:        outbox.Lane{Integration: to, Destination: "main", GroupKey: group},
			Destination: relay.Destination{Key: "main"}, Limiters: []relay.LimiterID{relay.LimiterID(to)}, Notification: body,
		}},
	})
	require.NoError(n, err)
}

// settle claims all that is due for an integration and settles it.
func (n *night) settle(of relay.IntegrationID, o outbox.Outcome) []outbox.Batch {
	n.Helper()
	batches, _, err := n.Claim(n.Context(), outbox.ClaimRequest{
		Max: 100, Lease: time.Minute, Integrations: map[relay.IntegrationID]outbox.Terms{of: {Backlog: relay.BacklogMerge}},
	})
	require.NoError(n, err)
	for _, b := range batches {
		settled := o
		for _, item := range b.Lanes[0].Items {
			settled.Items = append(settled.Items, item.ID)
		}
		if b.Fold {
			settled = outbox.Outcome{Result: outbox.Folded, Items: settled.Items, Notification: b.Lanes[0].Items[0].Notification}
		}
		require.NoError(n, n.Settle(n.Context(), b.Lease, settled))
	}
	return batches
}

// told are the groups that wait for an integration in the place of another, oldest first.
func (n *night) told(to relay.IntegrationID, instead relay.IntegrationID) []string {
	n.Helper()
	synctest.Wait()
	rows, _, err := n.Deliveries(n.Context(), outbox.DeliveryQuery{Filter: outbox.Filter{Integration: to}, Bodies: true})
	require.NoError(n, err)
	var groups []string
	for _, d := range rows {
		var body relay.Notification
		require.NoError(n, json.Unmarshal(d.Body, &body))
		if body.InsteadOf == string(instead) {
			groups = append([]string{d.Lane.GroupKey}, groups...)
		}
	}
	return groups
}

func transient() outbox.Outcome {
	return outbox.Outcome{Result: outbox.Retry, Reason: relay.Transient, After: time.Minute}
}

func TestARoomHasAFallbackAsWell(t *testing.T) {
	atNight(t, func(n *night) {
		n.accept("g", room, relay.StatusFiring)
		for range 17 {
			n.settle(room, transient())
			time.Sleep(time.Minute)
		}
		require.Equal(t, []string{"g"}, n.told(all, room))
	})
}

func TestWhatCannotBeToldGoesToTheFallbackOnce(t *testing.T) {
	atNight(t, func(n *night) {
		n.accept("g", hook, relay.StatusFiring)
		for range 14 {
			n.settle(hook, transient())
			time.Sleep(time.Minute)
		}
		n.accept("g", hook, relay.StatusFiring) // behind it in its lane
		n.accept("young", hook, relay.StatusFiring)
		require.Empty(t, n.told(all, hook))
		time.Sleep(90 * time.Second)
		require.Equal(t, []string{"g", "g"}, n.told(all, hook))

		stop := n.run() // another replica, or this one after a restart
		for range 30 {
			n.settle(hook, transient())
			time.Sleep(time.Minute)
		}
		stop()
		require.Equal(t, []string{"g", "g", "young"}, n.told(all, hook))
		rows, _, err := n.Deliveries(n.Context(), outbox.DeliveryQuery{
			Filter: outbox.Filter{Integration: hook}, States: []outbox.DeliveryState{outbox.StatePending, outbox.StateRetrying},
		})
		require.NoError(t, err)
		require.Len(t, rows, 3, "the destination itself goes on trying")
		events, _, err := n.History(n.Context(), outbox.HistoryQuery{Types: []outbox.EventType{outbox.EventAccepted}, Limit: 100})
		require.NoError(t, err)
		require.Len(t, events, 6, "each has its own line in the history")
	})
}

// counted is a store that counts what is asked for bodies, and takes so many entries and no more.
type counted struct {
	*outboxtest.Memory

	takes   int
	waiting map[string]int // queries, by notification
	failed  []outbox.DeliveryQuery
}

func (c *counted) Accept(ctx context.Context, w outbox.Webhook) (outbox.Accepted, error) {
	if c.takes == 0 {
		return outbox.Accepted{}, errors.New("the store is down")
	}
	c.takes--
	return c.Memory.Accept(ctx, w)
}

func (c *counted) Deliveries(ctx context.Context, q outbox.DeliveryQuery) ([]outbox.Delivery, string, error) {
	switch {
	case q.Wants(outbox.StateFailed):
		c.failed = append(c.failed, q)
	case q.Bodies:
		c.waiting[q.Notification]++
	}
	return c.Memory.Deliveries(ctx, q)
}

// TestEachEntryIsReadOnce: a store that fails at one does not let those before it be read again, and nobody reads the
// history for what waits.
func TestEachEntryIsReadOnce(t *testing.T) {
	atNight(t, func(n *night) {
		c := &counted{Memory: n.Memory, takes: 1, waiting: map[string]int{}}
		n.accept("first", hook, relay.StatusFiring)
		time.Sleep(time.Second)
		n.accept("second", hook, relay.StatusFiring)
		ctx, cancel := context.WithTimeout(n.Context(), 20*time.Minute)
		defer cancel()
		app.Fallbacks(n.T, n.config, c)(ctx)
		require.Equal(t, 1, c.waiting["w001"])
		require.Greater(t, c.waiting["w002"], 10)
		require.Empty(t, c.failed)
	})
}

// TestOnlyTheLatestHistoryIsRead for a dead letter.
func TestOnlyTheLatestHistoryIsRead(t *testing.T) {
	atNight(t, func(n *night) {
		c := &counted{Memory: n.Memory, takes: 1, waiting: map[string]int{}}
		n.accept("refused", hook, relay.StatusFiring)
		n.settle(hook, outbox.Outcome{Result: outbox.Dead, Reason: relay.Refused})
		began := time.Now()
		ctx, cancel := context.WithTimeout(n.Context(), time.Minute)
		defer cancel()
		app.Fallbacks(n.T, n.config, c)(ctx)
		require.Len(t, c.failed, 1)
		require.WithinRange(t, c.failed[0].Since, began.Add(-time.Hour), began.Add(-59*time.Minute))
	})
}

func TestAFallbackDoesNotFallBack(t *testing.T) {
	atNight(t, func(n *night) {
		n.accept("g", hook, relay.StatusFiring)
		n.accept("own", all, relay.StatusFiring)
		for range 60 {
			n.settle(hook, transient())
			n.settle(all, transient())
			time.Sleep(time.Minute)
		}
		require.Equal(t, []string{"g"}, n.told(all, hook))
		require.Equal(t, []string{"own"}, n.told(boss, all), "what is its own does")
		require.Empty(t, n.told(boss, hook))
	})
}

func TestWhatAHeldDestinationKeepsGoesToTheFallbackAtOnce(t *testing.T) {
	atNight(t, func(n *night) {
		n.accept("first", hook, relay.StatusFiring)
		n.settle(hook, outbox.Outcome{Result: outbox.Retry, Reason: relay.Misconfigured, Hold: time.Hour})
		time.Sleep(10 * time.Minute)
		n.accept("second", hook, relay.StatusFiring)
		require.Empty(t, n.told(all, hook))
		time.Sleep(6 * time.Minute)
		require.Equal(t, []string{"first", "second"}, n.told(all, hook))
		n.accept("third", hook, relay.StatusResolved)
		time.Sleep(16 * time.Second)
		require.Equal(t, []string{"first", "second", "third"}, n.told(all, hook), "as long as the hold lasts")
	})
}

func TestWhatIsFoldedIsAsOldAsItsNews(t *testing.T) {
	atNight(t, func(n *night) {
		for range 3 * outbox.LaneCap {
			n.accept("g", hook, relay.StatusFiring)
			n.settle(hook, outbox.Outcome{Result: outbox.Retry, Reason: relay.Transient, After: time.Hour})
			time.Sleep(20 * time.Second)
		}
		require.NotEmpty(t, n.told(all, hook))
	})
}

func TestADeadLetterGoesToTheFallback(t *testing.T) {
	atNight(t, func(n *night) {
		n.accept("refused", hook, relay.StatusFiring)
		n.settle(hook, outbox.Outcome{Result: outbox.Dead, Reason: relay.Refused})
		n.accept("removed", hook, relay.StatusFiring)
		n.settle(hook, outbox.Outcome{Result: outbox.Dead, Reason: outbox.ReasonRemoved})
		time.Sleep(20 * time.Second)
		require.Equal(t, []string{"refused"}, n.told(all, hook))
		time.Sleep(2 * time.Hour)
		require.Equal(t, []string{"refused"}, n.told(all, hook))
	})
}

func TestAFallbackThatDoesNotWantResolvedAlerts(t *testing.T) {
	atNight(t, func(n *night) {
		n.accept("g", all, relay.StatusResolved)
		for range 10 {
			n.settle(all, transient())
			time.Sleep(time.Minute)
		}
		require.Empty(t, n.told(boss, all))
	})
}

// TestTheFallbackIsToldInEarnest breaks Slack: the mail says what it could not be told, and Slack gets it when it is back.
func TestTheFallbackIsToldInEarnest(t *testing.T) {
	t.Parallel()
	box, _ := vendors(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, box.Mail.CA(), 0o600))
	p := start(t, t.TempDir(), fmt.Sprintf(`
global: {locale: en}
route: {receiver: ops}
receivers:
- name: ops
  fallback: mail
  fallback_after: 1s
  slack_configs: [{name: hook, api_url: %q, rate_limit: {messages: 0}}]
- name: mail
  email_configs: [{name: all, to: all@example.org, from: relay@example.org, smarthost: %q, tls_config: {ca_file: %q}}]
`, box.Slack.Add(sandbox.SlackHook{
		Team: "T1", Bot: "B1", Token: "other-token", Channel: "ops", App: "relay", Limit: sandbox.NoLimit(),
	}), box.Mail.Addr(), ca), nil)
	box.Slack.Break("", sandbox.FaultAnswer(http.StatusServiceUnavailable, "text/plain", "down"))
	p.accept(t, "accepted", notification("HighLatency", firing("checkout")))
	shown := await(t, box, sandbox.InboxEmail, 1)
	require.Contains(t, shown, "checkout is too slow")
	require.Contains(t, shown, "ops/slack/hook could not be told, so it comes here")
	require.Equal(t, "1", p.metric(t, `relay_notifications_rerouted_total{fallback="mail",receiver="ops"}`))

	box.Slack.Repair("")
	require.NotContains(t, await(t, box, sandbox.InboxSlack, 1), "so it comes here")
	require.Len(t, box.Inbox(sandbox.InboxEmail), 1)
}
