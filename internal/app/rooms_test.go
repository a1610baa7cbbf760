package app_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/internal/app"
	"github.com/alertrelay/relay/internal/sandbox"
	"github.com/alertrelay/relay/internal/wire"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/outboxtest"
	"github.com/alertrelay/relay/snapshots"
	"github.com/alertrelay/relay/webhook"
)

// roomsConfig has rooms of their own, with and without continue, and destinations that templates choose by room.
const roomsConfig = `
rooms:
  - {room_id: A, slack_configs: [{name: own, api_url: "http://localhost/services/a"}]}
  - {room_id: B, slack_configs: [{name: own, api_url: "http://localhost/services/b"}], continue: true}
route:
  receiver: ops
  routes: [{matchers: ['room_id="C"'], receiver: c, continue: true}, {receiver: ops}]
receivers:
  - name: ops
    slack_configs:
      - {name: all, api_url: "http://localhost/services/all"}
      - {name: by room, api_url: "http://localhost/services/rooms", channel: "#room-{{ .Snapshot.RoomID }}"}
      - {name: bot, app_token: xoxb-1, channel: "#room-{{ .Snapshot.RoomID }}"}
    email_configs:
      - {name: mail, to: '{{ if eq .Snapshot.RoomID "B" }}b@example.org{{ else }}all@example.org{{ end }}', from: r@example.org, smarthost: "localhost:25"}
  - name: c
    slack_configs: [{name: own, api_url: "http://localhost/services/c"}]
`

// A destination is where an alert is told.
type destination struct {
	integration relay.IntegrationID
	key         string
}

// wantedIn is where an alert with this routing room is to be told: the rule, written down once more.
func wantedIn(room string) []destination {
	var wanted []destination
	if room == "A" || room == "B" {
		wanted = append(wanted, destination{relay.IntegrationID("room:" + room + "/slack/own"), "webhook"})
	}
	if room == "A" {
		return wanted
	}
	if room == "C" {
		wanted = append(wanted, destination{"c/slack/own", "webhook"})
	}
	to := "all@example.org"
	if room == "B" {
		to = "b@example.org"
	}
	return append(wanted, destination{"ops/slack/all", "webhook"}, destination{"ops/slack/by room", "#room-" + room},
		destination{"ops/slack/bot", "#room-" + room}, destination{"ops/email/mail", to})
}

// evidence is what look-ups find: whatever a test wants, different each time.
type evidence struct{ room func() string }

func (evidence) Record(context.Context, []snapshots.Entry, time.Duration) error { return nil }

func (e evidence) Find(_ context.Context, keys []snapshots.Key) ([]relay.Snapshot, error) {
	found := make([]relay.Snapshot, len(keys))
	for i := range found {
		found[i] = relay.Snapshot{RoomID: e.room(), TraceID: "t", Time: time.Now().Add(24 * time.Hour)}
	}
	return found, nil
}

// A group is an alert group of Alertmanager and what is known of it: the model.
type group struct {
	t      *rapid.T
	intake webhook.Intake
	now    *time.Time
	key    string
	room   string // ?room_id=

	alerts   []source
	sent     int
	last     dedupe.State
	reminder bool                         // whether the last webhook was one
	pinned   map[relay.AlertKey]string    // routing rooms
	due      map[fact]bool                // what is still to be told
	heard    map[fact]bool                // what was
	told     map[outbox.Lane]dedupe.State // last, of each lane
}

// A source is an alert of the group over time.
type source struct {
	firing   bool
	startsAt time.Time
	label    string // its room as a label; empty: none
	unsteady bool   // its room is an annotation, another each time
}

// A fact is that an alert fires or is resolved, at one of the places where that is to be told.
type fact struct {
	alert  relay.AlertKey
	status string
	at     destination
}

