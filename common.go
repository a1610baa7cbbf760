package relay

import (
	"cmp"
	"time"

	"github.com/prometheus/common/model"
)

// Common are the keys that every integration has, whatever its vendor. An integration embeds it inline in its Config.
type Common struct {
	// Name tells integrations of one type in one receiver apart; default: derived from the destination.
	Name string `yaml:"name,omitempty"`
	// SendResolved is true by default, unlike in Alertmanager.
	SendResolved *bool `yaml:"send_resolved,omitempty"`
	// Locale is zh-CN or en; default: global.locale.
	Locale string `yaml:"locale,omitempty"`
	// Timezone is the IANA name of the zone in which times are shown; default: global.timezone.
	Timezone string `yaml:"timezone,omitempty"`
	// Timeout bounds one call to the vendor; default 10s.
	Timeout model.Duration `yaml:"timeout,omitempty"`
	// RateLimit replaces the vendor's documented limit.
	RateLimit *RateLimit `yaml:"rate_limit,omitempty"`
	// MaxParts bounds the messages that one long notification is split into; default 5.
	MaxParts int `yaml:"max_parts,omitempty"`
	// MaxInFlight bounds the sends under way; default 32.
	MaxInFlight int `yaml:"max_in_flight,omitempty"`
	// Backlog is merge (default) or each.
	Backlog Backlog `yaml:"backlog,omitempty"`
}

// RateLimit is how many messages an integration's credential may send in any window; 0 messages means no limit.
type RateLimit struct {
	Messages int            `yaml:"messages"`
	Per      model.Duration `yaml:"per,omitempty"` // default 1m
}

// Defaults of the common keys.
const (
	DefaultTimeout     = 10 * time.Second
	DefaultMaxParts    = 5
	DefaultMaxInFlight = 32
	DefaultRatePer     = time.Minute
)

// The languages of the default texts.
const (
	LocaleChinese = "zh-CN"
	LocaleEnglish = "en"
)

// Shared returns the common keys of an integration's Config, which has this method from the Common it embeds.
func (c *Common) Shared() *Common { return c }

// Setup returns the common part of a Setup, defaults filled in: limit is the vendor's own.
func (c Common) Setup(limit Limit) Setup {
	s := Setup{
		Name:         c.Name,
		SendResolved: c.SendResolved == nil || *c.SendResolved,
		Backlog:      cmp.Or(c.Backlog, BacklogMerge),
		Limit:        limit,
		MaxInFlight:  cmp.Or(c.MaxInFlight, DefaultMaxInFlight),
		Timeout:      cmp.Or(time.Duration(c.Timeout), DefaultTimeout),
	}
	if c.RateLimit != nil {
		s.Limit = Limit{Messages: c.RateLimit.Messages, Per: cmp.Or(time.Duration(c.RateLimit.Per), DefaultRatePer)}
	}
	return s
}

// Parts is MaxParts with its default filled in.
func (c Common) Parts() int { return cmp.Or(c.MaxParts, DefaultMaxParts) }
