package app

import (
	"errors"
	"path/filepath"
	"time"

	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/internal/boltdb"
	"github.com/alertrelay/relay/outbox/bolt"
	"github.com/alertrelay/relay/snapshots"
)

// storeFile is the embedded store in the folder that --storage.path names.
const storeFile = "relay.db"

// stores are what outlives a process.
type stores struct {
	outbox    *bolt.Store
	snapshots snapshots.Store
	// close closes what is below them, after the outbox.
	close func() error
}

// openStores opens the embedded stores, two users of one file. It fails when another process has it open.
func openStores(c *config.Config, o Options) (stores, error) {
	db, err := boltdb.Open(filepath.Join(o.StoragePath, storeFile))
	if err != nil {
		return stores{}, err
	}
	recorded, err := snapshots.NewBolt(db, snapshots.BoltOptions{Registerer: o.Registry})
	if err != nil {
		return stores{}, errors.Join(err, db.Close())
	}
	pending, err := bolt.New(db, bolt.Options{
		Retention:  time.Duration(c.Delivery.Retention),
		MaxPending: c.Delivery.MaxPending,
		Logger:     o.Logger,
	})
	if err != nil {
		return stores{}, errors.Join(err, db.Close())
	}
	return stores{pending, recorded, db.Close}, nil
}

// Close gives up the stores; nobody may use them any more.
func (s stores) Close() error {
	if s.outbox == nil {
		return nil
	}
	return errors.Join(s.outbox.Close(), s.close())
}
