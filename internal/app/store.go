package app

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/internal/boltdb"
	"github.com/alertrelay/relay/internal/redisdb"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/bolt"
	"github.com/alertrelay/relay/outbox/redis"
	"github.com/alertrelay/relay/snapshots"
)

// storeFile is the embedded store in the folder that --storage.path names.
const storeFile = "relay.db"

// sharedPoll is how soon a relay finds what another has accepted and cannot tell any more.
const sharedPoll = 500 * time.Millisecond

// sharedLease is the least time after which others tell what a relay that died had leased. deliver makes it as long as the
// slowest vendor needs.
const sharedLease = 10 * time.Second

// stores are what outlives a process.
type stores struct {
	outbox     outbox.Store
	operations outbox.Operations
	cache      relay.Cache
	snapshots  snapshots.Store
	// poll is the longest pause between claims; 0 when nobody else fills the outbox.
	poll time.Duration
	// lease is how long a claim may take to settle, at least; 0 when nobody waits for its end.
	lease time.Duration
	// redis watches over what is shared with other relays; nil when nothing is.
	redis   *shared
	closers []io.Closer
}

// openStores opens the stores that the configuration names.
func openStores(ctx context.Context, c *config.Config, o Options) (stores, error) {
	var s stores
	var err error
	if c.Storage.Redis != nil {
		err = s.openRedis(ctx, c, o)
	} else {
		err = s.openFile(c, o)
	}
	if err == nil && c.Snapshots.Redis != nil {
		err = s.openSnapshots(c.Snapshots.Redis, o) //nolint:contextcheck // what it starts outlives New
	}
	if err != nil {
		return stores{}, errors.Join(err, s.Close())
	}
	return s, nil
}

// openFile opens the embedded stores, two users of one file. It fails when another process has it open.
func (s *stores) openFile(c *config.Config, o Options) error {
	db, err := boltdb.Open(filepath.Join(o.StoragePath, storeFile))
	if err != nil {
		return err
	}
	s.closers = append(s.closers, db)
	pending, err := bolt.New(db, bolt.Options{
		Retention:  time.Duration(c.Delivery.Retention),
		MaxPending: c.Delivery.MaxPending,
		Logger:     o.Logger,
	})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, pending)
	s.outbox, s.operations, s.cache = pending, pending, pending.Cache()
	if c.Snapshots.Redis == nil {
		s.snapshots, err = snapshots.NewBolt(db, snapshots.BoltOptions{Registerer: o.Registry})
	}
	return err
}

// openRedis opens the stores in a Redis. One that is down is waited for while the relay runs; one that cannot keep what
// the relay promises is refused.
func (s *stores) openRedis(ctx context.Context, c *config.Config, o Options) error {
	r := c.Storage.Redis
	db, err := connect(r, o.Logger, o.Registry) //nolint:contextcheck // what it starts outlives New
	if err != nil {
		return err
	}
	s.closers = append(s.closers, db)
	s.redis = newShared(db, r, o)
	if err := s.redis.look(ctx); errors.As(err, new(*redisdb.RefusedError)) {
		return err
	}
	pending := redis.New(db, redis.Options{
		Namespace:  r.Namespace,
		Retention:  time.Duration(c.Delivery.Retention),
		MaxPending: c.Delivery.MaxPending,
		Registerer: o.Registry,
		Logger:     o.Logger,
	})
	s.closers = append(s.closers, pending)
	s.outbox, s.operations = pending, pending
	s.poll, s.lease = sharedPoll, sharedLease
	s.cache = redisdb.NewCache(db, redis.Prefix(r.Namespace))
	if c.Snapshots.Redis == nil {
		s.snapshots = snapshots.NewRedis(db, snapshots.RedisOptions{Namespace: r.Namespace, Registerer: o.Registry})
	}
	return nil
}

// openSnapshots opens a Redis that has the snapshots alone. It may be down.
func (s *stores) openSnapshots(r *config.Redis, o Options) error {
	db, err := connect(r, o.Logger.With("use", "snapshots"), nil)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, db)
	s.snapshots = snapshots.NewRedis(db, snapshots.RedisOptions{Namespace: r.Namespace, Registerer: o.Registry})
	return nil
}

// Close gives up the stores, the last opened first; nobody may use them any more.
func (s *stores) Close() error {
	var err error
	for _, c := range slices.Backward(s.closers) {
		err = errors.Join(err, c.Close())
	}
	return err
}
