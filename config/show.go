package config

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/alertrelay/relay/route"
)

// String returns the configuration as YAML, defaults filled in and every secret as <secret>.
func (c *Config) String() string {
	text, err := yaml.MarshalWithOptions(c, yaml.Indent(2), yaml.UseLiteralStyleIfMultiline(true))
	if err != nil {
		return "configuration cannot be shown"
	}
	return string(text)
}

// Summary says in a few lines what is in the configuration.
func (c *Config) Summary() string {
	var b strings.Builder
	for _, r := range c.Receivers {
		fmt.Fprintf(&b, "  receiver %s: %s\n", r.Name, cmp.Or(strings.Join(r.Integrations.Describe(), ", "), "nothing"))
	}
	for _, r := range c.Rooms {
		fmt.Fprintf(&b, "  room %s: %s\n", r.RoomID, strings.Join(r.Integrations.Describe(), ", "))
	}
	fmt.Fprintf(&b, "  %s, %s\n", count(routes(c.Route), "route"), count(len(c.templateFiles), "template file"))
	return b.String()
}

// routes counts a route and all below it.
func routes(r route.Config) int {
	n := 1
	for _, child := range r.Routes {
		n += routes(child)
	}
	return n
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
