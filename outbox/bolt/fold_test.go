package bolt_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

// TestFoldSurvivesARestart: what was folded stands where it stood, with what became of the head, while other destinations of
// the same webhooks still wait for theirs.
func TestFoldSurvivesARestart(t *testing.T) {
	t.Parallel()
	const mail = relay.IntegrationID("ops/email/main")
	s := newStore(t)
	s.terms = map[relay.IntegrationID]outbox.Terms{ops: {Backlog: relay.BacklogMerge}, mail: {}}
	accept := func(from, to int) {
		for n := from; n < to; n++ {
			w := s.webhook(n, "g")
			other := w.Entries[0]
			other.Lane.Integration = mail
			w.Entries = append(w.Entries, other)
			s.accept(w)
			s.Advance(time.Second)
		}
	}
	accept(0, 1)
	batches, _ := s.claim(2)
	for _, b := range batches {
		s.settle(b, outbox.Outcome{Result: outbox.Retry, After: 30 * time.Minute, Reason: relay.Transient, Detail: "timeout"})
	}
	accept(1, outbox.LaneCap+3)
	fold := s.claimOne()
	require.True(t, fold.Fold)
	s.settle(fold, outbox.Outcome{Result: outbox.Folded, Notification: []byte("folded")})

	deliveries := func() []outbox.Delivery {
		rows, _, err := s.Deliveries(t.Context(), outbox.DeliveryQuery{
			Filter: outbox.Filter{Integration: ops}, States: []outbox.DeliveryState{outbox.StatePending, outbox.StateRetrying},
		})
		require.NoError(t, err)
		return rows
	}
	before, err := s.Stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, 4+outbox.LaneCap+3, before.Pending)
	rows := deliveries()
	require.Len(t, rows, 4)
	s.restart()
	after, err := s.Stats(t.Context())
	require.NoError(t, err)
	before.Windows = after.Windows // of the last claim
	require.Equal(t, before, after)
	require.Equal(t, rows, deliveries())
	none, wait := s.claim(10)
	require.Empty(t, none)
	require.Less(t, wait, 30*time.Minute)

	s.Advance(wait)
	var told []outbox.LaneBatch
	claimed, _ := s.claim(10)
	for _, b := range claimed {
		if b.Lanes[0].Lane.Integration == ops {
			told = append(told, b.Lanes[0])
		}
		s.settle(b, outbox.Outcome{Result: outbox.Sent})
	}
	require.Len(t, told, 1)
	require.Equal(t, 2, told[0].Attempt)
	var ids []string
	for _, it := range told[0].Items {
		ids = append(ids, it.ID)
	}
	require.Equal(t, []string{"w0019-0", "w0020-0", "w0021-0", "w0022-0"}, ids)
	require.Equal(t, 19, told[0].Items[0].Folded)
	require.Equal(t, fold.Lanes[0].Items[0].At, told[0].Items[0].Since)
	for range outbox.LaneCap + 2 {
		s.settle(s.claimOne(), outbox.Outcome{Result: outbox.Sent})
	}
	s.restart()
	after, err = s.Stats(t.Context())
	require.NoError(t, err)
	require.Zero(t, after.Pending)
}
