package outboxtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/outbox"
)

var _ outbox.Store = (*Memory)(nil)

// Memory is the naive store: everything in slices and maps, every question answered by looking at all of it. It shares no
// code with the real stores, so it is the model they are compared with; tests of other packages use it as their store. It
// keeps everything and forgets nothing.
type Memory struct {
	mu      sync.Mutex
	now     func() time.Time
	marks   map[dedupe.Slot]mark
	saved   map[relay.AlertKey]relay.Saved
	lanes   []*lane
	leases  []*lease
	slots   map[relay.LimiterID][]time.Time
	holds   map[relay.LimiterID]time.Time
	reasons map[relay.LimiterID]relay.Kind // of the holds
	probing map[relay.LimiterID]bool       // nothing was sent since the last hold
	served  map[relay.LimiterID]int        // the turn in which it was served last
	turn    int
	known   map[relay.IntegrationID]outbox.Terms // of the last claim
	missing map[relay.IntegrationID]time.Time    // since when claims do not name them
	dead    []deadLetter
	history []outbox.Event
}

// A DeadLetter is an entry that could not be told.
type DeadLetter struct {
	Lane outbox.Lane
	Item outbox.Item
}

type mark struct {
	state dedupe.State
	at    time.Time
	id    string
}

type lane struct {
	id      outbox.Lane
	known   bool // whether state was ever set
	state   dedupe.State
	items   []item
	due     time.Time
	attempt int
	crashes int
	ref     relay.Ref
	told    map[string]time.Time
	toldAt  time.Time
	newest  time.Time // when the newest was received that was sent
	rest    []relay.Message
	failure outbox.Event // what the last settle said of the head, when that failed
	bound   int          // items that rest tells
	apart   bool         // whether the head must be in no digest
	alone   bool         // whether the head must be told alone
	rigid   bool         // whether it is not to be folded
	lease   *lease
}

// A deadLetter is what is kept of an entry that could not be told.
type deadLetter struct {
	item
	lane  outbox.Lane
	event outbox.Event
}

type item struct {
	outbox.Item
	entry   outbox.Entry
	webhook outbox.Webhook
}

type lease struct {
	outbox.Lease
	lanes   []*lane
	items   []int // of each lane, from its head
	limiter relay.LimiterID
	fold    bool
	from    int // of the items, when they are to be folded
}

// NewMemory returns an empty store whose clock is now.
func NewMemory(now func() time.Time) *Memory {
	return &Memory{
		now:     now,
		marks:   map[dedupe.Slot]mark{},
		saved:   map[relay.AlertKey]relay.Saved{},
		slots:   map[relay.LimiterID][]time.Time{},
		holds:   map[relay.LimiterID]time.Time{},
		reasons: map[relay.LimiterID]relay.Kind{},
		probing: map[relay.LimiterID]bool{},
		missing: map[relay.IntegrationID]time.Time{},
		served:  map[relay.LimiterID]int{},
	}
}

// Recall implements outbox.Store.
func (m *Memory) Recall(ctx context.Context, q outbox.Query) (outbox.Known, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ended(ctx); err != nil {
		return outbox.Known{}, err
	}
	if last, ok := m.marks[q.Slot]; ok && dedupe.Duplicate(last.state, last.at, q.State, m.now(), q.Window) {
		m.record(outbox.Event{Type: outbox.EventDuplicate, Notification: last.id})
		return outbox.Known{Duplicate: true, ID: last.id}, nil
	}
	known := outbox.Known{Saved: map[relay.AlertKey]relay.Saved{}}
	for _, key := range q.Alerts {
		if saved, ok := m.saved[key]; ok {
			known.Saved[key] = saved
		}
	}
	return known, nil
}

