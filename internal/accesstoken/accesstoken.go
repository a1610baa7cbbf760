// Package accesstoken keeps the short-lived tokens with which WeCom's and DingTalk's applications call their vendor, in the
// cache that all replicas share. A token is fetched by one of them while the others wait, and again when the vendor says
// that it is stale before its time.
//
// It promises that N callers who meet a stale token at once cost one call of the vendor's token endpoint, and that an
// endpoint which fails is asked once in a while and not by each of them.
package accesstoken

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/wiretap"
)

// Fetch asks the vendor for a token and says how long it is good for. Its errors carry a kind and no secret.
type Fetch func(ctx context.Context) (token string, life time.Duration, err error)

const (
	// lockFor is how long one caller may take to fetch; then another may try.
	lockFor = 30 * time.Second
	// restFor is how long the endpoint is left alone after it has failed. WeCom refuses whoever asks too often with a wrong
	// secret for an hour. https://developer.work.weixin.qq.com/document/path/91039
	restFor = 10 * time.Second
	// margin is how long before its end a token is not used any more: calls take their time, and clocks differ.
	margin = 2 * time.Minute
	// longest bounds the life that a vendor may promise.
	longest = 24 * time.Hour
)

// unsent stands for the token in a preview, which sends nothing.
const unsent = "preview"

// A Source is the token of one application. It may be used concurrently, and by several replicas with the same key.
type Source struct {
	cache  relay.Cache
	key    string
	fetch  Fetch
	now    func() time.Time
	logger *slog.Logger

	requests, requestsFailed prometheus.Counter

	mu      sync.Mutex
	stale   string    // what the vendor has refused
	failed  error     // why the last fetch failed; nil when it did not
	resting time.Time // until when the endpoint is left alone
}

// New makes a source. The key tells applications apart in the cache and is free of secrets.
func New(env relay.Env, key string, fetch Fetch) *Source {
	return &Source{
		cache: env.Cache, key: "token/" + key, fetch: fetch, now: env.Now, logger: env.Logger,
		requests: counter(env.Registerer, key, "relay_access_token_requests_total", "Access tokens asked for."),
		requestsFailed: counter(env.Registerer, key, "relay_access_token_requests_failed_total",
			"Access tokens asked for and not given: what needs one waits."),
	}
}

// counter returns the counter of one application. Every configuration has sources of its own, which count on where those
// before them ended.
func counter(r prometheus.Registerer, key, name, help string) prometheus.Counter {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"limiter"})
	if r != nil {
		var known prometheus.AlreadyRegisteredError
		if errors.As(r.Register(vec), &known) {
			vec = known.ExistingCollector.(*prometheus.CounterVec)
		}
	}
	return vec.WithLabelValues(key)
}

// Token is a token to call the vendor with: the one that all share, or a new one.
func (s *Source) Token(ctx context.Context) (string, error) {
	if token, err := s.cached(ctx); token != "" || err != nil {
		return token, err
	}
	if err := s.rests(); err != nil {
		return "", err
	}
	unlock, err := s.cache.Lock(ctx, s.key, lockFor)
	if err != nil { // somebody asks the endpoint, and has no answer yet
		return "", s.failure(ctx, relay.AsTransient(fmt.Errorf("wait for access token: %w", err)))
	}
	defer unlock()
	// Another has fetched one meanwhile, or has tried to.
	if token, err := s.cached(ctx); token != "" || err != nil {
		return token, err
	}
	if err := s.rests(); err != nil {
		return "", err
	}
	return s.renew(ctx)
}

// Refused says that the vendor takes a token no more: the next Token is another one.
func (s *Source) Refused(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stale = token
}

// Send makes a call with a token. When the vendor finds the token stale, the next call has another one.
func (s *Source) Send(
	ctx context.Context, m relay.Message, send func(context.Context, string, relay.Message) (relay.Receipt, error),
) (relay.Receipt, error) {
	token, err := s.Token(ctx)
	if err != nil {
		return relay.Receipt{}, err
	}
	receipt, err := send(ctx, token, m)
	if relay.KindOf(err) == relay.TokenExpired {
		s.Refused(token)
	}
	if err != nil {
		return relay.Receipt{}, err
	}
	return receipt, nil
}

// cached is what all share, unless this process knows that it is stale.
func (s *Source) cached(ctx context.Context) (string, error) {
	value, err := s.cache.Get(ctx, s.key)
	if err != nil {
		return "", relay.AsTransient(fmt.Errorf("read access token: %w", err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if string(value) == s.stale {
		return "", nil
	}
	return string(value), nil
}

// rests is why the endpoint is left alone; nil when it may be asked.
func (s *Source) rests() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil && s.now().Before(s.resting) {
		return s.failed
	}
	return nil
}

// renew fetches a token and shares it. The log tells once that it fails, and once that it works again.
func (s *Source) renew(ctx context.Context) (string, error) {
	token, life, err := s.fetch(ctx)
	if errors.Is(err, wiretap.ErrNotSent) {
		return unsent, nil // so that the preview shows the call that needs the token, too
	}
	if err == nil && token == "" {
		err = relay.AsTransient(errors.New("answer without a token"))
	}
	s.requests.Inc()
	if err != nil {
		s.requestsFailed.Inc()
		return "", s.failure(ctx, fmt.Errorf("fetch access token: %w", err))
	}
	s.success()
	life = min(life, longest)
	if life > 2*margin {
		life -= margin
	}
	if err := s.cache.Put(ctx, s.key, []byte(token), life); err != nil {
		return "", relay.AsTransient(fmt.Errorf("share access token: %w", err))
	}
	return token, nil
}

// failure leaves the endpoint alone for a while, and returns err as one that the log has. A caller who left says nothing
// about the endpoint.
func (s *Source) failure(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.logger.Warn("No access token can be fetched, what needs one waits", "application", s.key, "err", err)
	}
	s.failed = &relay.Error{Kind: relay.KindOf(err), RetryAfter: relay.RetryAfter(err), Told: true, Err: err}
	s.resting = s.now().Add(restFor)
	return s.failed
}

func (s *Source) success() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		s.logger.Info("Access tokens can be fetched again", "application", s.key)
	}
	s.failed, s.stale = nil, ""
}
