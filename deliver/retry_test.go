package deliver_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/deliver"
)

func TestBackoff(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		attempt int
		random  float64
		want    time.Duration
	}{
		{1, 0, 0},
		{1, 0.5, 500 * time.Millisecond},
		{2, 0.5, time.Second},
		{5, 0.5, 8 * time.Second},
		{9, 0.5, 128 * time.Second},
		{10, 0.5, 150 * time.Second},
		{1000, 0.5, 150 * time.Second},
		{0, 0.5, 500 * time.Millisecond},
	} {
		require.Equal(t, tt.want, deliver.Backoff(tt.attempt, tt.random), "attempt %d", tt.attempt)
	}
}
