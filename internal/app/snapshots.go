package app

import (
	"context"

	"github.com/alertrelay/relay/snapshots"
	"github.com/alertrelay/relay/webhook"
)

// recordings are what applications record, for the API.
type recordings struct{ snapshots.Recorder }

var _ webhook.Snapshots = recordings{}

// Find implements webhook.Snapshots.
func (r recordings) Find(ctx context.Context, labels map[string]string) ([]webhook.FoundSnapshot, error) {
	found, err := r.Recorder.Find(ctx, labels)
	if err != nil {
		return nil, err
	}
	rows := make([]webhook.FoundSnapshot, len(found))
	for i, entry := range found {
		rows[i] = webhook.FoundSnapshot{Key: string(entry.Key), Snapshot: entry.Snapshot}
	}
	return rows, nil
}
