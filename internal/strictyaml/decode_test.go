package strictyaml_test

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/strictyaml"
)

// house has a field of each sort.
type house struct {
	Door `yaml:",inline"`

	Rooms    []room                       `yaml:"rooms"`
	Owners   map[string]*owner            `yaml:"owners"`
	HTTP     *promconfig.HTTPClientConfig `yaml:"http_config"`
	Wait     model.Duration               `yaml:"wait"`
	Address  netip.Addr                   `yaml:"address"`
	Names    oneOrMore                    `yaml:"names"`
	Anything any                          `yaml:"anything"`
	Text     string                       `yaml:"text"`
	Yes      *bool                        `yaml:"yes"`
	Small    int8                         `yaml:"small"`
	Positive uint                         `yaml:"positive"`
	Share    float64                      `yaml:"share"`
	Untagged string
	Hidden   string `yaml:"-"`

	unexported int
}

// Door is inline.
type Door struct {
	Lock string `yaml:"lock"`
}

type room struct {
	Floor int `yaml:"floor"`
}

type owner struct {
	Age int `yaml:"age"`
}

// oneOrMore is a text or a list of texts.
type oneOrMore []string

func (o *oneOrMore) UnmarshalYAML(unmarshal func(any) error) error {
	var one string
	if unmarshal(&one) == nil {
		*o = oneOrMore{one}
		return nil
	}
	return unmarshal((*[]string)(o))
}

func decode(t *testing.T, text string) (*house, []string) {
	t.Helper()
	doc, wrong := strictyaml.Parse([]byte(text))
	require.Nil(t, wrong)
	h := new(house)
	var faults []string
	for _, f := range doc.Decode(h, nil) {
		faults = append(faults, fmt.Sprintf("%d %s: %s", f.Line, f.Path, f.Message))
	}
	return h, faults
}

func TestDecode(t *testing.T) {
	t.Parallel()
	h, faults := decode(t, `
lock: brass
rooms: [{floor: 1}, {floor: -2}, ~]
owners: &owners
  ann: {age: 30}
  bob: ~
http_config:
  basic_auth: {username: u, password: p}
  http_headers: {X-A: {values: [1]}}
wait: 1w
address: 127.0.0.1
names: one
anything: {a: [1, "2", true, ~], b: *owners}
text: 0815
yes: true
small: -128
positive: 0x10
share: 2
untagged: |
  two
  lines
`)
	require.Empty(t, faults)
	require.Zero(t, h.unexported)
	yes := true
	require.Equal(t, "brass", h.Lock)
	require.Equal(t, []room{{1}, {-2}, {}}, h.Rooms)
	require.Equal(t, map[string]*owner{"ann": {30}, "bob": nil}, h.Owners)
	require.Equal(t, promconfig.Secret("p"), h.HTTP.BasicAuth.Password)
	require.Equal(t, []string{"1"}, h.HTTP.HTTPHeaders.Headers["X-A"].Values)
	require.True(t, h.HTTP.EnableHTTP2, "its own default")
	require.Equal(t, "1w", h.Wait.String())
	require.Equal(t, "127.0.0.1", h.Address.String())
	require.Equal(t, oneOrMore{"one"}, h.Names)
	require.Equal(t, map[string]any{
		"a": []any{uint64(1), "2", true, nil},
		"b": map[string]any{"ann": map[string]any{"age": uint64(30)}, "bob": nil},
	}, h.Anything)
	require.Equal(t, "0815", h.Text, "a number is text as it stands there")
	require.Equal(t, &yes, h.Yes)
	require.Equal(t, int8(-128), h.Small)
	require.Equal(t, uint(16), h.Positive)
	require.InDelta(t, 2, h.Share, 0)
	require.Equal(t, "two\nlines\n", h.Untagged)
}

func TestByteOrderMark(t *testing.T) {
	t.Parallel()
	h, faults := decode(t, "\uFEFFtext: a\r\nlock: b\r\n")
	require.Empty(t, faults)
	require.Equal(t, "a", h.Text)
	require.Equal(t, "b", h.Lock)
}

