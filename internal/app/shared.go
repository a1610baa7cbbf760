package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	promconfig "github.com/prometheus/common/config"

	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/internal/redisdb"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/outbox/redis"
)

const (
	// lookEvery is how often a Redis is asked about itself, and what configurations the other relays use.
	lookEvery = 5 * time.Second
	// lookAgain is how often it is asked while it is down.
	lookAgain = 500 * time.Millisecond
	// differFor is for how long relays count as configured differently after they were. It is as long as what waits for an
	// unknown integration does.
	differFor = 15 * time.Minute
)

// errRedisDown is told to everybody who asks whether the relay is ready; the log says why.
var errRedisDown = errors.New("redis is unavailable")

// connect makes the client of a Redis that the configuration names. Nothing is sent yet.
func connect(c *config.Redis, logger *slog.Logger, registerer prometheus.Registerer) (*redisdb.DB, error) {
	options := redisdb.Options{
		Addresses:        c.Addresses,
		MasterName:       c.MasterName,
		Username:         c.Username,
		Password:         secret.Of(c.Password, c.PasswordFile),
		SentinelPassword: secret.Of(c.SentinelPassword, c.SentinelPasswordFile),
		MinAcks:          c.MinAcks,
		DialTimeout:      time.Duration(c.DialTimeout),
		Timeout:          time.Duration(c.Timeout),
		Logger:           logger,
		Registerer:       registerer,
	}
	if c.TLSConfig != nil {
		tls, err := promconfig.NewTLSConfig(c.TLSConfig)
		if err != nil {
			return nil, fmt.Errorf("tls_config of Redis: %w", err)
		}
		options.TLS = tls
	}
	return redisdb.New(options)
}

// shared watches over a Redis, and over the relays that share it: whether it keeps what the relay promises, and whether
// all of them have the same configuration.
type shared struct {
	db            *redisdb.DB
	note          *redisdb.Script // of noteConfig
	key           string          // of the configurations that relays use
	allowEviction bool
	logger        *slog.Logger
	configs       prometheus.Gauge

	seen    redisdb.Server        // what the log was told; of look alone
	refused atomic.Pointer[error] // why this Redis cannot be used
	differ  atomic.Bool           // whether the other relays may have another configuration
}

func newShared(db *redisdb.DB, c *config.Redis, o Options) *shared {
	s := &shared{
		db: db, note: redisdb.NewScript("configs", noteConfig), key: redis.Prefix(c.Namespace) + "configs", allowEviction: c.AllowEviction,
		logger: o.Logger.With("component", "redis"),
		configs: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "relay_configs_seen",
			Help: "Configurations that the relays of this namespace had in the last 15 minutes; 1 when all have the same.",
		}),
	}
	o.Registry.MustRegister(s.configs)
	db.Prepare(s.note)
	s.differ.Store(true) // until it is known
	return s
}

// watch looks again and again until ctx ends. config is the hash of the configuration in use.
func (s *shared) watch(ctx context.Context, config func() uint64) {
	for ctx.Err() == nil {
		pause := lookAgain
		if err := s.look(ctx); err == nil {
			s.compare(ctx, config())
			pause = lookEvery
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// look asks Redis about itself, and tells the log when the answer has changed. A RefusedError says that it cannot be used.
func (s *shared) look(ctx context.Context) error {
	server, err := s.db.Look(ctx, s.key)
	if err != nil {
		return err
	}
	refused := s.db.Check(server, s.allowEviction)
	if refused == nil {
		s.refused.Store(nil)
	} else {
		s.refused.Store(&refused)
	}
	now := server
	now.Memory, now.Replicas = 0, min(server.Replicas, s.db.MinAcks()) // these come and go
	if now == s.seen {
		return refused
	}
	s.seen = now
	level, message := slog.LevelInfo, "Redis is in use"
	switch {
	case refused != nil:
		level, message = slog.LevelError, "This Redis cannot be used: webhooks are answered 503"
	case server.Replicas < s.db.MinAcks():
		level, message = slog.LevelWarn, "Redis has fewer replicas than min_acks asks for: webhooks are answered 503"
	case !server.Durable():
		level, message = slog.LevelWarn, "Redis is in use, but it forgets when it restarts"
	case server.Policy != "noeviction":
		level, message = slog.LevelWarn, "Redis is in use, but it may throw away what was accepted"
	}
	s.logger.Log(ctx, level, message, //nolint:sloglint // one of the constants above
		"product", server.Product, "version", server.Version, "mode", server.Mode, "run_id", server.RunID,
		"persistence", server.Persistence, "maxmemory_policy", server.Policy, "replicas", server.Replicas,
		"min_acks", s.db.MinAcks(), "promise", server.Promise(s.db.MinAcks()), "err", refused)
	return refused
}

// noteConfig notes which configuration a relay uses, and counts those in use.
const noteConfig = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])`

// compare tells the other relays the configuration in use, and learns whether they have another. What fails leaves it as
// it was.
func (s *shared) compare(ctx context.Context, config uint64) {
	answer, err := s.db.Run(ctx, redisdb.Call{
		Script: s.note, Keys: []string{s.key},
		Args: []any{strconv.FormatUint(config, 16), differFor.Milliseconds()},
	})
	count, ok := answer.(int64)
	if err != nil || !ok {
		return
	}
	s.configs.Set(float64(count))
	s.differ.Store(count != 1)
}

// mayDiffer tells whether another relay may know a receiver that this one does not.
func (s *shared) mayDiffer() bool { return s != nil && s.differ.Load() }

// usable says why nothing may be accepted into this Redis; nil when it may, or when it is only down.
func (s *shared) usable() error {
	if s == nil {
		return nil
	}
	if refused := s.refused.Load(); refused != nil {
		return *refused
	}
	return nil
}

// ready says why nothing can be accepted now.
func (s *shared) ready() error {
	if err := s.usable(); s == nil || err != nil {
		return err
	}
	if s.db.Err() != nil {
		return errRedisDown
	}
	return nil
}
