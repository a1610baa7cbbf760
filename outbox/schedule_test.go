package outbox_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

func TestScheduleTakesASettleBack(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	s := outbox.NewSchedule[int]()
	add(s, now, 1)
	add(s, now, 2)
	c := outbox.ClaimRequest{
		Max: 10, Lease: time.Minute,
		Integrations: map[relay.IntegrationID]outbox.Terms{"i": {Limit: relay.Limit{Messages: 1, Per: time.Hour}}},
	}
	nonce := func() string { return "n" }
	held, _ := s.Claim(now, c, nonce)
	require.Len(t, held, 1)
	before := s.Stats(now)

	o := outbox.Outcome{Result: outbox.Retry, Hold: time.Hour}
	h := s.Begin(now.Add(time.Second), "n", o)
	require.NotNil(t, h)
	require.Nil(t, s.Begin(now.Add(time.Second), "n", o), "it is being settled already")
	none, wait := s.Claim(now.Add(2*time.Minute), c, nonce)
	require.Empty(t, none, "a lease that is being settled does not end")
	require.Positive(t, wait)
	s.Cancel(h)
	require.Equal(t, before, s.Stats(now))
	require.Empty(t, s.Limiter("l").Stamps)

	again, _ := s.Claim(now.Add(2*time.Minute), c, nonce)
	require.Empty(t, again, "the lease ended, and its slot is in use for a window after")
	again, _ = s.Claim(now.Add(time.Minute+time.Hour), c, nonce)
	require.Empty(t, again, "a crash now would forget two sends")
	require.Equal(t, map[relay.LimiterID]int{"l": 2}, s.Short())
	s.Raise(now.Add(time.Minute+time.Hour), "l", 2)
	require.Equal(t, 2, s.Limiter("l").Ceiling)
	again, _ = s.Claim(now.Add(time.Minute+time.Hour), c, nonce)
	require.Len(t, again, 1)
	require.Equal(t, 1, again[0].Lanes[0].Crashes)
}

func TestScheduleForgetsIdleLimiters(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	s := outbox.NewSchedule[int]()
	add(s, now, 1)
	require.Empty(t, s.Forget(now))
	c := outbox.ClaimRequest{Max: 1, Lease: time.Minute, Integrations: map[relay.IntegrationID]outbox.Terms{"i": {}}}
	_, _ = s.Claim(now, c, func() string { return "n" })
	o := outbox.Outcome{Result: outbox.Sent, Items: []string{"1"}}
	s.Finish(now, s.Begin(now, "n", o), o)
	require.Empty(t, s.Forget(now.Add(time.Second)), "its last send is still in a window")
	require.Equal(t, []relay.LimiterID{"l"}, s.Forget(now.Add(time.Hour)))
}

// BenchmarkScheduleClaim is what must not grow with what is pending: one lane claimed and ended, one added.
func BenchmarkScheduleClaim(b *testing.B) {
	for _, pending := range []int{1_000, 100_000} {
		b.Run(fmt.Sprintf("pending=%d", pending), func(b *testing.B) {
			now := time.Now()
			s := outbox.NewSchedule[int]()
			for n := range pending {
				add(s, now, n)
			}
			c := outbox.ClaimRequest{
				Max: 1, Lease: time.Minute, Integrations: map[relay.IntegrationID]outbox.Terms{"i": {MaxInFlight: 32}},
			}
			o := outbox.Outcome{Result: outbox.Sent, Items: []string{"1"}}
			b.ReportAllocs()
			for n := pending; b.Loop(); n++ {
				held, _ := s.Claim(now, c, func() string { return "n" })
				s.Finish(now, s.Begin(now, held[0].Nonce, o), o)
				add(s, now, n)
			}
		})
	}
}

func add(s *outbox.Schedule[int], now time.Time, n int) {
	lane := outbox.Lane{Integration: "i", GroupKey: strconv.Itoa(n)}
	s.Add(now, lane.Key(), lane, []relay.LimiterID{"l"}, n)
}
