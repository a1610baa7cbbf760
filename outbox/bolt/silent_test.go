package bolt_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/outbox"
)

// TestSilenceSurvivesARestart: a lane in which something was told, and then ended in silence, has changed.
func TestSilenceSurvivesARestart(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	webhook := func(n int, state byte, silent bool) outbox.Webhook {
		w := s.webhook(n, "g")
		w.Entries[0].State, w.Entries[0].Silent = dedupe.State{state}, silent
		w.Entries[0].Told = map[string]time.Time{}
		if !silent {
			w.Entries[0].Told["a"] = time.Unix(0, 0)
		}
		return w
	}
	s.accept(webhook(1, 1, false))
	told := s.claimOne()
	s.settle(told, outbox.Outcome{Result: outbox.Sent, Ref: "ts-1"})
	s.accept(webhook(2, 2, true))
	s.restart()
	s.accept(webhook(3, 1, false))
	again := s.claimOne().Lanes[0]
	require.Equal(t, "w0003-0", again.Items[0].ID)
	require.EqualValues(t, "ts-1", again.Ref, "the vendor's handle stays")
	require.Empty(t, again.Told)
}
