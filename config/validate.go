package config

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/enrich"
	"github.com/alertrelay/relay/internal/fault"
)

// validate adds what is wrong with the sections, each at its keys.
func (c *Config) validate(f *fault.List) {
	c.Global.validate(f.In("global"))
	c.Storage.validate(f.In("storage"))
	positive(f.In("dedupe").In("window"), c.Dedupe.Window)
	c.Delivery.validate(f.In("delivery"))
	c.Snapshots.validate(f.In("snapshots"))
	names := c.receiverNames()
	c.Route.Validate(f.In("route"), names)
	c.People.validate(f.In("people"))
	c.validateReceivers(names, f.In("receivers"))
	for i, by := range c.IsolateBy {
		if by != enrich.RoomID {
			f.In("isolate_by").Item(i).Addf("must be %s: nothing else chooses a destination", enrich.RoomID)
		}
	}
	c.validateRooms(names, f.In("rooms"))
}

func (g *Global) validate(f *fault.List) {
	validateLocale(g.Locale, f.In("locale"))
	validateTimezone(g.Timezone, f.In("timezone"))
	g.WebhookAuth.validate(f.In("webhook_auth"))
	g.APIAuth.validate(f.In("api_auth"))
	g.Integrations.Validate(f)
}

func (a *Auth) validate(f *fault.List) {
	switch {
	case a == nil:
	case a.Token().IsZero():
		f.Addf("one of bearer_token & bearer_token_file is required")
	case !a.BearerToken.IsZero() && a.BearerTokenFile != "":
		f.Addf("at most one of bearer_token & bearer_token_file must be configured")
	}
}

func (s *Snapshots) validate(f *fault.List) {
	s.Validate(f)
	if s.Redis == nil {
		return
	}
	f = f.In("redis")
	s.Redis.validate(f)
	if s.Redis.MinAcks > 0 {
		f.In("min_acks").Warnf("has no effect here: recording does not wait for replicas")
	}
}

func (d *Delivery) validate(f *fault.List) {
	positive(f.In("max_age"), d.MaxAge)
	positive(f.In("workers"), d.Workers)
	positive(f.In("max_sends"), d.MaxSends)
	positive(f.In("max_pending"), d.MaxPending)
	positive(f.In("retention"), d.Retention)
}

func positive[N ~int | ~int64](f *fault.List, n N) {
	if n <= 0 {
		f.Addf("must be more than 0")
	}
}

func (c *Config) validateReceivers(names map[string]bool, f *fault.List) {
	if len(c.Receivers) == 0 {
		f.Addf("at least one receiver is required")
	}
	seen := make(map[string]bool)
	for i := range c.Receivers {
		r, f := &c.Receivers[i], f.Item(i)
		switch {
		case r.Name == "":
			f.Addf("name is required")
		case strings.ContainsAny(r.Name, "/?#"):
			f.In("name").Addf("must not contain / ? or #: it is part of the path /webhook/{receiver}")
		case seen[r.Name]:
			f.In("name").Addf("another receiver has the name %q", r.Name)
		}
		seen[r.Name] = true
		validateLocale(r.Locale, f.In("locale"))
		if r.Timezone != "" {
			validateTimezone(r.Timezone, f.In("timezone"))
		}
		c.validateFallback(r.Name, r.Instead, names, f)
		r.WebhookAuth.validate(f.In("webhook_auth"))
		r.Validate(f)
	}
}

// validateRooms checks the rooms; receivers are the names of those.
func (c *Config) validateRooms(receivers map[string]bool, f *fault.List) {
	ids, names := make(map[string]bool), maps.Clone(receivers)
	for i := range c.Rooms {
		r, f := &c.Rooms[i], f.Item(i)
		switch {
		case r.RoomID == "":
			f.Addf("room_id is required")
		case c.Snapshots.Room(r.RoomID) != r.RoomID:
			f.In("room_id").Addf("no alert has this room: it is too long, or not plain text")
		case ids[r.RoomID]:
			f.In("room_id").Addf("another item is for this room")
		case strings.ContainsAny(r.Name, "/?#"):
			f.In("name").Addf("must not contain / ? or #")
		case names[r.Name]:
			f.In("name").Addf("another room or a receiver has the name %q", r.Name)
		}
		if len(r.Integrations.Describe()) == 0 {
			f.Addf("at least one integration is required, such as dingtalk_configs: else its alerts go nowhere")
		}
		ids[r.RoomID], names[r.Name] = true, true
		validateLocale(r.Locale, f.In("locale"))
		if r.Timezone != "" {
			validateTimezone(r.Timezone, f.In("timezone"))
		}
		c.validateFallback(r.Name, r.Instead, receivers, f)
		r.Validate(f)
	}
}

// validateFallback checks who is told instead of the receiver or room with this name.
func (c *Config) validateFallback(name string, i Instead, receivers map[string]bool, f *fault.List) {
	switch {
	case i.Fallback == "" && i.FallbackAfter != 0:
		f.In("fallback_after").Addf("needs a fallback")
	case i.Fallback == "":
	case !receivers[i.Fallback]:
		f.In("fallback").Addf("there is no receiver %q", i.Fallback)
	case i.Fallback == name:
		f.In("fallback").Addf("a receiver cannot be its own fallback")
	case !c.sends(i.Fallback):
		f.In("fallback").Warnf("receiver %q has no integrations: nobody would be told", i.Fallback)
	}
	if i.FallbackAfter < 0 {
		f.In("fallback_after").Addf("must be more than 0")
	}
}

// sends reports whether a receiver has integrations.
func (c *Config) sends(receiver string) bool {
	return slices.ContainsFunc(c.Receivers, func(r Receiver) bool {
		return r.Name == receiver && len(r.Integrations.Describe()) > 0
	})
}

func (c *Config) receiverNames() map[string]bool {
	names := make(map[string]bool)
	for _, r := range c.Receivers {
		names[r.Name] = true
	}
	return names
}

func validateTimezone(name string, f *fault.List) {
	if _, err := time.LoadLocation(name); err != nil || strings.HasPrefix(name, "/") {
		f.Addf("unknown time zone; a name like Asia/Shanghai is expected")
	}
}

// validateLocale accepts an empty locale, which stands for the one above it.
func validateLocale(locale string, f *fault.List) {
	switch locale {
	case "", relay.LocaleChinese, relay.LocaleEnglish:
	default:
		f.Addf("must be %s or %s", relay.LocaleChinese, relay.LocaleEnglish)
	}
}
