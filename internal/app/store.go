package app

import (
	"path/filepath"
	"time"

	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/outbox/bolt"
)

// storeFile is the embedded store in the folder that --storage.path names.
const storeFile = "relay.db"

// openStore opens the embedded store. It fails when another process has it open.
func openStore(c *config.Config, o Options) (*bolt.Store, error) {
	return bolt.Open(filepath.Join(o.StoragePath, storeFile), bolt.Options{
		Retention:  time.Duration(c.Delivery.Retention),
		MaxPending: c.Delivery.MaxPending,
		Logger:     o.Logger,
	})
}
