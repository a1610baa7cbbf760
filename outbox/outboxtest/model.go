package outboxtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

// runModel makes random calls on a store and on Memory, and compares what they answer. Which of several ready lanes are
// claimed is the store's choice, that it may claim each of them and leaves none is not.
func runModel(t *testing.T, open Open) {
	t.Helper()
	rapid.Check(t, func(rt *rapid.T) {
		clock := NewClock()
		m := &machine{t: rt, Clock: clock, store: open(t, clock.Now), model: NewMemory(clock.Now)}
		defer func() { require.NoError(rt, m.store.Close()) }()
		rt.Repeat(map[string]func(*rapid.T){
			"accept":  m.accept,
			"flood":   m.flood,
			"claim":   m.claim,
			"settle":  m.settle,
			"requeue": m.requeue,
			"lift":    m.lift,
			"leap":    func(*rapid.T) { m.Advance(6 * time.Minute) },
			"crash":   m.crash,
			"drop":    m.drop,
			"advance": func(rt *rapid.T) { m.Advance(time.Duration(rapid.IntRange(1, 90).Draw(rt, "seconds")) * time.Second) },
			"":        m.check,
		})
		m.compareHistory()
		m.compareDeliveries()
	})
}

// A machine is a store and its model.
type machine struct {
	t *rapid.T
	*Clock
	store   outbox.Store
	model   *Memory
	batches []outbox.Batch // all that were ever claimed
	count   int
	last    outbox.Webhook // accepted; now and then it comes again
}

func (m *machine) terms() map[relay.IntegrationID]outbox.Terms {
	return map[relay.IntegrationID]outbox.Terms{
		"ops/dingtalk/a": {
			Limit: relay.Limit{Messages: 3, Per: time.Minute}, MaxInFlight: 2, Backlog: relay.BacklogMerge, Digest: 3,
			Limiters: []relay.LimiterID{"r1", "r2"},
		},
		"ops/wecom/b": {Limit: relay.Limit{Messages: 2, Per: time.Minute}, Backlog: relay.BacklogMerge},
		"ops/email/c": {MaxInFlight: 3},
	}
}

// flood fills a lane.
func (m *machine) flood(rt *rapid.T) {
	if rapid.IntRange(0, 2).Draw(rt, "flood") != 0 {
		rt.Skip("rarely")
	}
	for range 2 * outbox.LaneCap / 3 {
		m.count++
		w := outbox.Webhook{
			ID: fmt.Sprintf("w%03d", m.count), ReceivedAt: m.Now(), GroupKey: "g", Receiver: "ops",
			Slot: slot("g"), State: state(m.count), Alerts: 1, Status: relay.StatusFiring,
		}
		w.Entries = append(w.Entries, m.entry(rt, "g"), m.entry(rt, "g"))
		for i := range w.Entries {
			e := &w.Entries[i]
			e.Lane.Integration, e.Lane.Room, e.State = []relay.IntegrationID{"ops/dingtalk/a", "ops/email/c"}[i], "", state(m.count)
			e.Limiters = []relay.LimiterID{"r1"}
		}
		want, err := m.model.Accept(m.t.Context(), w)
		require.NoError(rt, err)
		got, err := m.store.Accept(m.t.Context(), w)
		require.NoError(rt, err)
		require.Equal(rt, want, got)
	}
}

func (m *machine) accept(rt *rapid.T) {
	w := m.last
	if w.ID == "" || m.Now().Sub(w.ReceivedAt) >= w.Window || rapid.IntRange(0, 9).Draw(rt, "again") != 0 {
		w = m.webhook(rt)
		m.last = w
	}
	w.ReceivedAt = m.Now() // a copy of it may be accepted, when the first was a copy of another
	want, err := m.model.Accept(m.t.Context(), w)
	require.NoError(rt, err)
	got, err := m.store.Accept(m.t.Context(), w)
	require.NoError(rt, err)
	require.Equal(rt, want, got)
}

// webhook draws one that was not accepted before.
func (m *machine) webhook(rt *rapid.T) outbox.Webhook {
	m.count++
	group := rapid.SampledFrom([]string{"g", "h", "i", "j", "k", "l"}).Draw(rt, "group")
	w := outbox.Webhook{
		ID: fmt.Sprintf("w%03d", m.count), ReceivedAt: m.Now(), GroupKey: group, Receiver: "ops",
		Slot: slot(group), State: state(rapid.IntRange(1, 3).Draw(rt, "state")), Window: 2 * time.Minute,
		Reminder: rapid.IntRange(0, 9).Draw(rt, "reminder") == 0, Alerts: 1, Status: relay.StatusFiring,
	}
	for range rapid.IntRange(0, 3).Draw(rt, "entries") {
		w.Entries = append(w.Entries, m.entry(rt, group))
	}
	return w
}

