package bolt_test

import (
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/bolt"
)

// FuzzHistoryCursor gives History cursors of strangers: each is refused, or names a place.
func FuzzHistoryCursor(f *testing.F) {
	s, err := bolt.Open(filepath.Join(f.TempDir(), "relay.db"), bolt.Options{})
	require.NoError(f, err)
	f.Cleanup(func() { _ = s.Close() })
	for n := range int64(3) {
		_, err := s.Accept(f.Context(), benchWebhook(n))
		require.NoError(f, err)
	}
	_, cursor, err := s.History(f.Context(), outbox.HistoryQuery{Limit: 1})
	require.NoError(f, err)
	for _, seed := range []string{cursor, "", ".", "1.", ".1", "0.0", "1.-1", "zzzzzzzzzzzzzz.1", "1.99999999999999999999", "a.1.2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		events, _, err := s.History(t.Context(), outbox.HistoryQuery{Cursor: cursor})
		if err != nil {
			require.ErrorContains(t, err, strconv.Quote(cursor))
			require.Empty(t, events)
		}
		require.LessOrEqual(t, len(events), 3)
	})
}