// Accept implements outbox.Store.
func (m *Memory) Accept(ctx context.Context, w outbox.Webhook) (outbox.Accepted, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ended(ctx); err != nil {
		return outbox.Accepted{}, err
	}
	now := m.now()
	last, seen := m.marks[w.Slot]
	same := seen && last.state == w.State
	first := last.id
	if m.pending(w.ID) {
		first = w.ID
	}
	if first == w.ID || seen && dedupe.Duplicate(last.state, last.at, w.State, now, w.Window) {
		m.record(outbox.Event{
			Type: outbox.EventDuplicate, Notification: first, GroupKey: w.GroupKey, Receiver: w.Receiver,
			Status: w.Status, Alerts: w.Alerts,
		})
		return outbox.Accepted{ID: first, Duplicate: true}, nil
	}
	m.marks[w.Slot] = mark{w.State, now, w.ID}
	for key, saved := range w.Saved {
		if _, ok := m.saved[key]; !ok {
			m.saved[key] = saved
		}
	}
	stored := 0
	for i, e := range w.Entries {
		l := m.lane(e.Lane)
		if e.Silent {
			if l.state = e.State; len(l.items) == 0 {
				l.told = e.Told
			}
			continue
		}
		if l.known && l.state == e.State && !w.Reminder && !same {
			continue
		}
		l.known, l.state = true, e.State
		it := outbox.Item{ID: w.ID + "-" + strconv.Itoa(i), At: w.ReceivedAt, Notification: e.Notification}
		if len(l.items) == 0 {
			l.due = now
		}
		l.items = append(l.items, item{it, e, w})
		m.miss(e.Lane.Integration)
		stored++
	}
	m.record(outbox.Event{
		Type: outbox.EventAccepted, Notification: w.ID, GroupKey: w.GroupKey, Receiver: w.Receiver,
		Status: w.Status, Alerts: w.Alerts, Entries: stored,
	})
	return outbox.Accepted{ID: w.ID, Entries: stored}, nil
}

// Claim implements outbox.Store.
func (m *Memory) Claim(
	ctx context.Context, c outbox.ClaimRequest,
) ([]outbox.Batch, time.Duration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ended(ctx); err != nil {
		return nil, 0, err
	}
	now := m.now()
	m.expire(now)
	m.giveUp(c, now)
	var batches []outbox.Batch
	for len(batches) < c.Max {
		l, limiter := m.best(c, now)
		if l == nil {
			break
		}
		batches = append(batches, m.take(m.share(l, c, now), limiter, rand.Text(), now.Add(c.Lease), c))
	}
	for _, l := range m.lanes {
		if from := m.foldable(l, c); from >= 0 && len(batches) < c.Max {
			batches = append(batches, m.fold(l, from, rand.Text(), now.Add(c.Lease)))
		}
	}
	return batches, m.wait(c, now), nil
}

// giveUp puts into the dead letters what has waited for its integration for 15 minutes.
func (m *Memory) giveUp(c outbox.ClaimRequest, now time.Time) {
	m.known = c.Integrations
	var gone []*lane
	for _, l := range m.lanes {
		if _, known := m.known[l.id.Integration]; known {
			delete(m.missing, l.id.Integration)
		} else if len(l.items) > 0 {
			m.miss(l.id.Integration)
			if l.lease == nil && now.Sub(m.missing[l.id.Integration]) >= 15*time.Minute {
				gone = append(gone, l)
			}
		}
	}
	slices.SortFunc(gone, func(a, b *lane) int { return cmp.Compare(a.items[0].ID, b.items[0].ID) })
	for _, l := range gone {
		if c.Removed != nil {
			c.Removed(l.id.Integration, len(l.items))
		}
		m.settleLane(l, false, slices.Clone(l.items), outbox.Outcome{
			Result: outbox.Dead, Reason: "destination_removed", Detail: "the integration is configured no more",
			Items: []string{"all"},
		}, now)
	}
}

// miss notes since when an integration is missing.
func (m *Memory) miss(id relay.IntegrationID) {
	_, known := m.known[id]
	if _, noted := m.missing[id]; !known && !noted && m.known != nil {
		m.missing[id] = m.now()
	}
}

