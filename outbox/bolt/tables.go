package bolt

import (
	"encoding/binary"

	"go.etcd.io/bbolt"
)

// The buckets. Keys are numbers of one sequence in big endian unless said otherwise, so that writing appends.
const (
	webhooksBucket = "webhooks" // what is pending: one record for a webhook, with its entries and bodies
	progressBucket = "progress" // webhook number, entry position → what became of one entry of a webhook still pending
	marksBucket    = "marks"    // the state last accepted in a slot; a later record of the same slot replaces it
	lanesBucket    = "lanes"    // what was last told in a lane; a later record of the same lane replaces it
	savedBucket    = "saved"    // start, fingerprint → what is kept with a firing of an alert
	limitersBucket = "limiters" // limiter → hold and stamps
	historyBucket  = "history"  // the events of one commit
	deadBucket     = "dead"     // entry id → dead letter
	cacheBucket    = "cache"    // key → value with its end
	stateBucket    = "state"    // whether the store was closed in good order
)

// tables are the buckets of one transaction.
type tables struct {
	tx *bbolt.Tx

	webhooks, progress, marks, lanes, saved, limiters, history, dead, cache, state *bbolt.Bucket
}

func openTables(tx *bbolt.Tx) tables {
	t := tables{
		tx:       tx,
		webhooks: tx.Bucket([]byte(webhooksBucket)),
		progress: tx.Bucket([]byte(progressBucket)),
		marks:    tx.Bucket([]byte(marksBucket)),
		lanes:    tx.Bucket([]byte(lanesBucket)),
		saved:    tx.Bucket([]byte(savedBucket)),
		limiters: tx.Bucket([]byte(limitersBucket)),
		history:  tx.Bucket([]byte(historyBucket)),
		dead:     tx.Bucket([]byte(deadBucket)),
		cache:    tx.Bucket([]byte(cacheBucket)),
		state:    tx.Bucket([]byte(stateBucket)),
	}
	for _, appended := range []*bbolt.Bucket{t.webhooks, t.marks, t.lanes, t.history} {
		appended.FillPercent = 1 // keys only grow: full pages never split
	}
	return t
}

func (t *tables) named(name string) *bbolt.Bucket { return t.tx.Bucket([]byte(name)) }

func createTables(tx *bbolt.Tx) error {
	for _, name := range []string{
		webhooksBucket, progressBucket, marksBucket, lanesBucket, savedBucket, limitersBucket, historyBucket, deadBucket,
		cacheBucket, stateBucket,
	} {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return err
		}
	}
	return nil
}

func key(seq uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 0, 8), seq) }
