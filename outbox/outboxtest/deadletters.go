package outboxtest

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

//nolint:thelper // These are the tests themselves.
func deadLetterTests() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"dead letters are listed newest first": func(t *testing.T, f *fixture) {
			first, second := f.webhook("g"), f.webhook("h")
			f.dies(second, relay.Refused)
			f.Advance(time.Minute)
			f.dies(first, relay.Refused)
			letters := f.dead(outbox.DeadLetterQuery{})
			require.Len(t, letters, 2)
			require.Equal(t, outbox.DeadLetter{
				ID: first.ID + "-0", Notification: first.ID, Lane: first.Entries[0].Lane, Status: relay.StatusFiring, Alerts: 1,
				ReceivedAt: first.ReceivedAt, FailedAt: f.Now(), Attempt: 1, Reason: relay.Refused, Detail: "no",
			}, letters[1])
			require.Equal(t, second.ID, letters[0].Notification)
		},
		"dead letters can be chosen": testDeadLetterFilters,
		"pages of dead letters follow each other": func(t *testing.T, f *fixture) {
			var want, got []string
			for i := range 9 {
				w := f.webhook(strconv.Itoa(i))
				f.dies(w, relay.Refused)
				want = append([]string{w.ID + "-0"}, want...)
			}
			q := outbox.DeadLetterQuery{Page: outbox.Page{Limit: 4}}
			for {
				letters, cursor, err := f.operations().DeadLetters(t.Context(), q)
				require.NoError(t, err)
				require.LessOrEqual(t, len(letters), 4)
				for _, l := range letters {
					got = append(got, l.ID)
				}
				if q.Cursor = cursor; cursor == "" {
					break
				}
				f.dies(f.webhook("later"), relay.Refused)
			}
			require.Equal(t, want, got)
		},
		"a requeued entry is told again, marked": func(t *testing.T, f *fixture) {
			w := f.webhook("g")
			f.dies(w, relay.Refused)
			f.Advance(time.Hour)
			require.Equal(t, []outbox.Decision{{ID: w.ID + "-0"}}, f.requeue(false, w.ID+"-0"))
			require.Empty(t, f.dead(outbox.DeadLetterQuery{}))
			require.Equal(t, 0, f.stats().Dead)
			require.Equal(t, 1, f.stats().Pending)
			require.Equal(t, f.Now(), f.stats().Oldest.UTC(), "as old as its second chance")
			b := f.claimOne()
			require.Equal(t, []outbox.Item{{
				ID: w.ID + "-0", At: w.ReceivedAt, Notification: w.Entries[0].Notification, Requeued: f.Now(),
			}}, b.Lanes[0].Items)
			require.Equal(t, w.Entries[0].Lane, b.Lanes[0].Lane)
			require.Equal(t, w.Entries[0].Destination, b.Lanes[0].Destination)
			require.Equal(t, 1, b.Lanes[0].Attempt)
			f.settle(b, sent(b))
			require.Equal(t, outbox.Stats{
				Limiters: map[relay.LimiterID]int{}, Holds: map[relay.LimiterID]time.Time{},
				Windows: map[relay.LimiterID]outbox.Window{},
			}, f.stats())
			events := f.history(outbox.HistoryQuery{Notification: w.ID})
			require.Equal(t, []outbox.EventType{
				outbox.EventSent, outbox.EventRequeued, outbox.EventFailed, outbox.EventAccepted,
			}, types(events))
		},
		"what is requeued can die again": func(t *testing.T, f *fixture) {
			w := f.webhook("g")
			f.dies(w, relay.Refused)
			for range 2 {
				f.Advance(time.Minute)
				f.requeue(false, w.ID+"-0")
				b := f.claimOne()
				f.settle(b, outbox.Outcome{Result: outbox.Dead, Items: ids(b), Reason: relay.Refused, Detail: "still no"})
			}
			letters := f.dead(outbox.DeadLetterQuery{})
			require.Len(t, letters, 1)
			require.Equal(t, "still no", letters[0].Detail)
			require.Equal(t, 1, f.stats().Dead)
		},
		"what is requeued together is told oldest first": func(t *testing.T, f *fixture) {
			older, newer := f.webhook("g"), f.webhook("g")
			newer.ReceivedAt = newer.ReceivedAt.Add(time.Second)
			f.dies(older, relay.Refused)
			f.dies(newer, relay.Refused)
			f.Advance(time.Minute)
			asked := []string{newer.ID + "-0", older.ID + "-0"}
			require.Equal(t, []outbox.Decision{{ID: asked[0]}, {ID: asked[1]}}, f.requeue(false, asked...))
			for _, id := range []string{asked[1], asked[0]} {
				b := f.claimOne()
				require.Equal(t, []string{id}, ids(b))
				f.settle(b, sent(b))
			}
		},
		"a requeued entry shares no message with another": func(t *testing.T, f *fixture) {
			w := f.webhook("g")
			f.dies(w, relay.Refused)
			f.accept(f.webhook("g"))
			f.requeue(true, w.ID+"-0")
			var order []int
			for range 2 {
				b := f.claimOne()
				require.Len(t, ids(b), 1)
				order = append(order, len(b.Lanes[0].Items))
				late := !b.Lanes[0].Items[0].Requeued.IsZero()
				require.Equal(t, len(order) == 2, late, "it stands at the tail")
				f.settle(b, sent(b))
			}
		},
		"newer news is not followed by older": testRequeueRefused,
		"older news leaves what a reader knows": func(t *testing.T, f *fixture) {
			old, newer := f.webhook("g"), f.webhook("g")
			old.Entries[0].Told = map[string]time.Time{"old": f.Now()}
			newer.Entries[0].Told = map[string]time.Time{"new": f.Now()}
			newer.ReceivedAt = newer.ReceivedAt.Add(time.Second)
			f.dies(old, relay.Refused)
			f.Advance(time.Second)
			f.accept(newer)
			b := f.claimOne()
			f.settle(b, sent(b))
			f.requeue(true, old.ID+"-0")
			b = f.claimOne()
			f.settle(b, sent(b))
			f.accept(f.webhook("g"))
			require.Equal(t, newer.Entries[0].Told, f.claimOne().Lanes[0].Told)
		},
		"what is older than what is remembered needs force": func(t *testing.T, f *fixture) {
			w := f.webhook("g")
			f.dies(w, relay.Refused)
			f.Advance(8 * 24 * time.Hour)
			require.Equal(t, outbox.RefusedForgotten, f.requeue(false, w.ID+"-0")[0].Refusal)
			require.Empty(t, f.requeue(true, w.ID+"-0")[0].Refusal)
		},
		"a dropped dead letter is gone, but for its history": func(t *testing.T, f *fixture) {
			w := f.webhook("g")
			f.dies(w, relay.Refused)
			decisions, err := f.operations().Drop(t.Context(), []string{"no-0", w.ID + "-0", w.ID + "-0"})
			require.NoError(t, err)
			require.Equal(t, []outbox.Decision{
				{ID: "no-0", Refusal: outbox.RefusedNotFound},
				{ID: w.ID + "-0"},
				{ID: w.ID + "-0", Refusal: outbox.RefusedNotFound},
			}, decisions)
			require.Empty(t, f.dead(outbox.DeadLetterQuery{}))
			require.Equal(t, 0, f.stats().Dead)
			events := f.history(outbox.HistoryQuery{Types: []outbox.EventType{outbox.EventDropped}})
			require.Len(t, events, 1)
			require.Equal(t, w.ID+"-0", events[0].Entry)
			require.Equal(t, ops, events[0].Integration)
		},
		"requeuing while other entries of the webhook are pending": func(t *testing.T, f *fixture) {
			w := f.webhook("g")
			w.Entries = append(w.Entries, f.entry("g", pay, "other"))
			f.accept(w)
			f.terms = map[relay.IntegrationID]outbox.Terms{ops: {}}
			b := f.claimOne()
			f.settle(b, outbox.Outcome{Result: outbox.Dead, Items: ids(b), Reason: relay.Refused})
			f.requeue(false, w.ID+"-0")
			b = f.claimOne()
			f.settle(b, sent(b))
			require.True(t, f.accept(w).Duplicate, "it is pending still")
			f.terms = map[relay.IntegrationID]outbox.Terms{pay: {}}
			b = f.claimOne()
			f.settle(b, sent(b))
			require.Zero(t, f.stats().Pending)
			require.True(t, f.stats().Oldest.IsZero())
		},
	}
}

