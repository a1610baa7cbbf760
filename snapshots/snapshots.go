// Package snapshots keeps what applications recorded about their requests: which trace, in which room, from which client.
// It stands beside the path of a notification; enrich asks it what was recorded under the labels of an alert.
//
// A snapshot lies under a key of sorted label=value pairs, and under the id of its trace as well. Only the newest under a
// key is kept: it is the one that answers "what was recorded from then until now". The layout in Redis is documented in
// docs/reference/snapshots.md for every client that writes it, and never changes in place.
//
// Promise: what is kept is bounded in number, size and age, and nothing here is needed to tell an alert.
package snapshots

import (
	"context"
	"time"

	"github.com/alertrelay/relay"
)

// A Store keeps the newest snapshot under each key. Its methods may be called concurrently.
type Store interface {
	// Record keeps entries for ttl, each in the place of what was under its key. Entries of one call with equal keys
	// follow each other.
	Record(ctx context.Context, entries []Entry, ttl time.Duration) error
	// Find returns what is under each key, at its index; zero where there is nothing, or nothing that can be read. It asks
	// for all of them at once, at most MaxKeys.
	Find(ctx context.Context, keys []Key) ([]relay.Snapshot, error)
}

// An Entry is a snapshot under one key. Of the snapshot trace, room, client, extra fields and time are kept.
type Entry struct {
	Key      Key
	Snapshot relay.Snapshot
}

// The bounds of what is kept and asked.
const (
	// MaxKey is the longest key, in bytes, MaxValue the longest value, as it is stored.
	MaxKey   = 1 << 10
	MaxValue = 4 << 10
	// MaxKeys is the most keys of one Find.
	MaxKeys = 10_000
)
