package bolt_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/bolt"
	"github.com/alertrelay/relay/outbox/outboxtest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	outboxtest.Run(t, func(t *testing.T, now func() time.Time) outbox.Store {
		t.Helper()
		s, err := bolt.Open(filepath.Join(t.TempDir(), "relay.db"), bolt.Options{Now: now})
		require.NoError(t, err)
		return s
	})
}
