package receivers

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/internal/strictyaml"
)

// pager is an integration as small as one can be.
type pager struct {
	relay.Common `yaml:",inline"`

	Number string `yaml:"number"`
	Prefix string `yaml:"prefix,omitempty"`

	Wake []string `yaml:"wake,omitempty"`
}

type pagerGlobals struct{ Prefix string }

func (p *pager) SetDefaults(g pagerGlobals) {
	if p.Prefix == "" {
		p.Prefix = g.Prefix
	}
}

func (p *pager) Mentioned() relay.Mention { return relay.Mention{People: p.Wake} }

func (p *pager) Validate(f *fault.List) {
	if p.Number == "" {
		f.Addf("number is required")
	}
}

func newPager(p pager, _ relay.Env) (relay.Setup, error) {
	if p.Number == "13" {
		return relay.Setup{}, fault.At("number", errors.New("brings bad luck"))
	}
	s := p.Setup(relay.Limit{})
	if s.Name == "" {
		s.Name = p.Prefix + p.Number
	}
	return s, nil
}

// read decodes the items of a pager_configs: list.
func read(t *testing.T, k kind, text string) any {
	t.Helper()
	doc, wrong := strictyaml.Parse([]byte(text))
	require.Nil(t, wrong)
	list := k.list()
	require.Empty(t, doc.Decode(list, nil))
	return list
}

func TestKind(t *testing.T) {
	t.Parallel()
	k := integration(newPager, func(*Globals) pagerGlobals { return pagerGlobals{"+49"} })
	list := read(t, k, `
- {number: 110, locale: en}
- {number: 112, prefix: "+1", timeout: 3s}
- {locale: de, backlog: some, max_parts: -1, rate_limit: {messages: -1}}
- {number: 13}
- {number: 114, wake: [alice, bob]}
`)
	k.setDefaults(list, &Receiver{Locale: relay.LocaleChinese, Timezone: "Asia/Shanghai"}, new(Globals))
	items := *list.(*[]pager)
	require.Equal(t, relay.LocaleEnglish, items[0].Locale, "its own locale stays")
	require.Equal(t, relay.LocaleChinese, items[1].Locale, "the receiver's locale")
	require.Equal(t, "Asia/Shanghai", items[1].Timezone, "the receiver's zone")
	require.Equal(t, "+49", items[0].Prefix, "the global prefix")
	require.Equal(t, "+1", items[1].Prefix, "its own prefix stays")

	faults := fault.New()
	k.validate(list, faults.In("pager_configs"))
	require.Equal(t, []fault.Fault{
		{Path: "pager_configs[2].max_parts", Message: "must be 1 or more"},
		{Path: "pager_configs[2].rate_limit.messages", Message: "must be 0 (no limit) or more"},
		{Path: "pager_configs[2].backlog", Message: "must be merge or each"},
		{Path: "pager_configs[2].locale", Message: "must be zh-CN or en"},
		{Path: "pager_configs[2]", Message: "number is required"},
	}, faults.All())

	faults = fault.New()
	var names []string
	alice := relay.Person{Name: "alice", Mobile: "138"}
	env := relay.Env{People: relay.People{{Person: alice}}}
	k.build(list, env, faults.In("pager_configs"), func(s relay.Setup, _ *fault.List) {
		names = append(names, s.Name)
	})
	require.Equal(t, []string{"+49110", "+1112", "+49"}, names)
	require.Equal(t, []fault.Fault{
		{Path: "pager_configs[3].number", Message: "brings bad luck"},
		{Path: "pager_configs[4].mention.people", Message: `people: has no "bob"`},
	}, faults.All())
}

// TestTwins sets each secret of each integration both as a value and as a file: that must be a fault.
func TestTwins(t *testing.T) {
	t.Parallel()
	for name, k := range catalogue() {
		list := k.list()
		item := reflect.New(reflect.TypeOf(list).Elem().Elem()).Elem()
		for _, twin := range twinsIn(item) {
			t.Run(name+" "+twin.key, func(t *testing.T) {
				t.Parallel()
				list := k.list()
				items := reflect.ValueOf(list).Elem()
				items.Set(reflect.Append(items, reflect.New(items.Type().Elem()).Elem()))
				twin.set(items.Index(0))
				faults := fault.New()
				k.validate(list, faults)
				require.Contains(t, fmt.Sprint(faults.All()), "at most one of")
			})
		}
	}
}

// A twin is a secret that has a _file beside it.
type twin struct {
	key string
	set func(item reflect.Value)
}

// twinsIn finds the twins of a struct and of the structs embedded in it.
func twinsIn(item reflect.Value) []twin {
	var twins []twin
	for _, field := range reflect.VisibleFields(item.Type()) {
		file, ok := item.Type().FieldByName(field.Name + "File")
		if field.Type != reflect.TypeFor[secret.String]() || !ok {
			continue
		}
		twins = append(twins, twin{field.Name, func(item reflect.Value) {
			item.FieldByIndex(field.Index).Set(reflect.ValueOf(secret.New("https://example.org/?access_token=x&key=x")))
			item.FieldByIndex(file.Index).SetString("x.secret")
		}})
	}
	return twins
}
