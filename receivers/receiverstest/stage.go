package receiverstest

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
)

// A Stage is what the replicas of an integration under test share: a clock that only the test moves, and a cache. Its log is
// that of all of them. It may be used concurrently.
type Stage struct {
	mu  sync.Mutex
	now time.Time
	log buffer
	env relay.Env
}

// NewStage makes a stage, where it is Now.
func NewStage(tb testing.TB, templates relay.Renderer) *Stage {
	tb.Helper()
	s := &Stage{now: Now, env: Env(tb, templates)}
	s.env.Now, s.env.Cache = s.Now, NewCache(s.Now)
	s.env.Logger = slog.New(slog.NewTextHandler(&s.log, nil))
	return s
}

// Env is what an integration is built with.
func (s *Stage) Env() relay.Env { return s.env }

// Log is what was logged so far.
func (s *Stage) Log() string { return s.log.String() }

// Now is the time that the clock shows.
func (s *Stage) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// Advance moves the clock on.
func (s *Stage) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// Tell sends a delivery as deliver does: each part with the handle that the one before left behind, and once more when the
// access token is stale. It returns the handle for the next delivery of the group.
func (s *Stage) Tell(t *testing.T, setup relay.Setup, d relay.Delivery, ref relay.Ref) (relay.Ref, error) {
	t.Helper()
	d.Previous, d.Now = ref, s.Now()
	for _, m := range Render(t, setup, d) {
		m.Previous = ref
		receipt, err := setup.Send(t.Context(), m)
		if relay.KindOf(err) == relay.TokenExpired {
			receipt, err = setup.Send(t.Context(), m)
		}
		if err != nil {
			return ref, err
		}
		if receipt.Ref != "" {
			ref = receipt.Ref
		}
	}
	return ref, nil
}

// Render makes the messages of a delivery to its destination, as they follow the delivery before.
func Render(t *testing.T, setup relay.Setup, d relay.Delivery) []relay.Message {
	t.Helper()
	var err error
	d.Destination, err = setup.Destination(d.Notification())
	require.NoError(t, err)
	messages, err := setup.Render(d)
	require.NoError(t, err)
	for n := range messages {
		messages[n].Previous = d.Previous
	}
	return messages
}