func testDeadLetterFilters(t *testing.T, f *fixture) {
	t.Helper()
	w := f.webhook("g")
	w.Entries = append(w.Entries, f.entry("g", pay, "other"))
	f.dies(w, relay.Refused)
	f.Advance(time.Minute)
	other := f.webhook("h")
	f.dies(other, "max_age")
	for name, test := range map[string]struct {
		query outbox.DeadLetterQuery
		want  []string
	}{
		"all":          {outbox.DeadLetterQuery{}, []string{other.ID + "-0", w.ID + "-1", w.ID + "-0"}},
		"receiver":     {outbox.DeadLetterQuery{Filter: outbox.Filter{Receiver: "pay"}}, []string{w.ID + "-1"}},
		"not a prefix": {outbox.DeadLetterQuery{Filter: outbox.Filter{Receiver: "pa"}}, nil},
		"integration":  {outbox.DeadLetterQuery{Filter: outbox.Filter{Integration: ops}}, []string{other.ID + "-0", w.ID + "-0"}},
		"destination":  {outbox.DeadLetterQuery{Filter: outbox.Filter{Destination: "nowhere"}}, nil},
		"group":        {outbox.DeadLetterQuery{Filter: outbox.Filter{GroupKey: "h"}}, []string{other.ID + "-0"}},
		"notification": {outbox.DeadLetterQuery{Filter: outbox.Filter{Notification: w.ID}}, []string{w.ID + "-1", w.ID + "-0"}},
		"no such":      {outbox.DeadLetterQuery{Filter: outbox.Filter{Notification: "01"}}, nil},
		"reason":       {outbox.DeadLetterQuery{Reason: "max_age"}, []string{other.ID + "-0"}},
		"since":        {outbox.DeadLetterQuery{Filter: outbox.Filter{Since: f.Now()}}, []string{other.ID + "-0"}},
		"until":        {outbox.DeadLetterQuery{Filter: outbox.Filter{Until: f.Now()}}, []string{w.ID + "-1", w.ID + "-0"}},
	} {
		var got []string
		for _, l := range f.dead(test.query) {
			got = append(got, l.ID)
		}
		require.Equal(t, test.want, got, name)
	}
}

