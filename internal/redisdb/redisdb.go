// Package redisdb is the one way to Redis: the client that the outbox, the snapshots and the shared cache use, for a single
// server, a Sentinel or a cluster. The embedded mode has internal/boltdb in its place.
//
// Its promise: a call ends with its context; a script whose answer was lost is never sent a second time behind the
// caller's back; what Call.Durable asks for is with Options.MinAcks replicas when Run returns nil; no error and no line
// of the log holds a password.
package redisdb

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/alertrelay/relay/internal/secret"
)

// Defaults of Options.
const (
	DefaultDialTimeout = 2 * time.Second
	// DefaultTimeout is below what a webhook waits for the store, so that it hears the reason.
	DefaultTimeout = 2 * time.Second
)

// maxConnections bounds the connections to one server.
const maxConnections = 32

// Options say where Redis is and how to talk to it.
type Options struct {
	// Addresses are one server, several nodes of a cluster, or with MasterName the Sentinels.
	Addresses  []string
	MasterName string
	Username   string
	// Password is asked for at each new connection. SentinelPassword is what the Sentinels want themselves.
	Password, SentinelPassword secret.Value
	TLS                        *tls.Config // nil: plain
	// MinAcks is how many replicas of Redis must have a durable write before it counts.
	MinAcks int
	// DialTimeout bounds a new connection, Timeout each call, MinAcks included.
	DialTimeout, Timeout time.Duration
	Logger               *slog.Logger
	Registerer           prometheus.Registerer // nil: none
}

// A DB is a pool of connections to one Redis, whatever its form. Every method may be called concurrently.
type DB struct {
	client  goredis.UniversalClient
	options Options
	logger  *slog.Logger
	health  *health
	metrics *metrics
	conceal concealer

	scripts sync.Map // SHA1 → *Script, loaded on each new connection

	durable, other chan *pending
	working        sync.WaitGroup
	done           chan struct{}
	closing        sync.Once
}

// New returns a DB. It connects when it is used, so Redis may be down now.
func New(o Options) (*DB, error) {
	o.DialTimeout = cmp.Or(o.DialTimeout, DefaultDialTimeout)
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	db := &DB{
		options: o,
		logger:  o.Logger.With("component", "redis"),
		durable: make(chan *pending),
		other:   make(chan *pending),
		done:    make(chan struct{}),
	}
	sentinelPassword, err := db.conceal.reveal(o.SentinelPassword)
	if err != nil {
		return nil, err
	}
	goredis.SetLogger(logging{db.logger, &db.conceal}) // the library has one for the whole process
	db.client = goredis.NewUniversalClient(&goredis.UniversalOptions{
		Addrs:      o.Addresses,
		MasterName: o.MasterName,
		ClientName: "relay",
		CredentialsProviderContext: func(context.Context) (string, string, error) {
			password, err := db.conceal.reveal(o.Password)
			return o.Username, password, err
		},
		SentinelPassword: sentinelPassword,
		TLSConfig:        o.TLS,
		OnConnect:        db.load,
		Protocol:         2, // scripts answer the same in both, and nothing is pushed

		// What was sent may have been done: whoever knows whether it may be done twice tries again.
		MaxRetries:            -1,
		DialerRetries:         1,
		ContextTimeoutEnabled: true,
		DialTimeout:           o.DialTimeout,
		ReadTimeout:           o.Timeout,
		WriteTimeout:          o.Timeout,

		PoolSize:         maxConnections,
		MaxActiveConns:   maxConnections,
		PoolTimeout:      o.Timeout,
		PipelinePoolSize: -1, // one pool, so that one number bounds the connections
		ConnMaxIdleTime:  5 * time.Minute,
		DisableIdentity:  true,

		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	db.metrics = newMetrics(o, db.client)
	db.health = &health{logger: db.logger, up: db.metrics.up}
	db.work()
	return db, nil
}

// Client is the client itself, for what is no script. Its errors go through Fault. Of a pipeline, look at what Exec returns
// first: when a server refuses the connection, the commands themselves have no error.
func (db *DB) Client() goredis.UniversalClient { return db.client }

// MinAcks is how many replicas of Redis must have a durable write before it counts.
func (db *DB) MinAcks() int { return db.options.MinAcks }

// Err says why Redis could not be used the last time it was tried; nil when it could, or was not tried yet.
func (db *DB) Err() error { return db.health.err() }

// Close ends the connections. Calls under way fail.
func (db *DB) Close() error {
	db.closing.Do(func() { close(db.done) })
	err := db.client.Close()
	db.working.Wait()
	return err
}
