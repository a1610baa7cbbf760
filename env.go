package relay

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Env is what an integration is built with: everything from outside that it may use.
type Env struct {
	Templates Renderer
	// HTTPClient is the transport for integrations without an http_config of their own. Its clients never follow a
	// redirect and put no URL into an error.
	HTTPClient *http.Client
	Logger     *slog.Logger
	// Registerer takes the metrics of what integrations share; nil when nobody looks at them.
	Registerer prometheus.Registerer
	Now        func() time.Time
	// Cache is shared by the replicas: access tokens.
	Cache Cache
	// People are whom messages may notify by name.
	People People
	// Zone is where the readers are, whose day it is; nil means UTC. Templates show times in it.
	Zone *time.Location
	// ExternalURL is where people reach the relay; empty when not configured.
	ExternalURL string
}

// A Cache keeps short-lived values that replicas share, backed by the store.
type Cache interface {
	// Get returns nil when there is no value, or it has expired.
	Get(ctx context.Context, key string) ([]byte, error)
	// Put stores a value for ttl.
	Put(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// Lock waits until the caller alone holds key, for at most ttl; unlock gives it back.
	Lock(ctx context.Context, key string, ttl time.Duration) (unlock func(), err error)
}
