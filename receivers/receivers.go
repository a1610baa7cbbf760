// Package receivers is the way out: the catalogue of integrations, one folder each beside it. It turns the items of a
// receiver in the configuration into the integrations that deliver claims work for.
//
// Adding an integration is one folder and one line in catalogue; its key in the configuration, defaults, validation and
// identity follow from that line.
package receivers

import (
	"maps"
	"slices"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/receivers/dingtalk"
	"github.com/alertrelay/relay/receivers/email"
	"github.com/alertrelay/relay/receivers/slack"
	"github.com/alertrelay/relay/receivers/wechat"
	"github.com/alertrelay/relay/receivers/wecom"
)

// catalogue lists all integrations by their type. The key of a type in a receiver is its name with _configs.
func catalogue() map[string]kind {
	return map[string]kind{
		"dingtalk": integration(dingtalk.New, func(g *Globals) dingtalk.Globals { return g.DingTalk }),
		"email":    integration(email.New, func(g *Globals) email.Globals { return g.Email }),
		"slack":    integration(slack.New, func(g *Globals) slack.Globals { return g.Slack }),
		"wechat":   integration(wechat.New, func(g *Globals) wechat.Globals { return g.WeChat }),
		"wecom":    integration(wecom.New, func(g *Globals) wecom.Globals { return g.WeCom }),
	}
}

// Globals are the keys of global: that belong to integrations.
type Globals struct {
	DingTalk dingtalk.Globals `yaml:",inline"`
	Email    email.Globals    `yaml:",inline"`
	Slack    slack.Globals    `yaml:",inline"`
	WeChat   wechat.Globals   `yaml:",inline"`
	WeCom    wecom.Globals    `yaml:",inline"`
}

// Validate adds what is wrong with the keys of global: by themselves.
func (g *Globals) Validate(f *fault.List) {
	kinds := catalogue()
	for _, t := range Types() {
		kinds[t].validateGlobals(g, f)
	}
}

// Types returns the types of all integrations, sorted.
func Types() []string { return slices.Sorted(maps.Keys(catalogue())) }

// A Receiver is what a named entry of receivers: says about its integrations.
type Receiver struct {
	Name string `yaml:"name"`
	// Locale is zh-CN or en; default: global.locale.
	Locale string `yaml:"locale,omitempty"`
	// Timezone is the IANA name of the zone in which times are shown; default: global.timezone.
	Timezone string `yaml:"timezone,omitempty"`
	// Integrations are the items of slack_configs and its like.
	Integrations Configs `yaml:",inline"`
}

// SetDefaults fills what the receiver's items leave open from the receiver and from global:.
func (r *Receiver) SetDefaults(g *Globals) {
	r.Integrations.each(func(_ string, k kind, list any) { k.setDefaults(list, r, g) })
}

// Validate adds what is wrong with the items. The list is at the receiver.
func (r *Receiver) Validate(f *fault.List) {
	r.Integrations.each(func(key string, k kind, list any) { k.validate(list, f.In(key)) })
}

// Build makes the receiver's integrations in the order of their types and of the file. What cannot be made is a fault,
// added to a list that is at the receiver, and left out, as are items that have a fault already.
func Build(r Receiver, env relay.Env, f *fault.List) []relay.Setup {
	var setups []relay.Setup
	taken := make(map[relay.IntegrationID]bool)
	r.Integrations.each(func(key string, k kind, list any) {
		k.build(list, env, f.In(key), func(s relay.Setup, f *fault.List) {
			s.Receiver, s.Type = r.Name, typeOf(key)
			s.ID = relay.IntegrationID(s.Receiver + "/" + s.Type + "/" + s.Name)
			if taken[s.ID] {
				f.Addf("another item of this receiver has the name %q: set a name of its own with name:", s.Name)
				return
			}
			taken[s.ID] = true
			setups = append(setups, s)
		})
	})
	return setups
}

// CheckLimits warns when integrations share a limiter and say different limits: the smallest holds.
func CheckLimits(setups []relay.Setup, f *fault.List) {
	first := make(map[relay.LimiterID]relay.Setup)
	for _, s := range setups {
		for _, id := range s.Limiters {
			other, ok := first[id]
			if !ok {
				first[id] = s
				continue
			}
			if other.Limit != s.Limit {
				f.Warnf("%s and %s send with the same credential but have different rate limits: the smallest holds",
					other.ID, s.ID)
				break
			}
		}
	}
}
