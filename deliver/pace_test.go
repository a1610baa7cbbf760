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
	"github.com/alertrelay/relay/deliver"
	"github.com/alertrelay/relay/outbox"
)

// A pacer is a fake whose first part has a rate of its own, as the update of a message has beside the reply to it.
type pacer struct {
	fake

	wait  func() (time.Duration, error)
	lease func(asked time.Duration) time.Duration // may be nil
}

func (p *pacer) Render(d relay.Delivery) ([]relay.Message, error) {
	if _, err := p.fake.Render(d); err != nil {
		return nil, err
	}
	return []relay.Message{
		{ID: d.ID + "-1", Part: 1, Parts: 2, Text: "update", OwnRate: true},
		{ID: d.ID + "-2", Part: 2, Parts: 2, Text: "reply"},
	}, nil
}

func (p *pacer) Wait(context.Context, relay.Message) (time.Duration, error) { return p.wait() }

// paced tells one notification through p, and returns what was sent, when, and the outcomes.
func paced(t *testing.T, p *pacer) (texts []string, at []time.Duration, outcomes []outbox.Outcome) {
	t.Helper()
	began := time.Now()
	send := p.send
	p.send = func(ctx context.Context, m relay.Message) (relay.Receipt, error) {
		texts, at = append(texts, m.Text), append(at, time.Since(began))
		if send != nil {
			return send(ctx, m)
		}
		return relay.Receipt{Ref: "r", NoSlot: m.OwnRate}, nil
	}
	store := &memory{lease: p.lease}
	store.add("ops/fake/a", "robot-a", "g", body(t, alert("f1", relay.StatusFiring, time.Now())))
	s := setup("a", &p.fake)
	s.Integration = p
	_, stop := run(t, deliver.Options{Store: store, Setups: []relay.Setup{s}})
	time.Sleep(10 * time.Minute)
	synctest.Wait()
	stop()
	stats, err := store.Stats(t.Context())
	require.NoError(t, err)
	require.Zero(t, stats.Pending)
	return texts, at, store.outcomes()
}

// until has to wait until so long after its making.
func until(d time.Duration) func() (time.Duration, error) {
	begin := time.Now()
	return func() (time.Duration, error) { return max(0, time.Until(begin.Add(d))), nil }
}

func TestWhatHasARateOfItsOwnTakesNoSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		texts, _, o := paced(t, &pacer{wait: until(0)})
		require.Equal(t, []string{"update", "reply"}, texts)
		require.True(t, o[0].NoSlot)
		require.False(t, o[1].NoSlot)
	})
}

func TestWhatHasToWaitLetsTheOthersGoFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &pacer{wait: until(30 * time.Second)}
		texts, at, o := paced(t, p)
		require.Equal(t, []string{"reply", "update"}, texts)
		require.Equal(t, []time.Duration{0, 30 * time.Second}, at, "the news at once")
		require.Equal(t, outbox.Outcome{Result: outbox.Release, After: 30 * time.Second, Items: []string{"g-1"}}, o[1])
		require.Len(t, p.deliveries(), 1)
		require.Equal(t, relay.Ref("r"), p.messages()[1].Previous)
		require.Equal(t, 1, o[0].Part)
		require.Equal(t, 2, o[2].Part, "the last part ends the delivery")
	})
}

// The vendor wants a pause for the one: the other goes on, and neither is lost.
func TestAPauseForWhatHasARateOfItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &pacer{wait: until(0)}
		p.send = func(_ context.Context, m relay.Message) (relay.Receipt, error) {
			if m.OwnRate && time.Now().Second() < 30 {
				p.wait = until(30 * time.Second)
				return relay.Receipt{}, &relay.Error{
					Kind: relay.RateLimited, RetryAfter: 30 * time.Second, Paced: true, Err: errors.New("too many"),
				}
			}
			return relay.Receipt{NoSlot: m.OwnRate}, nil
		}
		texts, at, o := paced(t, p)
		require.Equal(t, []string{"update", "reply", "update"}, texts)
		require.Equal(t, []time.Duration{0, 0, 30 * time.Second}, at)
		require.Equal(t, relay.RateLimited, o[0].Reason)
		require.Zero(t, o[0].Hold, "nothing else has to wait")
		require.False(t, o[0].Counts(), "it is no attempt")
	})
}

// A message that took the place of the one that has gone has the rate of the destination.
func TestAPauseForWhatTookThePlaceOfTheOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, calls := &pacer{wait: until(0)}, 0
		p.send = func(context.Context, relay.Message) (relay.Receipt, error) {
			if calls++; calls == 1 {
				return relay.Receipt{}, relay.AsRateLimited(errors.New("too many"), 30*time.Second)
			}
			return relay.Receipt{}, nil
		}
		texts, at, o := paced(t, p)
		require.Equal(t, []string{"update", "update", "reply"}, texts)
		require.Equal(t, []time.Duration{0, 30 * time.Second, 30 * time.Second}, at)
		require.Equal(t, 30*time.Second, o[0].Hold)
	})
}

func TestAPaceThatCannotBeCountedIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down := 3
		p := &pacer{wait: func() (time.Duration, error) {
			if down--; down >= 0 {
				return 0, relay.AsTransient(errors.New("store is down"))
			}
			return 0, nil
		}}
		texts, _, o := paced(t, p)
		require.Equal(t, []string{"update", "reply"}, texts)
		require.Equal(t, relay.Transient, o[0].Reason)
	})
}

// The store's trouble is not the vendor's, which nobody has called.
func TestPacesThatCannotBeCountedAreNoOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &pacer{wait: func() (time.Duration, error) { return 0, relay.AsTransient(errors.New("store is down")) }}
		store := new(memory)
		for n := range 10 {
			store.add("ops/fake/a", "robot-a", fmt.Sprint("g", n), body(t, alert("f1", relay.StatusFiring, time.Now())))
		}
		s := setup("a", &p.fake)
		s.Integration = p
		_, stop := run(t, deliver.Options{Store: store, Setups: []relay.Setup{s}})
		time.Sleep(time.Minute)
		synctest.Wait()
		stop()
		require.Empty(t, p.messages())
		require.Greater(t, len(store.outcomes()), 20)
		for _, o := range store.outcomes() {
			require.Equal(t, relay.Transient, o.Reason)
			require.Zero(t, o.Hold)
		}
	})
}

// Asking may take so long that the send would end after its lease.
func TestWhatIsAskedForTooLongIsNotSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		leases := 0
		texts, at, o := paced(t, &pacer{
			wait: func() (time.Duration, error) {
				time.Sleep(1500 * time.Millisecond)
				return 0, nil
			},
			lease: func(asked time.Duration) time.Duration {
				if leases++; leases == 1 {
					return 16 * time.Second // a second more than a send and its settle may take
				}
				return asked
			},
		})
		require.Equal(t, outbox.Outcome{Result: outbox.Release, Items: []string{"g-1"}}, o[0])
		require.Equal(t, []string{"update", "reply"}, texts)
		require.Equal(t, 3*time.Second, at[0])
	})
}
