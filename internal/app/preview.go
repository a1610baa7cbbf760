package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/deliver"
	"github.com/alertrelay/relay/internal/wiretap"
	"github.com/alertrelay/relay/route"
	"github.com/alertrelay/relay/templates"
	"github.com/alertrelay/relay/webhook"
)

// A Bench tries a configuration out on single notifications, past store and listeners: where they go, what is said there,
// and, when asked to, what the vendors answer.
type Bench struct {
	pipeline    *pipeline
	externalURL string
}

// NewBench builds a configuration as a process would. externalURL is where people reach the relay; it may be empty.
func NewBench(c *config.Config, externalURL string) (*Bench, error) {
	p, err := newPipeline(c, surroundings{
		logger: slog.New(slog.DiscardHandler), now: time.Now, cache: &memoryCache{}, externalURL: externalURL,
	})
	if err != nil {
		return nil, err
	}
	return &Bench{pipeline: p, externalURL: externalURL}, nil
}

// Read reads a webhook body as the way in does, and gives its alerts their context.
func (b *Bench) Read(ctx context.Context, body []byte) (*relay.Notification, error) {
	n, err := webhook.Decode(body)
	if err != nil {
		return nil, err
	}
	n.ReceivedAt = time.Now()
	n.ID = "preview-" + strconv.FormatInt(n.ReceivedAt.UnixNano(), 36) // new each time: vendors fold copies
	b.pipeline.enricher.Enrich(ctx, n, nil, relay.Snapshot{}, "")
	return n, nil
}

// A Choice selects where a notification goes. Its zero value is what the routing tree decides.
type Choice struct {
	Receiver    string              // straight to this one, past the tree
	Integration relay.IntegrationID // this one alone, past the tree
}

// A Way is what a notification means for one integration.
type Way struct {
	Receiver    string              `json:"receiver"`
	Integration relay.IntegrationID `json:"integration,omitempty"` // empty: the receiver has none
	Destination string              `json:"destination,omitempty"`
	Room        string              `json:"room,omitempty"`
	Alerts      int                 `json:"alerts"`
	// Error is why nobody would be told: a template of the destination fails.
	Error string `json:"error,omitempty"`

	setup *relay.Setup
	part  *relay.Notification
}

// ErrNoSuch means that a Choice names nothing of the configuration.
var ErrNoSuch = errors.New("is not configured")

// Ways are where a notification goes. An integration that does not want resolved alerts is not among them when there is
// nothing else.
func (b *Bench) Ways(n *relay.Notification, c Choice) ([]Way, error) {
	receiver := c.Receiver
	if c.Integration != "" {
		name, _, _ := strings.Cut(string(c.Integration), "/")
		if receiver != "" && receiver != name {
			return nil, fmt.Errorf("integration %q of receiver %q %w", c.Integration, receiver, ErrNoSuch)
		}
		receiver = name
	}
	if receiver != "" && !b.pipeline.has(receiver) {
		return nil, fmt.Errorf("receiver %q %w", receiver, ErrNoSuch)
	}
	var ways []Way
	known := false
	for _, part := range b.pipeline.cut(n, receiver) {
		setups := b.pipeline.receivers[part.Receiver]
		if len(setups) == 0 {
			ways = append(ways, Way{Receiver: part.Receiver, Room: part.Notification.Room, Alerts: len(part.Notification.Alerts)})
		}
		for i := range setups {
			if c.Integration != "" && setups[i].ID != c.Integration {
				continue
			}
			known = true
			for _, piece := range b.pipeline.pieces(&setups[i], part) {
				if !piece.silent {
					ways = append(ways, wayOf(&setups[i], piece.Part))
				}
			}
		}
	}
	if c.Integration != "" && !known {
		return nil, fmt.Errorf("integration %q %w", c.Integration, ErrNoSuch)
	}
	return ways, nil
}

// wayOf is what a piece of a notification means for an integration.
func wayOf(s *relay.Setup, part route.Part) Way {
	way := Way{
		Receiver: part.Receiver, Integration: s.ID, Room: part.Notification.Room, Alerts: len(part.Notification.Alerts),
		setup: s, part: part.Notification,
	}
	to, err := destinationOf(s, part.Notification)
	if err != nil {
		way.Error = err.Error()
	}
	way.Destination = to.Key
	return way
}

// A Trial is what is said on one Way.
type Trial struct {
	Way

	Messages []TriedMessage `json:"messages,omitempty"`
}

// A TriedMessage is one message of a Trial, with the calls that Send made for it, or would make.
type TriedMessage struct {
	// Limiter is the robot of a pool that it goes through, as the metrics name it; empty where there is only one.
	Limiter relay.LimiterID `json:"limiter,omitempty"`
	Part    int             `json:"part"`
	Parts   int             `json:"parts"`
	Text    string          `json:"text"`              // what a reader sees, without markup where that is easy
	Omitted int             `json:"omitted,omitempty"` // alerts that are only counted
	// Fallback is why the plain text stands in: the template failed.
	Fallback string         `json:"fallback,omitempty"`
	Body     wiretap.Text   `json:"body"` // as the relay keeps it
	Calls    []wiretap.Call `json:"calls,omitempty"`
	// Result is what became of it; nil when nothing was sent.
	Result *Result `json:"result,omitempty"`
}

