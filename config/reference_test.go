package config_test

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/enrich"
	"github.com/alertrelay/relay/receivers"
	"github.com/alertrelay/relay/route"
)

// TestReferenceHasEveryKey keeps the reference page in step with the types.
func TestReferenceHasEveryKey(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/reference/configuration.md")
	require.NoError(t, err)
	for section, v := range map[string]any{
		"The file": config.Config{}, "`global`": config.Global{}, "`<auth>`": config.Auth{},
		"`storage`": config.Storage{}, "`storage.redis`": config.Redis{},
		"`dedupe`": config.Dedupe{}, "`delivery`": config.Delivery{}, "`snapshots`": config.Snapshots{}, "`snapshots.exemplars`": enrich.Exemplars{},
		"`route`": route.Config{}, "`<receiver>`": config.Receiver{}, "`<room>`": config.Room{}, "Keys of every integration": relay.Common{},
	} {
		_, page, found := strings.Cut(string(text), "# "+section+"\n")
		require.True(t, found, "no heading %s", section)
		page, _, _ = strings.Cut(page, "\n#")
		for _, key := range keysOf(reflect.TypeOf(v)) {
			require.True(t, strings.Contains(page, "`"+key+"`") || strings.Contains(page, "\n"+key+": "),
				"%s does not tell of %s", section, key)
		}
	}
	for _, key := range (*receivers.Configs)(nil).Keys() {
		require.Contains(t, string(text), "`"+key+"`")
	}
}

// keysOf are the keys of a section itself, without those that other pages describe.
func keysOf(section reflect.Type) []string {
	ours := []reflect.Type{
		reflect.TypeFor[receivers.Receiver](), reflect.TypeFor[config.Instead](), reflect.TypeFor[enrich.Config](),
	}
	var keys []string
	for field := range section.Fields() {
		key, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case !field.IsExported():
		case options == "inline" && slices.Contains(ours, field.Type):
			keys = append(keys, keysOf(field.Type)...)
		case key != "":
			keys = append(keys, key)
		}
	}
	return keys
}

// TestExample loads the annotated example at the top of the repository.
func TestExample(t *testing.T) {
	t.Parallel()
	c, err := config.Load("../config.yaml")
	require.NoError(t, err)
	require.Empty(t, c.Warnings())
	for _, r := range c.Receivers {
		require.NotEmpty(t, r.Integrations, "the example shows nothing of receiver %s", r.Name)
	}
}