// TestNoRoomSeesAnotherRoomsAlert over random groups and random changes: each destination that is chosen by room is told of
// its room alone; nothing is lost, nothing told twice, and resolved goes where firing went, whatever annotations and
// look-ups say by then.
func TestNoRoomSeesAnotherRoomsAlert(t *testing.T) {
	t.Parallel()
	c, err := config.Parse("config.yaml", []byte(roomsConfig))
	require.NoError(t, err)
	rooms := rapid.SampledFrom([]string{"", "A", "B", "C", "D"})
	groups, merged, digested := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		now := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
		store := outboxtest.NewMemory(func() time.Time { return now })
		look := 0
		intake, err := app.NewIntake(c, store, evidence{func() string {
			look++
			return string(rune('A' + look%4))
		}}, func() time.Time { return now })
		require.NoError(rt, err)
		for range 5 {
			terms := outbox.Terms{Backlog: relay.BacklogEach}
			if rapid.Bool().Draw(rt, "merge") {
				terms = outbox.Terms{
					Backlog: relay.BacklogMerge, Digest: rapid.IntRange(0, 5).Draw(rt, "digest"),
					Limit: relay.Limit{Messages: 1, Per: time.Second},
				}
			}
			o := &outlet{t: rt, store: store, now: &now, knows: map[relay.IntegrationID]outbox.Terms{}}
			for _, room := range append(wantedIn("A"), append(wantedIn("B"), wantedIn("C")...)...) {
				o.knows[room.integration] = terms
			}
			for range 2 {
				groups++
				g := &group{
					t: rt, intake: intake, now: &now, key: fmt.Sprint("{}:{g=", groups, "}"),
					room:   rapid.SampledFrom([]string{"", "", "B", "D"}).Draw(rt, "?room_id="),
					pinned: map[relay.AlertKey]string{}, due: map[fact]bool{}, heard: map[fact]bool{},
					told: map[outbox.Lane]dedupe.State{},
				}
				for range rapid.IntRange(1, 5).Draw(rt, "alerts") {
					s := source{label: rooms.Draw(rt, "label")}
					s.unsteady = s.label == "" && rapid.Bool().Draw(rt, "unsteady")
					g.alerts = append(g.alerts, s)
				}
				o.groups = append(o.groups, g)
			}
			for range rapid.IntRange(1, 8).Draw(rt, "webhooks") {
				for _, g := range o.groups {
					g.post(rooms)
				}
				if rapid.Bool().Draw(rt, "tell") {
					o.tell()
				}
				now = now.Add(rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour}).Draw(rt, "later"))
			}
			o.tell()
			for _, g := range o.groups {
				require.Empty(rt, g.due, "lost")
			}
			merged, digested = merged+o.merged, digested+o.digested
		}
	})
	require.Positive(t, merged)
	require.Positive(t, digested)
	require.GreaterOrEqual(t, groups, 1000)
}

// post changes some alerts and posts what Alertmanager would.
func (g *group) post(rooms *rapid.Generator[string]) {
	n := &relay.Notification{Version: "4", GroupKey: g.key}
	n.Receiver = "relay"
	for i := range g.alerts {
		s := &g.alerts[i]
		was := s.firing
		if rapid.IntRange(0, 2).Draw(g.t, "change") == 0 {
			s.firing = !s.firing
		}
		if !was && !s.firing {
			continue
		}
		if !was {
			s.startsAt = *g.now
		}
		a := relay.Alert{Alert: template.Alert{
			Fingerprint: g.key + strconv.Itoa(i), Status: relay.StatusResolved, StartsAt: s.startsAt,
			Labels: template.KV{"job": "api"}, Annotations: template.KV{},
		}}
		if s.firing {
			a.Status = relay.StatusFiring
		}
		if s.label != "" {
			a.Labels["room_id"] = s.label
		}
		if s.unsteady {
			a.Annotations["room_id"] = rooms.Draw(g.t, "annotation")
		}
		n.Alerts = append(n.Alerts, a)
	}
	if len(n.Alerts) == 0 {
		return
	}
	n.Status = n.Alerts.Status()
	g.take(n)
	if rapid.IntRange(0, 4).Draw(g.t, "copy") == 0 {
		g.take(n)
	}
}

// take hands a webhook to the intake and notes what is to be told because of it.
func (g *group) take(n *relay.Notification) {
	sent := *n
	sent.Alerts = slices.Clone(n.Alerts)
	g.sent++
	sent.ID, sent.ReceivedAt = fmt.Sprintf("%s-%03d", g.key, g.sent), *g.now
	answer, err := g.intake.Take(context.Background(), webhook.Request{
		Notification: &sent, Path: "/webhook?room_id=" + g.room, Room: g.room,
	})
	require.NoError(g.t, err)
	if answer.Duplicate {
		require.Equal(g.t, g.last, dedupe.StateOf(n))
		return
	}
	g.reminder = g.reminder || g.last == dedupe.StateOf(n)
	g.last = dedupe.StateOf(n)
	for _, a := range n.Alerts {
		room, known := g.pinned[a.Key()]
		if !known {
			room = g.room
			for _, own := range []string{a.Annotations["room_id"], a.Labels["room_id"]} {
				if own != "" {
					room = own
				}
			}
			g.pinned[a.Key()] = room
		}
		for _, at := range wantedIn(room) {
			if f := (fact{a.Key(), a.Status, at}); !g.heard[f] {
				g.due[f] = true
			}
		}
	}
}

// An outlet tells what the groups have to say.
type outlet struct {
	t      *rapid.T
	store  *outboxtest.Memory
	now    *time.Time
	knows  map[relay.IntegrationID]outbox.Terms
	groups []*group

	merged, digested int // messages that told several entries, and several lanes
}