func (m *machine) entry(rt *rapid.T, group string) outbox.Entry {
	room := rapid.SampledFrom([]string{"", "", "", "7"}).Draw(rt, "room")
	integration := rapid.SampledFrom([]relay.IntegrationID{
		"ops/dingtalk/a", "ops/wecom/b", "ops/email/c", "gone/slack/d",
	}).Draw(rt, "integration")
	limiters := rapid.SampledFrom([][]relay.LimiterID{{"r1"}, {"r2"}, {"r1", "r2"}}).Draw(rt, "limiters")
	return outbox.Entry{
		Lane:  outbox.Lane{Integration: integration, Destination: "d", GroupKey: group, Receiver: "ops", Room: room},
		State: state(rapid.IntRange(1, 2).Draw(rt, "part")), Limiters: limiters,
		Notification: fmt.Appendf(nil, `{"n":%d}`, m.count), Destination: relay.Destination{Key: "d"},
		Told: map[string]time.Time{"a": m.Now()},
	}
}

func (m *machine) claim(rt *rapid.T) {
	c := outbox.ClaimRequest{
		Max: rapid.IntRange(1, 4).Draw(rt, "max"), Lease: time.Duration(rapid.IntRange(5, 60).Draw(rt, "lease")) * time.Second,
		Integrations: m.terms(),
	}
	if rapid.IntRange(0, 9).Draw(rt, "reloaded") == 0 {
		dingtalk := c.Integrations["ops/dingtalk/a"]
		dingtalk.Limiters = rapid.SampledFrom([][]relay.LimiterID{{"r1"}, {"r3"}}).Draw(rt, "robots")
		c.Integrations["ops/dingtalk/a"] = dingtalk
	}
	got, wait, err := m.store.Claim(m.t.Context(), c)
	require.NoError(rt, err)
	require.LessOrEqual(rt, len(got), c.Max)
	m.model.expire(m.Now())
	m.model.giveUp(c, m.Now())
	for _, b := range got {
		m.claimed(rt, c, b)
	}
	m.batches = append(m.batches, got...)
	if len(got) == c.Max {
		return
	}
	for _, l := range m.model.lanes {
		require.Negative(rt, m.model.foldable(l, c), "%v is not folded", l.id)
	}
	expected := m.model.wait(c, m.Now())
	require.NotEqual(rt, expected, time.Duration(1), "something ready was left")
	require.Equal(rt, expected == 0, wait == 0, "wait %v, should be %v", wait, expected)
	require.LessOrEqual(rt, wait, expected)
}

// claimed checks one batch, and that it tells as many lanes as it must.
func (m *machine) claimed(rt *rapid.T, c outbox.ClaimRequest, b outbox.Batch) {
	if b.Fold {
		l := m.model.lane(b.Lanes[0].Lane)
		from := m.model.foldable(l, c)
		require.GreaterOrEqual(rt, from, 0, "%v is not to be folded", l.id)
		require.Equal(rt, m.model.fold(l, from, b.Lease.Nonce, m.Now().Add(c.Lease)), b)
		return
	}
	var lanes []*lane
	for _, lb := range b.Lanes {
		l := m.model.lane(lb.Lane)
		_, ready := m.model.ready(l, c, m.Now())
		require.Zero(rt, ready, "%v is not ready", l.id)
		require.Contains(rt, m.model.limiters(l, l.items[0]), b.Limiter)
		lanes = append(lanes, l)
	}
	require.Zero(rt, m.model.free(b.Limiter, c, m.Now()), "%s has no free slot", b.Limiter)
	peers := m.model.share(lanes[0], c, m.Now())
	require.Len(rt, lanes, len(peers))
	for _, l := range lanes[1:] {
		require.True(rt, l.shares(), "%v shares no message", l.id)
		require.Equal(rt, lanes[0].id.Integration, l.id.Integration)
		require.Equal(rt, lanes[0].id.Destination, l.id.Destination)
		require.Equal(rt, lanes[0].id.Room, l.id.Room)
	}
	require.Equal(rt, m.model.take(lanes, b.Limiter, b.Lease.Nonce, m.Now().Add(c.Lease), c), b)
}

// crash claims some times over without a settle, until all leases have ended.
func (m *machine) crash(rt *rapid.T) {
	for range rapid.IntRange(1, outbox.AloneAfter).Draw(rt, "crashes") {
		m.claim(rt)
		m.Advance(2 * time.Minute)
	}
}

