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
func deliveryTests() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"deliveries tell what became of each entry":                          testDeliveryStates,
		"what waits, and what is dead, is told with its body when asked for": testBodies,
		"each delivery is on one page": func(t *testing.T, f *fixture) {
			want := map[string]outbox.DeliveryState{}
			for i := range 4 {
				w := f.webhook("dead" + strconv.Itoa(i))
				f.dies(w, relay.Refused)
				want[w.ID+"-0"] = outbox.StateFailed
			}
			for i := range 4 {
				w := f.webhook("sent" + strconv.Itoa(i))
				f.accept(w)
				b := f.claimOne()
				f.settle(b, sent(b))
				want[w.ID+"-0"] = outbox.StateSent
			}
			for i := range 4 {
				w := f.webhook("waits" + strconv.Itoa(i))
				w.Entries = append(w.Entries, f.entry(w.GroupKey, pay, "other"))
				f.accept(w)
				want[w.ID+"-0"], want[w.ID+"-1"] = outbox.StatePending, outbox.StatePending
			}
			for limit := 1; limit < 20; limit += 3 {
				got := map[string]outbox.DeliveryState{}
				q := outbox.DeliveryQuery{Page: outbox.Page{Limit: limit}}
				for {
					rows, cursor, err := f.operations().Deliveries(t.Context(), q)
					require.NoError(t, err)
					require.LessOrEqual(t, len(rows), limit)
					for _, d := range rows {
						require.NotContains(t, got, d.ID)
						got[d.ID] = d.State
					}
					if q.Cursor = cursor; cursor == "" {
						break
					}
				}
				require.Equal(t, want, got, "in pages of %d", limit)
			}
			rows, _, err := f.operations().Deliveries(t.Context(), outbox.DeliveryQuery{
				States: []outbox.DeliveryState{outbox.StateSent}, Filter: outbox.Filter{GroupKey: "sent2"},
			})
			require.NoError(t, err)
			require.Len(t, rows, 1)
		},
		"a webhook with all that became of it": testNotification,
		"webhooks are listed newest first": func(t *testing.T, f *fixture) {
			var want []string
			for i := range 7 {
				w := f.webhook([]string{"g", "h"}[i%2])
				f.accept(w)
				f.accept(f.copyOf(w)) // a duplicate is no webhook of its own
				if i%2 == 0 {
					want = append([]string{w.ID}, want...)
				}
				f.Advance(time.Second)
			}
			var got []string
			q := outbox.NotificationQuery{GroupKey: "g", Page: outbox.Page{Limit: 3}}
			for {
				rows, cursor, err := f.operations().Notifications(t.Context(), q)
				require.NoError(t, err)
				for _, n := range rows {
					got = append(got, n.ID)
					require.Equal(t, "g", n.GroupKey)
				}
				if q.Cursor = cursor; cursor == "" {
					break
				}
			}
			require.Equal(t, want, got)
			for name, q := range map[string]outbox.NotificationQuery{
				"receiver": {Receiver: "nobody"}, "status": {Status: relay.StatusResolved}, "since": {Since: f.Now()},
				"until": {Until: f.Now().Add(-time.Hour)},
			} {
				rows, _, err := f.operations().Notifications(t.Context(), q)
				require.NoError(t, err)
				require.Empty(t, rows, name)
			}
		},
		"a cursor of nobody is refused": func(t *testing.T, f *fixture) {
			_, _, err := f.operations().Deliveries(t.Context(), outbox.DeliveryQuery{Page: outbox.Page{Cursor: "x"}})
			require.ErrorIs(t, err, outbox.ErrCursor)
			_, _, err = f.operations().Notifications(t.Context(), outbox.NotificationQuery{Page: outbox.Page{Cursor: "x"}})
			require.ErrorIs(t, err, outbox.ErrCursor)
		},
		"nothing is known of a webhook that never came": func(t *testing.T, f *fixture) {
			f.accept(f.webhook("g"))
			for _, id := range []string{"", "0", "01ARZ3NDEKTSV4RRFFQ69G9999"} {
				_, _, err := f.operations().Notification(t.Context(), id)
				require.ErrorIs(t, err, outbox.ErrNotFound)
			}
		},
	}
}

