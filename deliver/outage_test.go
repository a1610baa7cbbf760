package deliver_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/deliver"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/outboxtest"
)

func TestAVendorThatIsDown(t *testing.T) {
	t.Parallel()
	down := errors.New("connection refused")
	const groups, outage = 50, 10 * time.Minute
	for _, tt := range []struct {
		name  string
		send  func(group int, since time.Duration) error
		calls int // during the outage, at most
		told  int // in the last minute of it, at least
		after time.Duration
	}{
		{
			name: "is probed, and told everything when it is back",
			send: func(_ int, since time.Duration) error {
				if since < outage {
					return down
				}
				return nil
			},
			// As many as may be under way, and then one for each hold, whose length is random up to a minute.
			calls: 2 + 100,
			after: 6 * time.Minute, // the longest hold and the longest backoff of a group
		},
		{
			name: "for some groups alone holds up no other",
			send: func(group int, _ time.Duration) error {
				if group < 4 {
					return down
				}
				return nil
			},
			calls: groups + 4*100,
			told:  groups - 4,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				store := outboxtest.NewMemory(time.Now)
				f := &fake{send: func(_ context.Context, m relay.Message) (relay.Receipt, error) {
					var group int
					_, err := fmt.Sscanf(m.ID, "w%d-", &group)
					require.NoError(t, err)
					return relay.Receipt{}, tt.send(group, time.Since(start))
				}}
				for i := range groups {
					acceptGroup(t, store, i)
				}
				_, stop := run(t, deliver.Options{Store: store, Setups: []relay.Setup{setup("a", f)}})
				time.Sleep(outage - time.Millisecond)
				synctest.Wait()
				require.LessOrEqual(t, len(f.messages()), tt.calls)
				stats, err := store.Stats(t.Context())
				require.NoError(t, err)
				require.LessOrEqual(t, stats.Pending, groups-tt.told)
				if tt.after > 0 {
					time.Sleep(tt.after)
					synctest.Wait()
					stats, err = store.Stats(t.Context())
					require.NoError(t, err)
					require.Zero(t, stats.Pending)
				}
				stop()
			})
		})
	}
}

func acceptGroup(t *testing.T, store outbox.Store, i int) {
	t.Helper()
	group := fmt.Sprintf("w%d", i)
	_, err := store.Accept(t.Context(), outbox.Webhook{
		ID: group, ReceivedAt: time.Now(), GroupKey: group, Slot: dedupe.Slot{byte(i), byte(i >> 8), 1},
		State: dedupe.State{1}, Entries: []outbox.Entry{{
			Lane:         outbox.Lane{Integration: "ops/fake/a", Destination: "a", GroupKey: group},
			Destination:  relay.Destination{Key: "a"},
			Limiters:     []relay.LimiterID{"robot-a"},
			State:        dedupe.State{1},
			Notification: []byte(body(t, alert("f", relay.StatusFiring, time.Now()))),
		}},
	})
	require.NoError(t, err)
}