// Settle implements outbox.Store.
func (m *Memory) Settle(ctx context.Context, held outbox.Lease, o outbox.Outcome) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ended(ctx); err != nil {
		return err
	}
	now := m.now()
	m.expire(now)
	at := slices.IndexFunc(m.leases, func(l *lease) bool { return l.Nonce == held.Nonce })
	if at < 0 {
		return outbox.ErrStale
	}
	le := m.leases[at]
	if le.fold || o.Result == outbox.Folded {
		return m.settleFold(le, o)
	}
	var claimed [][]item
	for i, l := range le.lanes {
		claimed = append(claimed, slices.Clone(l.items[:le.items[i]]))
	}
	if len(o.Items) > 0 && !slices.EqualFunc(o.Items, slices.Concat(claimed...), func(id string, it item) bool {
		return id == it.ID
	}) {
		return outbox.ErrStale
	}
	if len(le.lanes) > 1 && len(o.Rest) > 0 {
		return fmt.Errorf("%w: a digest has a rest", outbox.ErrUnavailable)
	}
	m.leases = slices.Delete(m.leases, at, at+1)
	if until := now.Add(o.Hold); o.Hold > 0 && until.After(m.holds[le.limiter]) {
		m.holds[le.limiter] = until
		if m.reasons[le.limiter] = o.HoldReason; o.HoldReason == "" {
			m.reasons[le.limiter] = o.Reason
		}
	}
	if o.Hold > 0 || o.Result == outbox.Sent {
		m.probing[le.limiter] = o.Hold > 0
	}
	if o.Result != outbox.Release && !o.NoSlot {
		m.slots[le.limiter] = append(m.slots[le.limiter], now)
	}
	for i, l := range le.lanes {
		m.settleLane(l, len(le.lanes) > 1, claimed[i], o, now)
	}
	return nil
}

// Lift implements outbox.Store.
func (m *Memory) Lift(ctx context.Context, reason relay.Kind) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ended(ctx); err != nil {
		return err
	}
	for limiter, until := range m.holds {
		if until.After(m.now()) && m.reasons[limiter] == reason {
			m.holds[limiter] = m.now()
		}
	}
	return nil
}

func (m *Memory) settleLane(l *lane, shared bool, claimed []item, o outbox.Outcome, now time.Time) {
	attempt := l.attempt + 1
	l.lease, l.crashes, l.due = nil, 0, now.Add(o.After)
	if o.Ref != "" {
		l.ref = o.Ref
	}
	if len(o.Rest) > 0 {
		l.rest, l.bound = o.Rest, len(claimed)
	}
	switch {
	case o.Apart && shared:
		l.apart = true
	case o.Apart:
		l.rest, l.bound, l.alone = nil, 0, true
	}
	if o.Result != outbox.Release {
		l.failure = outbox.Event{Reason: o.Reason, Detail: o.Detail}
	}
	ended := len(o.Items) > 0 && (o.Result == outbox.Dead || o.Result == outbox.Sent && len(o.Rest) == 0)
	newest := claimed[len(claimed)-1]
	for i, it := range claimed {
		event := outbox.Event{
			Notification: it.webhook.ID, GroupKey: l.id.GroupKey, Receiver: l.id.Receiver, Room: l.id.Room,
			Status: it.webhook.Status, Alerts: it.webhook.Alerts, Entry: it.ID,
			Integration: l.id.Integration, Destination: l.id.Destination,
		}
		last := i == len(claimed)-1
		if ended && o.Result == outbox.Sent && !last {
			event.Type, event.Detail, event.Attempt = outbox.EventMerged, newest.ID, attempt
			m.record(event)
			continue
		}
		event.Attempt, event.Part, event.Parts, event.Reason, event.Detail = attempt, o.Part, o.Parts, o.Reason, o.Detail
		event.Fallback, event.Duration, event.Text = o.Fallback, o.Duration, o.Text
		switch {
		case o.Result == outbox.Dead && (last || ended):
			event.Type = outbox.EventFailed
		case o.Result == outbox.Sent && last:
			event.Type = outbox.EventSent
		case o.Result == outbox.Retry && last:
			event.Type = outbox.EventRetrying
		default:
			continue
		}
		m.record(event)
		if ended && o.Result == outbox.Dead {
			event.At = m.now()
			it.Requeued, it.Folded, it.Since = time.Time{}, 0, time.Time{}
			m.dead = append(m.dead, deadLetter{it, l.id, event})
		}
	}
	if o.Result == outbox.Retry && o.Reason != relay.RateLimited {
		l.attempt = attempt
	}
	if ended {
		if o.Result == outbox.Sent && !newest.At.Before(l.newest) {
			l.told, l.toldAt, l.newest = newest.entry.Told, now, newest.At
		}
		l.items, l.rest, l.bound, l.apart, l.alone, l.rigid = l.items[len(claimed):], nil, 0, false, false, false
		l.attempt, l.due = 0, now
		l.failure = outbox.Event{}
	}
}