func TestMergeKeys(t *testing.T) {
	t.Parallel()
	h, faults := decode(t, `
anything: &one {lock: brass, text: merged}
<<: *one
text: own
owners: {ann: &ann {age: 30}, bob: {<<: [*ann, {age: 31}]}}
`)
	require.Empty(t, faults)
	require.Equal(t, "brass", h.Lock)
	require.Equal(t, "own", h.Text, "a mapping's own key goes before a merged one")
	require.Equal(t, 30, h.Owners["bob"].Age, "the first of several merged mappings goes before the next")
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"unknown keys everywhere", "lok: 1\nrooms:\n- flor: 1\n- {floor: 1, x: 2}\nowners:\n  ann:\n    aeg: 1", []string{
			`1 : unknown field "lok", did you mean "lock"?`,
			`3 rooms[0]: unknown field "flor", did you mean "floor"?`,
			`4 rooms[1]: unknown field "x"`,
			`7 owners.ann: unknown field "aeg", did you mean "age"?`,
		}},
		{"a key that is kept to itself", "hidden: 1\nunexported: 2", []string{
			`1 : unknown field "hidden"`,
			`2 : unknown field "unexported"`,
		}},
		{"a key that looks like a secret", "https://example.org/token: 1", []string{
			`1 : unknown field`,
		}},
		{"below a type that reads itself", "http_config:\n  basic_auth:\n    pasword: x\n  proxy_ur: y", []string{
			`3 http_config.basic_auth: unknown field "pasword", did you mean "password"?`,
			`4 http_config: unknown field "proxy_ur", did you mean "proxy_url"?`,
		}},
		{"what such a type says", "http_config: {bearer_token: a, bearer_token_file: b}\nwait: long", []string{
			`1 http_config: at most one of bearer_token & bearer_token_file must be configured`,
			`2 wait: not a valid duration string: "long"`,
		}},
		{"never the URL", "http_config: {proxy_url: 'http://u:s3cr3t@host:port/'}", []string{
			`1 http_config.proxy_url: not a valid URL`,
		}},
		{"neither of two forms", "names: {a: b}", []string{`1 names: expected a list, found keys and values`}},
		{"wrong types", "text: [a]\nyes: 1\nsmall: 128\npositive: -1\nshare: x\nrooms: {}\nowners: []\naddress: {}", []string{
			`1 text: expected text, found a list`,
			`2 yes: expected true or false, found a number`,
			`3 small: expected a whole number, found a number`,
			`4 positive: expected a whole number of 0 or more, found a number`,
			`5 share: expected a number, found text`,
			`6 rooms: expected a list, found keys and values`,
			`7 owners: expected keys and values, found a list`,
			`8 address: expected text, found keys and values`,
		}},
		{"given twice", "text: a\ntext: b", []string{`2 text: given twice`}},
		{"an alias without anchor", "text: *x", []string{`1 text: alias of an anchor that is not there`}},
		{"an alias in itself", "anything: &x [*x]", []string{`1 anything[0][0]: alias of something that contains it`}},
		{"not a mapping", "- text", []string{`0 : expected keys and values, found a list`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, faults := decode(t, c.text)
			require.Equal(t, c.want, faults)
		})
	}
}

func TestElsewhere(t *testing.T) {
	t.Parallel()
	doc, wrong := strictyaml.Parse([]byte("rooms: [{roof: 1, flor: 1}]"))
	require.Nil(t, wrong)
	faults := doc.Decode(new(house), func(path, key string) string {
		if path == "rooms[0].roof" && key == "roof" {
			return "the roof is upstairs"
		}
		return ""
	})
	require.Equal(t, []strictyaml.Fault{
		{Line: 1, Path: "rooms[0]", Message: "the roof is upstairs"},
		{Line: 1, Path: "rooms[0]", Message: `unknown field "flor", did you mean "floor"?`},
	}, faults)
}

func TestLine(t *testing.T) {
	t.Parallel()
	doc, wrong := strictyaml.Parse([]byte("# a house\nrooms:\n- floor: 1\n- floor: 2\n"))
	require.Nil(t, wrong)
	require.Empty(t, doc.Decode(new(house), nil))
	for path, line := range map[string]int{
		"rooms": 2, "rooms[1]": 4, "rooms[1].floor": 4, "rooms[1].door.lock": 4, "rooms[7]": 2, "text": 0, "": 0,
	} {
		require.Equal(t, line, doc.Line(path), path)
	}
}

func TestSyntax(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]strictyaml.Fault{
		"a: [1":         {Line: 1, Message: "not valid YAML: sequence end token ']' not found"},
		"a: 1\n b: 2":   {Line: 1, Message: "not valid YAML: mapping value is not allowed in this context"},
		"a: {{ .B }}":   {Line: 1, Message: "not valid YAML: could not find flow map content; a template must stand in quotes"},
		"a: 1\n---\nb:": {Line: 3, Message: "a second YAML document; one is expected"},
	} {
		_, wrong := strictyaml.Parse([]byte(text))
		require.NotNil(t, wrong, text)
		require.Equal(t, want, *wrong, text)
	}
	_, wrong := strictyaml.Parse([]byte(strings.Repeat("#", 5<<20)))
	require.Equal(t, "file is larger than 4194304 bytes", wrong.Message)
}

// TestBillionLaughs unfolds nine levels of ten aliases each: it ends soon, with one fault.
func TestBillionLaughs(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("anything:\n  l0: &l0 lol\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&b, "  l%d: &l%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*l%d,", i-1), 10), ","))
	}
	_, faults := decode(t, b.String())
	require.Len(t, faults, 1)
	require.Contains(t, faults[0], "too many aliases")
}

func TestWalk(t *testing.T) {
	t.Parallel()
	h := &house{
		Door: Door{"brass"}, Rooms: []room{{1}}, Owners: map[string]*owner{"ann": {30}, "bob": nil},
		Anything: map[string]any{"a": "b"},
	}
	var paths []string
	strictyaml.Walk(h, func(path string, v reflect.Value) bool {
		if v.Kind() == reflect.String || v.Kind() == reflect.Int {
			paths = append(paths, path)
		}
		return true
	})
	require.Equal(t, []string{"lock", "rooms[0].floor", "owners.ann.age", "anything.a", "text", "untagged"}, paths)
}

func FuzzDecode(f *testing.F) {
	f.Add("rooms: [{floor: 1}]")
	f.Add("? a\n: &b [*b, !!str 1, <<]\n")
	f.Add("owners: {<<: *x, ann: {<<: [{age: 1}]}}")
	f.Add("http_config: {tls_config: {min_version: TLS12}}\n---\n")
	f.Add("{a: 1, a: 2, [x]: 3}")
	f.Fuzz(func(t *testing.T, text string) {
		doc, wrong := strictyaml.Parse([]byte(text))
		if wrong != nil {
			return
		}
		h := new(house)
		for _, fault := range doc.Decode(h, nil) {
			if fault.Message == "" || fault.Line < 0 {
				t.Error(errors.New("a fault without words"))
			}
		}
		strictyaml.Walk(h, func(string, reflect.Value) bool { return true })
	})
}