// A Result is what a vendor made of a message.
type Result struct {
	Taken      bool              `json:"taken"`
	Detail     string            `json:"detail,omitempty"`  // the vendor's words
	Refused    map[string]string `json:"refused,omitempty"` // recipients that did not get it
	Kind       relay.Kind        `json:"kind,omitempty"`    // of the error
	Error      string            `json:"error,omitempty"`
	RetryAfter time.Duration     `json:"retryAfter,omitempty"`
	Took       time.Duration     `json:"took"`
}

// Failed tells whether something of a trial is not as it should be: a template that failed, a message not taken.
func (t Trial) Failed() bool {
	return t.Error != "" || slices.ContainsFunc(t.Messages, func(m TriedMessage) bool {
		return m.Fallback != "" || m.Result != nil && !m.Result.Taken
	})
}

// Try renders what is said on a way and, when send is set, sends it: past the store, so that the vendor's limits are not
// kept and nothing is tried again. Of a pool each robot sends. It stops at the first message that is not taken, and goes on
// with the next robot.
func (b *Bench) Try(ctx context.Context, way Way, send bool) Trial {
	trial := Trial{Way: way}
	if way.setup == nil || way.Error != "" {
		return trial
	}
	messages, err := deliver.Preview(*way.setup, way.part, time.Now())
	if err != nil {
		trial.Error = err.Error()
		return trial
	}
	limiters := way.setup.Limiters
	switch {
	case len(limiters) == 0: // each destination has its own
		limiters = []relay.LimiterID{""}
	case !send:
		limiters = limiters[:1]
	}
	for _, limiter := range limiters {
		for _, m := range messages {
			m.Limiter = limiter
			tried := try(ctx, way.setup, m, send)
			if len(limiters) > 1 {
				tried.Limiter = limiter
			}
			trial.Messages = append(trial.Messages, tried)
			if send && !tried.Result.Taken {
				break
			}
		}
	}
	return trial
}

func try(ctx context.Context, s *relay.Setup, m relay.Message, send bool) TriedMessage {
	tried := TriedMessage{
		Part: m.Part, Parts: m.Parts, Text: m.Text, Omitted: m.Omitted, Fallback: m.Fallback, Body: m.Body,
	}
	tap := wiretap.New(send)
	ctx, cancel := context.WithTimeout(tap.Listen(ctx), s.Timeout)
	defer cancel()
	begin := time.Now()
	receipt, err := s.Send(ctx, m)
	if relay.KindOf(err) == relay.TokenExpired { // a stale access token is worth a second call, as in earnest
		receipt, err = s.Send(ctx, m)
	}
	tried.Calls = tap.Calls()
	if !send {
		return tried
	}
	tried.Result = &Result{Taken: err == nil, Detail: receipt.Detail, Refused: receipt.Refused, Took: time.Since(begin)}
	if err != nil {
		tried.Result.Kind, tried.Result.Error = relay.KindOf(err), err.Error()
		tried.Result.RetryAfter = relay.RetryAfter(err)
	}
	return tried
}

// Execute executes a template on a notification as a text of the configuration: in one of the languages, or the
// configuration's own, and with HTML escaping when html is set.
func (b *Bench) Execute(n *relay.Notification, text, locale string, html bool) (string, error) {
	global := b.pipeline.config.Global
	set, err := templates.New(templates.Config{
		Globs: b.pipeline.config.Templates, Locale: global.Locale, Timezone: global.Timezone, ExternalURL: b.externalURL,
	})
	if err != nil {
		return "", err
	}
	compile := set.Text
	if html {
		compile = set.HTML
	}
	t, err := compile(locale, text)
	if err != nil {
		return "", err
	}
	return t.Execute(relay.View{Delivery: &relay.Delivery{
		ID: n.ID, Now: time.Now(), Tellings: []relay.Telling{{Notification: n, Since: n.ReceivedAt}},
	}})
}

// A memoryCache is a cache of one process.
type memoryCache struct {
	mu     sync.Mutex
	values map[string][]byte
}

var _ relay.Cache = (*memoryCache)(nil)

// Get implements relay.Cache.
func (c *memoryCache) Get(_ context.Context, key string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.values[key], nil
}

// Put implements relay.Cache. A trial is over before anything expires.
func (c *memoryCache) Put(_ context.Context, key string, value []byte, _ time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.values == nil {
		c.values = map[string][]byte{}
	}
	c.values[key] = value
	return nil
}

// Lock implements relay.Cache. A trial makes one call after the other, so nobody else holds anything.
func (c *memoryCache) Lock(context.Context, string, time.Duration) (func(), error) {
	return func() {}, nil
}