// History implements outbox.Store.
func (m *Memory) History(ctx context.Context, q outbox.HistoryQuery) ([]outbox.Event, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ended(ctx); err != nil {
		return nil, "", err
	}
	from := len(m.history)
	if q.Cursor != "" {
		var err error
		if from, err = strconv.Atoi(q.Cursor); err != nil || from < 0 || from > len(m.history) {
			return nil, "", fmt.Errorf("history: %q is not a cursor", q.Cursor)
		}
	}
	limit := cmp.Or(q.Limit, 100)
	var events []outbox.Event
	for i := from - 1; i >= 0; i-- {
		e := m.history[i]
		if q.Notification != "" && e.Notification != q.Notification ||
			q.Integration != "" && e.Integration != q.Integration ||
			len(q.Types) > 0 && !slices.Contains(q.Types, e.Type) ||
			!q.Since.IsZero() && e.At.Before(q.Since) ||
			!q.Until.IsZero() && !e.At.Before(q.Until) {
			continue
		}
		if len(events) == limit {
			return events, strconv.Itoa(i + 1), nil
		}
		events = append(events, e)
	}
	return events, "", nil
}

// Stats implements outbox.Store.
func (m *Memory) Stats(ctx context.Context) (outbox.Stats, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ended(ctx); err != nil {
		return outbox.Stats{}, err
	}
	now := m.now()
	m.expire(now)
	s := outbox.Stats{
		Dead:     len(m.dead),
		Limiters: map[relay.LimiterID]int{}, Holds: map[relay.LimiterID]time.Time{},
		Windows: m.windows(now),
	}
	for _, le := range m.leases {
		if !le.fold {
			s.InFlight++
		}
	}
	for _, l := range m.lanes {
		if len(l.items) > 0 {
			s.Lanes++
		}
		for _, it := range l.items {
			s.Pending++
			if at := later(it.Oldest(), it.Requeued); s.Oldest.IsZero() || at.Before(s.Oldest) {
				s.Oldest = at
			}
			for _, limiter := range m.limiters(l, it) {
				s.Limiters[limiter]++
			}
		}
	}
	for limiter, until := range m.holds {
		if until.After(now) {
			s.Holds[limiter] = until
		}
	}
	return s, nil
}

func (m *Memory) windows(now time.Time) map[relay.LimiterID]outbox.Window {
	windows := map[relay.LimiterID]outbox.Window{}
	for limiter, limit := range outbox.Limits(m.known) {
		w := outbox.Window{Limit: limit}
		for _, le := range m.leases {
			if le.limiter == limiter {
				w.Used++
			}
		}
		for _, slot := range m.slots[limiter] {
			if slot.Add(limit.Per).After(now) {
				w.Used++
			}
		}
		windows[limiter] = w
	}
	return windows
}

// Close implements outbox.Store.
func (m *Memory) Close() error { return nil }

// Dead returns the dead letters, oldest first.
func (m *Memory) Dead() []DeadLetter {
	m.mu.Lock()
	defer m.mu.Unlock()
	var letters []DeadLetter
	for _, d := range m.dead {
		letters = append(letters, DeadLetter{d.lane, d.Item})
	}
	return letters
}

func ended(ctx context.Context) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", outbox.ErrUnavailable, context.Cause(ctx))
	}
	return nil
}

func (m *Memory) record(e outbox.Event) {
	e.At = m.now()
	m.history = append(m.history, e)
}

func (m *Memory) pending(id string) bool {
	return slices.ContainsFunc(m.lanes, func(l *lane) bool {
		return slices.ContainsFunc(l.items, func(it item) bool { return it.webhook.ID == id })
	})
}

func (m *Memory) lane(id outbox.Lane) *lane {
	for _, l := range m.lanes {
		if l.id == id {
			return l
		}
	}
	l := &lane{id: id}
	m.lanes = append(m.lanes, l)
	return l
}