func (m *machine) settle(rt *rapid.T) {
	if len(m.batches) == 0 {
		rt.Skip("nothing was claimed")
	}
	// Mostly one of the newest, which may still be held.
	newest := m.batches[max(0, len(m.batches)-6):]
	b := rapid.SampledFrom(newest).Draw(rt, "batch")
	o := outbox.Outcome{
		Result: rapid.SampledFrom([]outbox.Result{
			outbox.Sent, outbox.Sent, outbox.Sent, outbox.Retry, outbox.Dead, outbox.Release, outbox.Folded,
		}).Draw(rt, "result"),
		Notification: fmt.Appendf(nil, `{"folded":%d}`, m.count),
		Ref:          relay.Ref(rapid.SampledFrom([]string{"", "", "x", "y"}).Draw(rt, "ref")),
		Part:         1, Parts: 2, Text: "text",
		Apart:  rapid.IntRange(0, 4).Draw(rt, "apart") == 0,
		NoSlot: rapid.IntRange(0, 4).Draw(rt, "slot") == 0,
	}
	if b.Fold && rapid.IntRange(0, 4).Draw(rt, "fold") != 0 {
		o.Result = outbox.Folded
	}
	switch rapid.IntRange(0, 9).Draw(rt, "items") {
	case 0:
		o.Items = []string{"other"}
	default:
		o.Items = ids(b)
	}
	if len(b.Lanes) == 1 && (o.Result == outbox.Sent || o.Result == outbox.Retry) {
		for range rapid.IntRange(0, 3).Draw(rt, "rest") - 1 {
			o.Rest = append(o.Rest, relay.Message{ID: "m", Body: []byte("body")})
		}
	}
	if o.Result == outbox.Retry {
		o.After = time.Duration(rapid.IntRange(0, 60).Draw(rt, "after")) * time.Second
		o.Hold = time.Duration(max(0, rapid.IntRange(-100, 60).Draw(rt, "hold"))) * time.Second
		o.Reason = rapid.SampledFrom([]relay.Kind{relay.Transient, relay.RateLimited, relay.Misconfigured}).Draw(rt, "reason")
	}
	want := m.model.Settle(m.t.Context(), b.Lease, o)
	got := m.store.Settle(m.t.Context(), b.Lease, o)
	require.Equal(rt, errors.Is(want, outbox.ErrStale), errors.Is(got, outbox.ErrStale), "%v, should be %v", got, want)
	require.Equal(rt, want == nil, got == nil, "%v", got)
}

func (m *machine) lift(rt *rapid.T) {
	require.NoError(rt, m.model.Lift(m.t.Context(), relay.Misconfigured))
	require.NoError(rt, m.store.Lift(m.t.Context(), relay.Misconfigured))
}

func (m *machine) requeue(rt *rapid.T) {
	r := outbox.RequeueRequest{IDs: m.dead(rt), Force: rapid.IntRange(0, 3).Draw(rt, "force") == 0}
	want, err := m.model.Requeue(m.t.Context(), r)
	require.NoError(rt, err)
	got, err := m.store.(outbox.Operations).Requeue(m.t.Context(), r)
	require.NoError(rt, err)
	require.Equal(rt, want, got)
}

func (m *machine) drop(rt *rapid.T) {
	ids := m.dead(rt)
	want, err := m.model.Drop(m.t.Context(), ids)
	require.NoError(rt, err)
	got, err := m.store.(outbox.Operations).Drop(m.t.Context(), ids)
	require.NoError(rt, err)
	require.Equal(rt, want, got)
}

// dead draws ids of dead letters, and one that is none.
func (m *machine) dead(rt *rapid.T) []string {
	letters := m.model.Dead()
	if len(letters) == 0 {
		rt.Skip("nothing is dead")
	}
	ids := []string{"none-0"}
	for range rapid.IntRange(1, 2).Draw(rt, "letters") {
		ids = append(ids, rapid.SampledFrom(letters).Draw(rt, "letter").Item.ID)
	}
	return ids
}

func (m *machine) check(rt *rapid.T) {
	want, err := m.model.Stats(m.t.Context())
	require.NoError(rt, err)
	got, err := m.store.Stats(m.t.Context())
	require.NoError(rt, err)
	require.Equal(rt, want, got)
}

func (m *machine) compareHistory() {
	want, _, err := m.model.History(m.t.Context(), outbox.HistoryQuery{Limit: 10_000})
	require.NoError(m.t, err)
	var got []outbox.Event
	q := outbox.HistoryQuery{Limit: 7}
	for {
		events, cursor, err := m.store.History(m.t.Context(), q)
		require.NoError(m.t, err)
		got = append(got, events...)
		if q.Cursor = cursor; cursor == "" {
			break
		}
	}
	require.True(m.t, slices.Equal(want, got), "want %v, got %v", want, got)
}

func (m *machine) compareDeliveries() {
	all := func(o outbox.Operations, limit int) []outbox.Delivery {
		var rows []outbox.Delivery
		q := outbox.DeliveryQuery{Page: outbox.Page{Limit: limit}}
		for {
			page, cursor, err := o.Deliveries(m.t.Context(), q)
			require.NoError(m.t, err)
			rows = append(rows, page...)
			if q.Cursor = cursor; cursor == "" {
				break
			}
		}
		slices.SortStableFunc(rows, func(a, b outbox.Delivery) int { return strings.Compare(a.ID, b.ID) })
		return rows
	}
	require.Equal(m.t, all(m.model, outbox.MaxPage), all(m.store.(outbox.Operations), 3))
	want, _, err := m.model.DeadLetters(m.t.Context(), outbox.DeadLetterQuery{Page: outbox.Page{Limit: outbox.MaxPage}})
	require.NoError(m.t, err)
	got, _, err := m.store.(outbox.Operations).DeadLetters(m.t.Context(),
		outbox.DeadLetterQuery{Page: outbox.Page{Limit: outbox.MaxPage}})
	require.NoError(m.t, err)
	require.Equal(m.t, want, got)
}
