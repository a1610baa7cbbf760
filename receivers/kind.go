package receivers

import (
	"cmp"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
)

// suffix follows a type in its key: slack_configs.
const suffix = "_configs"

// Configs are the integrations of one receiver as configured: by key (slack_configs) a pointer to a slice of the
// integration's own Config. Its zero value is empty and ready to use; it implements strictyaml.Open.
type Configs map[string]any

// Keys are the keys of all integrations, sorted.
func (*Configs) Keys() []string {
	keys := Types()
	for i, t := range keys {
		keys[i] = t + suffix
	}
	return keys
}

// NewValue returns a pointer to an empty list of the integration that key names; nil when there is none.
func (*Configs) NewValue(key string) any {
	k, ok := catalogue()[typeOf(key)]
	if !ok || !strings.HasSuffix(key, suffix) {
		return nil
	}
	return k.list()
}

// Put keeps the list of an integration.
func (c *Configs) Put(key string, list any) {
	if *c == nil {
		*c = make(Configs)
	}
	(*c)[key] = list
}

// Each calls f with every list there is, sorted by key.
func (c *Configs) Each(f func(key string, list any)) {
	for _, key := range c.Keys() {
		if list, ok := (*c)[key]; ok {
			f(key, list)
		}
	}
}

// Describe counts the items of each type: "2 slack".
func (c *Configs) Describe() []string {
	var counts []string
	c.Each(func(key string, list any) {
		if n := reflect.ValueOf(list).Elem().Len(); n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, typeOf(key)))
		}
	})
	return counts
}

func (c *Configs) each(f func(key string, k kind, list any)) {
	kinds := catalogue()
	c.Each(func(key string, list any) { f(key, kinds[typeOf(key)], list) })
}

func typeOf(key string) string { return strings.TrimSuffix(key, suffix) }

// A kind is what the catalogue knows of a type of integration. Its lists are pointers to slices of the type's Config.
type kind struct {
	list            func() any
	validateGlobals func(g *Globals, f *fault.List)
	setDefaults     func(list any, r *Receiver, g *Globals)
	validate        func(list any, f *fault.List)
	build           func(list any, env relay.Env, f *fault.List, found func(relay.Setup, *fault.List))
}

// settings is what a pointer to an integration's Config can do. G are the integration's own keys of global:. Shared comes
// with the embedded relay.Common.
type settings[C, G any] interface {
	*C
	SetDefaults(g G)
	Validate(f *fault.List)
	Shared() *relay.Common
	// Mentioned is the part of mention: that all integrations have.
	Mentioned() relay.Mention
}

// integration makes a kind from the constructor of an integration and the way to its part of Globals.
func integration[C, G any, P settings[C, G]](
	construct func(C, relay.Env) (relay.Setup, error), globals func(*Globals) G,
) kind {
	return kind{
		list: func() any { return new([]C) },
		validateGlobals: func(g *Globals, f *fault.List) {
			own := globals(g)
			if v, ok := any(&own).(interface{ Validate(f *fault.List) }); ok {
				v.Validate(f)
			}
		},
		setDefaults: func(list any, r *Receiver, g *Globals) {
			items := *list.(*[]C)
			for i := range items {
				item := P(&items[i])
				shared := item.Shared()
				shared.Locale = cmp.Or(shared.Locale, r.Locale)
				shared.Timezone = cmp.Or(shared.Timezone, r.Timezone)
				item.SetDefaults(globals(g))
			}
		},
		validate: func(list any, f *fault.List) {
			items := *list.(*[]C)
			for i := range items {
				item := P(&items[i])
				validateShared(item.Shared(), f.Item(i))
				item.Validate(f.Item(i))
			}
		},
		build: func(list any, env relay.Env, f *fault.List, found func(relay.Setup, *fault.List)) {
			for i, item := range *list.(*[]C) {
				if f.Item(i).Failed() {
					continue
				}
				env, err := inZone(env, P(&item).Shared().Timezone)
				f.Item(i).In("timezone").Add(err)
				if err != nil {
					continue
				}
				setup, err := construct(item, env)
				if err == nil {
					setup.Concerned, err = env.People.Concerned(P(&item).Mentioned())
					err = fault.At("mention.people", err)
				}
				if err != nil {
					f.Item(i).Add(err)
					continue
				}
				found(setup, f.Item(i))
			}
		},
	}
}

// inZone is env for readers in another zone, with templates that show times in it; env itself, when none is named.
func inZone(env relay.Env, timezone string) (relay.Env, error) {
	set, ok := env.Templates.(interface {
		In(timezone string) (relay.Renderer, error)
	})
	if timezone == "" || !ok { // a renderer of a test may know no zones
		return env, nil
	}
	var err error
	if env.Templates, err = set.In(timezone); err == nil {
		env.Zone, err = time.LoadLocation(timezone)
	}
	return env, err
}

// validateShared checks the keys that every integration has.
func validateShared(c *relay.Common, f *fault.List) {
	if c.MaxParts < 0 {
		f.In("max_parts").Addf("must be 1 or more")
	}
	if c.MaxInFlight < 0 {
		f.In("max_in_flight").Addf("must be 1 or more")
	}
	if c.Timeout < 0 {
		f.In("timeout").Addf("must be more than 0")
	}
	if c.RateLimit != nil && c.RateLimit.Messages < 0 {
		f.In("rate_limit").In("messages").Addf("must be 0 (no limit) or more")
	}
	switch c.Backlog {
	case "", relay.BacklogMerge, relay.BacklogEach:
	default:
		f.In("backlog").Addf("must be merge or each")
	}
	if _, err := time.LoadLocation(c.Timezone); err != nil || strings.HasPrefix(c.Timezone, "/") {
		f.In("timezone").Addf("unknown time zone; a name like Asia/Shanghai is expected")
	}
	switch c.Locale {
	case "", relay.LocaleChinese, relay.LocaleEnglish:
	default:
		f.In("locale").Addf("must be zh-CN or en")
	}
}