// expire ends the leases that were not settled in time. Their slots count as used at the end of the lease.
func (m *Memory) expire(now time.Time) {
	m.leases = slices.DeleteFunc(m.leases, func(le *lease) bool {
		if now.Before(le.Until) {
			return false
		}
		for _, l := range le.lanes {
			l.lease = nil
			if !le.fold {
				l.crashes++
			}
		}
		if le.fold {
			return true
		}
		m.slots[le.limiter] = append(m.slots[le.limiter], le.Until)
		return true
	})
}

// best is a ready lane of the limiter that was served longest ago.
func (m *Memory) best(c outbox.ClaimRequest, now time.Time) (best *lane, with relay.LimiterID) {
	for _, l := range m.lanes {
		limiter, wait := m.ready(l, c, now)
		if wait == 0 && (best == nil || m.served[limiter] < m.served[with]) {
			best, with = l, limiter
		}
	}
	return best, with
}

// ready tells with which limiter the lane can be told now, or how long that takes; less than zero when it cannot be told
// by c at all.
func (m *Memory) ready(l *lane, c outbox.ClaimRequest, now time.Time) (relay.LimiterID, time.Duration) {
	if _, known := c.Integrations[l.id.Integration]; !known || len(l.items) == 0 {
		return "", -1
	}
	if l.lease != nil {
		return "", l.lease.Until.Sub(now)
	}
	best, soonest := relay.LimiterID(""), time.Duration(-1)
	for _, limiter := range m.limiters(l, l.items[0]) {
		if wait := m.free(limiter, c, now); soonest < 0 || wait < soonest {
			best, soonest = limiter, wait
		}
	}
	return best, max(soonest, l.due.Sub(now))
}

// free tells how long it takes until the limiter has a free slot, if nothing is settled meanwhile.
func (m *Memory) free(limiter relay.LimiterID, c outbox.ClaimRequest, now time.Time) time.Duration {
	limit, inFlight := m.terms(limiter, c)
	if m.probing[limiter] {
		inFlight = 1
	}
	at := m.holds[limiter]
	for ; ; at = m.next(limiter, at, limit.Per) {
		at = later(at, now)
		flying, used := 0, 0
		for _, le := range m.leases {
			if le.limiter == limiter && le.Until.After(at) {
				flying++
			}
			if le.limiter == limiter && !le.Until.After(at) && le.Until.Add(limit.Per).After(at) {
				used++
			}
		}
		for _, slot := range m.slots[limiter] {
			if slot.Add(limit.Per).After(at) {
				used++
			}
		}
		if (inFlight == 0 || flying < inFlight) && (limit.Messages == 0 || flying+used < limit.Messages) {
			return at.Sub(now)
		}
	}
}

