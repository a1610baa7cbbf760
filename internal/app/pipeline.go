package app

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/enrich"
	"github.com/alertrelay/relay/internal/httpclient"
	"github.com/alertrelay/relay/route"
	"github.com/alertrelay/relay/snapshots"
	"github.com/alertrelay/relay/templates"
	"github.com/alertrelay/relay/webhook"
)

// A pipeline is what one configuration makes of the stages before the store. It never changes; a reload makes another.
type pipeline struct {
	intake   *intake
	handler  http.Handler // the way in
	config   *config.Config
	window   time.Duration // of dedupe
	enricher *enrich.Enricher
	tree     *route.Tree
	setups   []relay.Setup
	// isolate says that alerts of different rooms are told apart where the destination is chosen by room.
	isolate bool
	// named are the receivers of the configuration, also those without integrations; the rooms are not among them.
	named map[string]bool
	// receivers has the integrations of each receiver, and of each room under its name.
	receivers map[string][]relay.Setup
}

var _ webhook.Intake = (*pipeline)(nil)

// surroundings are what every pipeline of a process is built with.
type surroundings struct {
	logger      *slog.Logger
	registerer  prometheus.Registerer
	now         func() time.Time
	cache       relay.Cache
	externalURL string
	snapshots   snapshots.Store
	enrichment  *enrich.Metrics
	intake      *intake
	// webhook is what the way in is made of, but for its intake and its tokens.
	webhook webhook.Options
}

// newPipeline builds everything that a configuration names, anew. Nothing of it runs yet.
func newPipeline(c *config.Config, s surroundings) (*pipeline, error) {
	set, err := templates.New(templates.Config{
		Globs:       c.Templates,
		Locale:      c.Global.Locale,
		Timezone:    c.Global.Timezone,
		ExternalURL: s.externalURL,
	})
	if err != nil {
		return nil, err
	}
	client, err := httpclient.New(c.Global.HTTPConfig, "relay")
	if err != nil {
		return nil, err
	}
	setups, err := c.Setups(relay.Env{
		Zone:        c.Global.Location(),
		Templates:   set,
		HTTPClient:  client,
		Logger:      s.logger,
		Registerer:  s.registerer,
		Now:         s.now,
		Cache:       s.cache,
		ExternalURL: s.externalURL,
	})
	if err != nil {
		return nil, err
	}
	for _, fault := range c.Warnings() {
		s.logger.Warn("The configuration can be used, but", "fault", fault)
	}
	p := &pipeline{
		intake:    s.intake,
		config:    c,
		window:    time.Duration(c.Dedupe.Window),
		setups:    setups,
		isolate:   len(c.IsolateBy) > 0,
		named:     make(map[string]bool, len(c.Receivers)),
		receivers: make(map[string][]relay.Setup, len(c.Receivers)+len(c.Rooms)),
	}
	var lookups []enrich.Source
	if s.snapshots != nil {
		lookups = append(lookups, enrich.FromStore(c.Snapshots.Config, s.snapshots))
	}
	if c.Snapshots.Exemplars != nil {
		exemplars, err := enrich.FromExemplars(c.Snapshots.Config)
		if err != nil {
			return nil, err
		}
		lookups = append(lookups, exemplars)
	}
	p.enricher, err = enrich.New(c.Snapshots.Config, enrich.Options{
		Lookups: lookups,
		Metrics: s.enrichment,
		Logger:  s.logger,
	})
	if err != nil {
		return nil, err
	}
	var rooms []route.Room
	for _, r := range c.Rooms {
		rooms = append(rooms, route.Room{ID: r.RoomID, Receiver: r.Name, Continue: r.Continue})
	}
	if p.tree, err = route.New(c.Route, rooms); err != nil {
		return nil, err
	}
	for _, r := range c.Receivers {
		p.receivers[r.Name], p.named[r.Name] = nil, true
	}
	for _, setup := range setups {
		p.receivers[setup.Receiver] = append(p.receivers[setup.Receiver], setup)
	}
	way := s.webhook
	way.Intake, way.Auth = p, tokens(c)
	way.Snapshots = recordings{snapshots.Recorder{
		Store: s.snapshots, Sets: c.Snapshots.Sets(), TTL: c.Snapshots.TimeToLive(), Now: s.now,
	}}
	p.handler = webhook.New(way)
	return p, nil
}

// Take implements webhook.Intake.
func (p *pipeline) Take(ctx context.Context, r webhook.Request) (webhook.Answer, error) {
	return p.intake.take(ctx, p, r)
}

// has reports whether a receiver is configured.
func (p *pipeline) has(receiver string) bool { return p.named[receiver] }

// cut returns the parts of a notification: whole for the receiver named in the URL, else for the rooms and along the
// routing tree.
func (p *pipeline) cut(n *relay.Notification, receiver string) []route.Part {
	if receiver != "" {
		return []route.Part{route.Straight(n, receiver)}
	}
	return p.tree.Cut(n)
}

// apart reports whether each room of a part is told apart to an integration.
func (p *pipeline) apart(s *relay.Setup) bool { return s.ByRoom && p.isolate }

// A piece is what of a part concerns one destination of an integration.
type piece struct {
	route.Part

	// silent says that it is not told: all its alerts are resolved, where that is of no interest. It is whole then, so that
	// it goes where they were told.
	silent bool
}

// pieces are what of a part concerns an integration.
func (p *pipeline) pieces(s *relay.Setup, part route.Part) []piece {
	parts := []route.Part{part}
	if p.apart(s) {
		parts = route.ByRoom(part)
	}
	pieces := make([]piece, len(parts))
	for i, part := range parts {
		pieces[i] = piece{Part: part}
		if s.SendResolved {
			continue
		}
		if firing, any := route.Firing(part); any {
			pieces[i].Part = firing
		} else {
			pieces[i].silent = true
		}
	}
	return pieces
}
