package app

import (
	"context"

	"github.com/alertrelay/relay/outbox"
)

// History returns what happened, newest first, and the cursor of the next page, empty at the end.
func (a *App) History(ctx context.Context, q outbox.HistoryQuery) ([]outbox.Event, string, error) {
	return a.stores.outbox.History(ctx, q)
}
