// Package config reads config.yaml: it assembles the section types of all stages into one Config, strictly decoded,
// filled with defaults, validated, with paths resolved, and printable without a secret.
//
// It is read once at start and once for each reload, and not changed afterwards. Load reports as many faults at once as
// can be found, each with file, line and key path.
package config

import (
	"cmp"
	"maps"
	"net/url"
	"os"
	"strings"
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/enrich"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/receivers"
	"github.com/alertrelay/relay/route"
)

// A Config is one configuration file, defaults filled in. It is not changed after Load.
type Config struct {
	Global   Global   `yaml:"global"`
	Storage  Storage  `yaml:"storage,omitempty"`
	Dedupe   Dedupe   `yaml:"dedupe"`
	Delivery Delivery `yaml:"delivery"`
	// Snapshots says how an alert gets the context of its request.
	Snapshots Snapshots `yaml:"snapshots,omitempty"`
	// Templates are files and patterns of files, absolute after Load.
	Templates []string `yaml:"templates,omitempty"`
	// IsolateBy says what is told apart where the destination is chosen by it: room_id, the default, or nothing.
	IsolateBy []string `yaml:"isolate_by"`
	// Rooms are destinations of their own, ahead of the routing tree.
	Rooms []Room       `yaml:"rooms,omitempty"`
	Route route.Config `yaml:"route"`
	// People is the directory of those whom messages mention.
	People    People     `yaml:"people,omitempty"`
	Receivers []Receiver `yaml:"receivers"`

	file          string
	templateFiles []string
	hash          [32]byte
	line          func(path string) int
	secrets       []string
	warnings      []Fault
}

// Global are the keys that hold for all receivers unless they say otherwise.
type Global struct {
	// Locale is the language of the default texts: zh-CN (default) or en.
	Locale string `yaml:"locale"`
	// Timezone is the IANA name of the zone in which times are shown; default: the environment's TZ, else UTC.
	Timezone string `yaml:"timezone"`
	// HTTPConfig is for integrations without an http_config of their own.
	HTTPConfig *promconfig.HTTPClientConfig `yaml:"http_config,omitempty"`
	// WebhookAuth protects /webhook and /webhook/{receiver}.
	WebhookAuth *Auth `yaml:"webhook_auth,omitempty"`
	// APIAuth protects /api/v1, /-/reload and /debug.
	APIAuth *Auth `yaml:"api_auth,omitempty"`

	Integrations receivers.Globals `yaml:",inline"`
}

// Auth is a bearer token that a caller must show.
type Auth struct {
	BearerToken     secret.String `yaml:"bearer_token,omitempty"`
	BearerTokenFile secret.File   `yaml:"bearer_token_file,omitempty"`
}

// Token is the token, read at each use when it is in a file.
func (a *Auth) Token() secret.Value { return secret.Of(a.BearerToken, a.BearerTokenFile) }

// Storage says where the relay keeps what it accepted. Empty means the embedded store, in --storage.path.
type Storage struct {
	Redis *Redis `yaml:"redis,omitempty"`
}

// Snapshots says how an alert gets the context of its request, and where applications record it.
type Snapshots struct {
	enrich.Config `yaml:",inline"`

	// Redis is where applications record; default: that of storage, else the embedded store.
	Redis *Redis `yaml:"redis,omitempty"`
}

// Dedupe says when the same notification is a duplicate.
type Dedupe struct {
	// Window is how long after its acceptance an unchanged state counts as a copy.
	Window model.Duration `yaml:"window"`
}

// Delivery bounds the work between acceptance and the vendors.
type Delivery struct {
	// MaxAge is when retrying ends in the dead letters.
	MaxAge model.Duration `yaml:"max_age"`
	// Workers bounds the messages that are decoded and rendered at the same time.
	Workers int `yaml:"workers"`
	// MaxSends bounds the calls under way to all vendors together, of this process.
	MaxSends int `yaml:"max_sends"`
	// MaxPending is the number of entries beyond which no more are accepted.
	MaxPending int `yaml:"max_pending"`
	// Retention is how long the history is kept.
	Retention model.Duration `yaml:"retention"`
}

