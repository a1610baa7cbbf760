package app

import (
	"cmp"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	promconfig "github.com/prometheus/common/config"

	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/internal/boltdb"
	"github.com/alertrelay/relay/internal/redisdb"
	"github.com/alertrelay/relay/internal/secret"
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

// openStores opens the embedded stores, two users of one file, or with a Redis the snapshots there. It fails when another
// process has the file open.
func openStores(c *config.Config, o Options) (_ stores, err error) {
	db, err := boltdb.Open(filepath.Join(o.StoragePath, storeFile))
	if err != nil {
		return stores{}, err
	}
	s := stores{close: db.Close}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if r := cmp.Or(c.Snapshots.Redis, c.Storage.Redis); r != nil {
		client, err := openRedis(r, o.Logger.With("use", "snapshots"))
		if err != nil {
			return stores{}, err
		}
		s.close = func() error { return errors.Join(client.Close(), db.Close()) }
		s.snapshots = snapshots.NewRedis(client, snapshots.RedisOptions{Namespace: r.Namespace, Registerer: o.Registry})
	} else if s.snapshots, err = snapshots.NewBolt(db, snapshots.BoltOptions{Registerer: o.Registry}); err != nil {
		return stores{}, err
	}
	s.outbox, err = bolt.New(db, bolt.Options{
		Retention:  time.Duration(c.Delivery.Retention),
		MaxPending: c.Delivery.MaxPending,
		Logger:     o.Logger,
	})
	return s, err
}

// openRedis returns connections to a Redis, which may be down. Snapshots have their own, so that look-ups and the outbox
// do not wait for each other.
func openRedis(r *config.Redis, logger *slog.Logger) (*redisdb.DB, error) {
	o := redisdb.Options{
		Addresses:        r.Addresses,
		MasterName:       r.MasterName,
		Username:         r.Username,
		Password:         secret.Of(r.Password, r.PasswordFile),
		SentinelPassword: secret.Of(r.SentinelPassword, r.SentinelPasswordFile),
		DialTimeout:      time.Duration(r.DialTimeout),
		Timeout:          time.Duration(r.Timeout),
		Logger:           logger,
	}
	if r.TLSConfig != nil {
		var err error
		if o.TLS, err = promconfig.NewTLSConfig(r.TLSConfig); err != nil {
			return nil, err
		}
	}
	return redisdb.New(o)
}

// Close gives up the stores; nobody may use them any more.
func (s stores) Close() error {
	if s.outbox == nil {
		return nil
	}
	return errors.Join(s.outbox.Close(), s.close())
}