// next is the first instant after at when something about the limiter's slots changes by itself.
func (m *Memory) next(limiter relay.LimiterID, at time.Time, per time.Duration) time.Time {
	var next time.Time
	consider := func(t time.Time) {
		if t.After(at) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, slot := range m.slots[limiter] {
		consider(slot.Add(per))
	}
	for _, le := range m.leases {
		if le.limiter == limiter {
			consider(le.Until)
			consider(le.Until.Add(per))
		}
	}
	return next
}

// limiters are those that may send the entry under the terms of the last claim.
func (m *Memory) limiters(l *lane, it item) []relay.LimiterID {
	return m.known[l.id.Integration].Bound(it.entry.Limiters)
}

// terms are the smallest of those integrations that have something pending for the limiter.
func (m *Memory) terms(limiter relay.LimiterID, c outbox.ClaimRequest) (relay.Limit, int) {
	var limit relay.Limit
	inFlight := 0
	for _, l := range m.lanes {
		for _, it := range l.items {
			t, known := c.Integrations[l.id.Integration]
			if !known || !slices.Contains(m.limiters(l, it), limiter) {
				continue
			}
			if t.MaxInFlight > 0 && (inFlight == 0 || t.MaxInFlight < inFlight) {
				inFlight = t.MaxInFlight
			}
			if t.Limit.Messages > 0 && (limit.Messages == 0 || rate(t.Limit) < rate(limit) ||
				rate(t.Limit) == rate(limit) && t.Limit.Messages < limit.Messages) {
				limit = t.Limit
			}
		}
	}
	return limit, inFlight
}

func rate(l relay.Limit) float64 { return float64(l.Messages) / l.Per.Seconds() }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// share returns the lanes that are told in one message with a lane that is ready.
func (m *Memory) share(first *lane, c outbox.ClaimRequest, now time.Time) []*lane {
	terms := c.Integrations[first.id.Integration]
	peers, ready := []*lane{first}, 0
	for _, l := range m.lanes {
		if _, wait := m.ready(l, c, now); wait != 0 || l.id.Integration != first.id.Integration ||
			!slices.Equal(l.items[0].entry.Limiters, first.items[0].entry.Limiters) {
			continue
		}
		ready++
		if l != first && l.shares() && l.id.Destination == first.id.Destination && l.id.Room == first.id.Room {
			peers = append(peers, l)
		}
	}
	room := 0
	for _, limiter := range m.limiters(first, first.items[0]) {
		room += m.room(limiter, c, now)
	}
	if terms.Digest < 2 || terms.Backlog != relay.BacklogMerge || !first.shares() || ready <= room {
		return peers[:1]
	}
	return peers[:min(len(peers), terms.Digest)]
}

// shares tells whether the lane may share a message with others.
func (l *lane) shares() bool {
	return l.id.Destination != "" && l.ref == "" && l.bound == 0 && !l.apart && !l.alone && l.crashes < 3 &&
		l.items[0].Requeued.IsZero()
}

// room is how many slots are free without the reserve.
func (m *Memory) room(limiter relay.LimiterID, c outbox.ClaimRequest, now time.Time) int {
	limit, _ := m.terms(limiter, c)
	if limit.Messages == 0 {
		return 1_000_000
	}
	if m.holds[limiter].After(now) {
		return 0
	}
	room := limit.Messages
	if limit.Messages >= 5 {
		room -= 3 * limit.Messages / 20
	}
	for _, le := range m.leases {
		if le.limiter == limiter {
			room--
		}
	}
	for _, slot := range m.slots[limiter] {
		if slot.Add(limit.Per).After(now) {
			room--
		}
	}
	return max(0, room)
}

// take leases lanes that are ready.
func (m *Memory) take(
	lanes []*lane, limiter relay.LimiterID, nonce string, until time.Time, c outbox.ClaimRequest,
) outbox.Batch {
	le := &lease{Lease: outbox.Lease{Nonce: nonce, Until: until}, lanes: lanes, limiter: limiter}
	m.leases = append(m.leases, le)
	m.turn++
	m.served[limiter] = m.turn
	batch := outbox.Batch{Lease: le.Lease, Limiter: limiter}
	for _, l := range lanes {
		together := l.together(c.Integrations[l.id.Integration])
		l.lease = le
		le.items = append(le.items, together)
		lane := outbox.LaneBatch{
			Lane: l.id, Destination: l.items[together-1].entry.Destination,
			Attempt: l.attempt + 1, Crashes: l.crashes, Ref: l.ref, Rest: l.rest,
			Told: maps.Clone(l.told), ToldAt: l.toldAt,
		}
		for _, it := range l.items[:together] {
			lane.Items = append(lane.Items, it.Item)
		}
		batch.Lanes = append(batch.Lanes, lane)
	}
	return batch
}

// together is how many items are told in one message.
func (l *lane) together(terms outbox.Terms) int {
	if l.bound > 0 {
		return l.bound
	}
	if terms.Backlog != relay.BacklogMerge || l.alone || l.crashes >= 3 || !l.items[0].Requeued.IsZero() {
		return 1
	}
	n := 1
	for n < len(l.items) && n < 20 && slices.Equal(l.items[n].entry.Limiters, l.items[0].entry.Limiters) &&
		l.items[n].Requeued.IsZero() {
		n++
	}
	return n
}

// wait is how long until something more may be due; zero when nothing is pending for c.
func (m *Memory) wait(c outbox.ClaimRequest, now time.Time) time.Duration {
	soonest := time.Duration(-1)
	for _, l := range m.lanes {
		_, wait := m.ready(l, c, now)
		if since, missing := m.missing[l.id.Integration]; missing && len(l.items) > 0 && l.lease == nil {
			wait = since.Add(15 * time.Minute).Sub(now)
		}
		if wait >= 0 && (soonest < 0 || wait < soonest) {
			soonest = max(wait, 1)
		}
	}
	return max(soonest, 0)
}