// tell takes all that waits, and looks at it as the readers do.
func (o *outlet) tell() {
	for {
		stats, err := o.store.Stats(context.Background())
		require.NoError(o.t, err)
		if stats.Pending == 0 {
			break
		}
		batches, wait, err := o.store.Claim(context.Background(), outbox.ClaimRequest{
			Max: 16, Lease: time.Minute, Integrations: o.knows,
		})
		require.NoError(o.t, err)
		if len(batches) == 0 {
			require.Positive(o.t, wait)
			*o.now = o.now.Add(wait)
		}
		for _, b := range batches {
			require.NoError(o.t, o.store.Settle(context.Background(), b.Lease,
				outbox.Outcome{Result: outbox.Sent, Items: o.message(b)}))
		}
	}
	for _, g := range o.groups {
		g.reminder = false
	}
}

// message is what one message tells: all its lanes are of one place and room. It returns the entries.
func (o *outlet) message(b outbox.Batch) (ids []string) {
	first := b.Lanes[0].Lane
	if len(b.Lanes) > 1 {
		o.digested++
	}
	for _, l := range b.Lanes {
		require.Equal(o.t, first.Integration, l.Lane.Integration)
		require.Equal(o.t, first.Destination, l.Lane.Destination)
		require.Equal(o.t, first.Room, l.Lane.Room, "a message mixes rooms")
		if len(l.Items) > 1 {
			o.merged++
		}
		at := slices.IndexFunc(o.groups, func(g *group) bool { return g.key == l.Lane.GroupKey })
		require.GreaterOrEqual(o.t, at, 0)
		for _, item := range l.Items {
			ids = append(ids, item.ID)
			o.groups[at].read(l.Lane, item.Notification)
		}
	}
	return ids
}

// read is what a reader makes of one message.
func (g *group) read(lane outbox.Lane, message []byte) {
	n, err := new(wire.Reader).Read(message)
	require.NoError(g.t, err)
	at := destination{lane.Integration, lane.Destination}
	for _, a := range n.Alerts {
		room := g.pinned[a.Key()]
		require.Contains(g.t, wantedIn(room), at, "an alert of room %q is told there", room)
		if at.integration != "ops/slack/all" && at.integration != "c/slack/own" {
			require.Equal(g.t, lane.Room, room, "rooms are mixed")
			require.Equal(g.t, n.Room, room)
		}
		f := fact{a.Key(), a.Status, at}
		g.heard[f] = true
		delete(g.due, f)
	}
	state := dedupe.StateOfAlerts(n.Alerts, 0)
	last, known := g.told[lane]
	require.False(g.t, known && last == state && !g.reminder, "told twice")
	g.told[lane] = state
}

// TestEachRoomHasItsRobot sends one notification about three rooms to real robots, and then a change in one of them.
func TestEachRoomHasItsRobot(t *testing.T) {
	t.Parallel()
	box, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, box.Close())
		http.DefaultClient.CloseIdleConnections()
	})
	robot := func(group string) string {
		return box.DingTalk.Add(sandbox.DingTalkRobot{
			Token: "token-" + group, Group: group, Robot: "relay", Limit: sandbox.NoLimit(),
		})
	}
	p := start(t, t.TempDir(), fmt.Sprintf(`
global: {locale: en}
rooms:
  - {room_id: "10086", dingtalk_configs: [{url: %q}]}
  - {room_id: "10010", dingtalk_configs: [{url: %q}], continue: true}
route: {receiver: ops}
receivers: [{name: ops, dingtalk_configs: [{url: %q}]}]
`, robot("10086"), robot("10010"), robot("ops")), nil)
	in := func(room string, a relay.Alert) relay.Alert {
		a.Annotations["room_id"] = room
		return a
	}
	p.accept(t, "accepted", notification("Lag", in("10086", firing("first")), in("10010", firing("second")), in("", firing("third"))))
	messages := awaitAll(t, box, 3)
	require.Contains(t, messages["10086"], "first is too slow")
	require.NotContains(t, messages["10086"], "second")
	require.NotContains(t, messages["10086"], "third")
	require.Contains(t, messages["10010"], "second is too slow")
	require.NotContains(t, messages["10010"], "first")
	require.Contains(t, messages["ops"], "second is too slow")
	require.Contains(t, messages["ops"], "third is too slow")
	require.NotContains(t, messages["ops"], "first")

	// The annotation says another room by now; of the other rooms nothing has changed.
	p.accept(t, "accepted", notification("Lag", in("10010", resolved("first")), in("10010", firing("second")), in("", firing("third"))))
	messages = awaitAll(t, box, 4)
	require.Contains(t, messages["10086"], "[resolved] first")
	require.NotContains(t, messages["10010"], "first")
	require.NotContains(t, messages["ops"], "first")
}

// awaitAll waits until DingTalk has n messages, and returns the last of each group.
func awaitAll(t *testing.T, box *sandbox.Sandbox, n int) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	messages, err := box.Await(ctx, sandbox.InboxDingTalk, n)
	require.NoError(t, err)
	require.Len(t, messages, n)
	last := map[string]string{}
	for _, m := range messages {
		last[m.Group] = said(m)
	}
	return last
}