func testRequeueRefused(t *testing.T, f *fixture) {
	t.Helper()
	told, waits, fine := f.webhook("told"), f.webhook("waits"), f.webhook("fine")
	for _, w := range []outbox.Webhook{told, waits, fine} {
		f.dies(w, relay.Refused)
	}
	f.Advance(time.Second)
	f.accept(f.webhook("told"))
	b := f.claimOne()
	f.settle(b, sent(b))
	f.accept(f.webhook("waits"))
	f.dies(f.webhook("fine"), relay.Refused) // newer, but never told

	asked := []string{told.ID + "-0", waits.ID + "-0", fine.ID + "-0", fine.ID + "-0", "no-0"}
	require.Equal(t, []outbox.Decision{
		{ID: asked[0], Refusal: outbox.RefusedNewerSent},
		{ID: asked[1], Refusal: outbox.RefusedNewerPending},
		{ID: asked[2]},
		{ID: asked[3], Refusal: outbox.RefusedNotFound},
		{ID: asked[4], Refusal: outbox.RefusedNotFound},
	}, f.requeue(false, asked...))
	require.Equal(t, []outbox.Decision{{ID: asked[0]}, {ID: asked[1]}}, f.requeue(true, asked[:2]...))
	require.Equal(t, 1, f.stats().Dead)
	require.Equal(t, 4, f.stats().Pending)
}

func (f *fixture) operations() outbox.Operations { return f.Store.(outbox.Operations) }

// dies accepts a webhook and lets each of its entries end in the dead letters.
func (f *fixture) dies(w outbox.Webhook, reason relay.Kind) {
	f.t.Helper()
	f.accept(w)
	var others []outbox.Batch
	for left := len(w.Entries); left > 0; {
		b := f.claimOne()
		if b.Lanes[0].Lane.GroupKey != w.GroupKey {
			others = append(others, b)
			continue
		}
		f.settle(b, outbox.Outcome{Result: outbox.Dead, Items: ids(b), Reason: reason, Detail: "no"})
		left--
	}
	for _, b := range others {
		f.settle(b, outbox.Outcome{Result: outbox.Release})
	}
}

func (f *fixture) dead(q outbox.DeadLetterQuery) []outbox.DeadLetter {
	f.t.Helper()
	letters, cursor, err := f.operations().DeadLetters(f.t.Context(), q)
	require.NoError(f.t, err)
	require.Empty(f.t, cursor)
	return letters
}

func (f *fixture) requeue(force bool, ids ...string) []outbox.Decision {
	f.t.Helper()
	decisions, err := f.operations().Requeue(f.t.Context(), outbox.RequeueRequest{IDs: ids, Force: force})
	require.NoError(f.t, err)
	return decisions
}

func types(events []outbox.Event) []outbox.EventType {
	var types []outbox.EventType
	for _, e := range events {
		types = append(types, e.Type)
	}
	return types
}
