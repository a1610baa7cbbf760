package config

import (
	"log/slog"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/httpclient"
	"github.com/alertrelay/relay/receivers"
	"github.com/alertrelay/relay/templates"
)

// tryOut compiles the templates and builds every integration that has no fault yet, only to see what is wrong with them:
// nothing is sent.
func (c *Config) tryOut(f *fault.List) {
	client, err := httpclient.New(c.Global.HTTPConfig, "check")
	f.In("global").In("http_config").Add(err)
	set, err := templates.New(templates.Config{
		Globs:    c.Templates,
		Locale:   c.Global.Locale,
		Timezone: c.Global.Timezone,
	})
	if err != nil {
		if !f.In("templates").Failed() && !f.In("global").Failed() {
			f.In("templates").Add(err)
		}
		return
	}
	for _, warning := range set.Warnings() {
		f.In("templates").Warnf("%s", warning)
	}
	env := relay.Env{
		Templates: set, HTTPClient: client, Logger: slog.New(slog.DiscardHandler), Now: time.Now,
		People: c.People.directory(),
	}
	c.build(env, f)
}

// build makes all integrations of all receivers and rooms that have no fault yet.
func (c *Config) build(env relay.Env, f *fault.List) []relay.Setup {
	var setups []relay.Setup
	for i, r := range c.Receivers {
		setups = append(setups, receivers.Build(r.Receiver, env, f.In("receivers").Item(i))...)
	}
	for i, r := range c.Rooms {
		setups = append(setups, receivers.Build(r.Receiver, env, f.In("rooms").Item(i))...)
	}
	receivers.CheckLimits(setups, f.In("receivers"))
	return setups
}