func testDeliveryStates(t *testing.T, f *fixture) {
	t.Helper()
	f.terms = map[relay.IntegrationID]outbox.Terms{ops: {}, pay: {}}
	waits, tries, held := f.webhook("waits"), f.webhook("tries"), f.webhook("held")
	held.Entries = []outbox.Entry{f.entry("held", pay, "other")}
	told, dropped, dead := f.webhook("told"), f.webhook("dropped"), f.webhook("dead")
	f.dies(dropped, relay.Refused)
	_, err := f.operations().Drop(t.Context(), []string{dropped.ID + "-0"})
	require.NoError(t, err)
	f.dies(dead, relay.Refused)
	for _, w := range []outbox.Webhook{told, tries, held} {
		f.accept(w)
		b := f.claimOne()
		switch w.GroupKey {
		case "told":
			f.settle(b, outbox.Outcome{
				Result: outbox.Sent, Items: ids(b), Rest: []relay.Message{{ID: "2"}}, Part: 1, Parts: 2, Detail: "half",
			})
			b = f.claimOne()
			f.settle(b, outbox.Outcome{Result: outbox.Sent, Items: ids(b), Part: 2, Parts: 2, Detail: "ok"})
		case "tries":
			f.settle(b, outbox.Outcome{
				Result: outbox.Retry, Items: ids(b), After: time.Minute, Reason: relay.Transient, Detail: "timeout",
			})
		default:
			f.settle(b, outbox.Outcome{
				Result: outbox.Retry, Items: ids(b), Hold: time.Hour, Reason: relay.Misconfigured, Detail: "token",
			})
		}
	}
	f.accept(waits)
	row := func(w outbox.Webhook, state outbox.DeliveryState) outbox.Delivery {
		return outbox.Delivery{
			ID: w.ID + "-0", Notification: w.ID, State: state, Lane: w.Entries[0].Lane, Status: w.Status, Alerts: 1, At: f.Now(),
			Attempts: 1,
		}
	}
	want := map[string]outbox.Delivery{
		"waits": row(waits, outbox.StatePending), "tries": row(tries, outbox.StateRetrying),
		"held": row(held, outbox.StateRetrying), "dead": row(dead, outbox.StateFailed),
		"told": row(told, outbox.StateSent), "dropped": row(dropped, outbox.StateFailed),
	}
	set := func(group string, change func(*outbox.Delivery)) {
		d := want[group]
		change(&d)
		want[group] = d
	}
	set("waits", func(d *outbox.Delivery) { d.Attempts = 0 })
	set("tries", func(d *outbox.Delivery) {
		d.Reason, d.Detail, d.Next = relay.Transient, "timeout", f.Now().Add(time.Minute)
	})
	set("held", func(d *outbox.Delivery) {
		d.Reason, d.Detail, d.Next = relay.Misconfigured, "token", f.Now().Add(time.Hour)
	})
	set("dead", func(d *outbox.Delivery) { d.Reason, d.Detail = relay.Refused, "no" })
	set("told", func(d *outbox.Delivery) { d.Detail = "ok" })
	set("dropped", func(d *outbox.Delivery) { d.Reason, d.Attempts = relay.Refused, 0 })
	rows, cursor, err := f.operations().Deliveries(t.Context(), outbox.DeliveryQuery{})
	require.NoError(t, err)
	require.Empty(t, cursor)
	got := map[string]outbox.Delivery{}
	for _, d := range rows {
		require.NotContains(t, got, d.Lane.GroupKey)
		got[d.Lane.GroupKey] = d
	}
	require.Equal(t, want, got)
	require.Equal(t, outbox.StateFailed, rows[len(rows)-1].State, "what ended first comes last")
}

func testBodies(t *testing.T, f *fixture) {
	t.Helper()
	dead, waits, told := f.webhook("dead"), f.webhook("waits"), f.webhook("told")
	f.dies(dead, relay.Refused)
	f.accept(told)
	b := f.claimOne()
	f.settle(b, sent(b))
	waits.Entries = append(waits.Entries, f.entry("waits", pay, "other"))
	f.accept(waits)
	want := map[string]string{
		dead.ID + "-0": string(dead.Entries[0].Notification), waits.ID + "-0": string(waits.Entries[0].Notification),
		waits.ID + "-1": string(waits.Entries[1].Notification), told.ID + "-0": "",
	}
	for _, bodies := range []bool{true, false} {
		rows, _, err := f.operations().Deliveries(t.Context(), outbox.DeliveryQuery{Bodies: bodies})
		require.NoError(t, err)
		require.Len(t, rows, len(want))
		for _, d := range rows {
			if !bodies {
				want[d.ID] = ""
			}
			require.Equal(t, want[d.ID], string(d.Body), d.State)
		}
	}
}

func testNotification(t *testing.T, f *fixture) {
	t.Helper()
	w := f.webhook("g")
	w.Entries = append(w.Entries, f.entry("g", pay, "other"), f.entry("g", "ops/email/main", "mail"))
	w.Entries[1].Notification = w.Entries[0].Notification
	f.accept(f.webhook("before"))
	f.accept(w)
	f.accept(f.webhook("after"))
	for _, b := range f.claim(10) {
		if b.Lanes[0].Lane.GroupKey == "g" && b.Lanes[0].Lane.Integration == ops {
			f.settle(b, outbox.Outcome{Result: outbox.Sent, Items: ids(b), Text: "told"})
		} else if b.Lanes[0].Lane.Integration == pay {
			f.settle(b, outbox.Outcome{Result: outbox.Dead, Items: ids(b), Reason: relay.Refused})
		}
	}
	f.accept(f.copyOf(w))
	n, detail, err := f.operations().Notification(t.Context(), w.ID)
	require.NoError(t, err)
	require.Equal(t, outbox.Notification{
		ID: w.ID, ReceivedAt: f.Now(), GroupKey: "g", Receiver: "ops", Status: relay.StatusFiring, Alerts: 1, Entries: 3,
	}, n)
	require.Equal(t, outbox.EventAccepted, detail.Events[0].Type)
	require.ElementsMatch(t, []outbox.EventType{
		outbox.EventAccepted, outbox.EventSent, outbox.EventFailed, outbox.EventDuplicate,
	}, types(detail.Events))
	states := map[string]outbox.DeliveryState{}
	for _, d := range detail.Deliveries {
		states[d.ID] = d.State
	}
	require.Equal(t, map[string]outbox.DeliveryState{
		w.ID + "-0": outbox.StateSent, w.ID + "-1": outbox.StateFailed, w.ID + "-2": outbox.StatePending,
	}, states)
	require.ElementsMatch(t, [][]byte{w.Entries[1].Notification, w.Entries[2].Notification}, detail.Parts)
}
