package living_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/living"
)

// place is where a vendor might keep a message.
type place struct {
	Channel string `json:"channel"`
}

func TestAMessageLivesUntilItIsOldOrNothingIsSaidForADay(t *testing.T) {
	t.Parallel()
	born := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	posted := living.New(place{"C1"}, born).Ref(born)
	for name, tt := range map[string]struct {
		ref    relay.Ref
		after  time.Duration
		maxAge time.Duration
		lives  bool
	}{
		"at once":             {posted, 0, 0, true},
		"within a day":        {posted, 24*time.Hour - 1, 0, true},
		"after a day":         {posted, 24 * time.Hour, 0, false},
		"updated meanwhile":   {living.New(place{"C1"}, born).Ref(born.Add(20 * time.Hour)), 30 * time.Hour, 0, true},
		"a week old":          {living.New(place{"C1"}, born).Ref(born.Add(160 * time.Hour)), 168 * time.Hour, 0, false},
		"older than wanted":   {posted, time.Hour, time.Hour, false},
		"none":                {"", 0, 0, false},
		"another's":           {"1700000000.000100", 0, 0, false},
		"the clock was ahead": {posted, -time.Hour, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, lives := living.Read[place](tt.ref, born.Add(tt.after), tt.maxAge)
			require.Equal(t, tt.lives, lives)
			if lives {
				require.Equal(t, place{"C1"}, h.At)
				require.Equal(t, born, h.Born)
			}
		})
	}
}

func TestWhatHasNoFormLeavesNoHandle(t *testing.T) {
	t.Parallel()
	require.Empty(t, living.New(func() {}, time.Time{}).Ref(time.Time{}))
}