// A Receiver is a named entry of receivers:.
type Receiver struct {
	receivers.Receiver `yaml:",inline"`
	Instead            `yaml:",inline"`

	// WebhookAuth replaces global.webhook_auth on /webhook/{receiver}.
	WebhookAuth *Auth `yaml:"webhook_auth,omitempty"`
}

// A Room is a destination of its own: the alerts with its routing room go there.
type Room struct {
	RoomID string `yaml:"room_id"`
	// Receiver has the integrations; its name is room:<room_id> by default.
	receivers.Receiver `yaml:",inline"`
	Instead            `yaml:",inline"`

	// Continue lets the routing tree have the alerts as well.
	Continue bool `yaml:"continue,omitempty"`
}

// Instead says who is told what a receiver or a room could not be told.
type Instead struct {
	// Fallback is the receiver to tell when a destination of this one has failed for FallbackAfter.
	Fallback      string         `yaml:"fallback,omitempty"`
	FallbackAfter model.Duration `yaml:"fallback_after,omitempty"`
}

func (i *Instead) setDefaults() {
	if i.Fallback != "" && i.FallbackAfter == 0 {
		i.FallbackAfter = model.Duration(DefaultFallbackAfter)
	}
}

// Fallbacks has, by name, the receivers and rooms that have a fallback.
func (c *Config) Fallbacks() map[string]Instead {
	all := map[string]Instead{}
	for _, r := range c.Receivers {
		all[r.Name] = r.Instead
	}
	for _, r := range c.Rooms {
		all[r.Name] = r.Instead
	}
	maps.DeleteFunc(all, func(_ string, i Instead) bool { return i.Fallback == "" })
	return all
}

// Defaults of the keys.
const (
	DefaultLocale        = relay.LocaleChinese
	DefaultWindow        = 10 * time.Minute
	DefaultMaxAge        = 24 * time.Hour
	DefaultWorkers       = 64
	DefaultMaxSends      = 4096
	DefaultMaxPending    = 100000
	DefaultRetention     = 7 * 24 * time.Hour
	DefaultFallbackAfter = 15 * time.Minute
)

// defaults is the Config that a file is read into.
func defaults() *Config {
	return &Config{
		Global:    Global{Locale: DefaultLocale, Timezone: localZone()},
		IsolateBy: []string{enrich.RoomID},
		Dedupe:    Dedupe{Window: model.Duration(DefaultWindow)},
		Delivery: Delivery{
			MaxAge:     model.Duration(DefaultMaxAge),
			Workers:    DefaultWorkers,
			MaxSends:   DefaultMaxSends,
			MaxPending: DefaultMaxPending,
			Retention:  model.Duration(DefaultRetention),
		},
	}
}

// setDefaults fills what the receiver and its items leave open.
func (r *Receiver) setDefaults(g *Global) {
	r.Instead.setDefaults()
	r.SetDefaults(&g.Integrations)
}

func (r *Room) setDefaults(g *Global) {
	r.Name = cmp.Or(r.Name, "room:"+url.PathEscape(r.RoomID))
	r.Instead.setDefaults()
	r.SetDefaults(&g.Integrations)
}

// localZone is the zone that TZ names, as far as it is an IANA name; else UTC.
func localZone() string {
	name := strings.TrimPrefix(os.Getenv("TZ"), ":")
	if _, err := time.LoadLocation(name); err != nil || name == "" || strings.HasPrefix(name, "/") {
		return "UTC"
	}
	return name
}

// Location is the zone in which times are shown.
func (g *Global) Location() *time.Location {
	zone, err := time.LoadLocation(g.Timezone)
	if err != nil { // Load has refused an unknown zone
		return time.UTC
	}
	return zone
}

// File is the path the configuration was read from.
func (c *Config) File() string { return c.file }

// TemplateFiles are the files that Templates name, sorted within each pattern.
func (c *Config) TemplateFiles() []string { return c.templateFiles }

// Warnings are what is worth telling of a configuration that can be used.
func (c *Config) Warnings() []Fault { return c.warnings }
