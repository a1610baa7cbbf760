package wecom_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/internal/strictyaml"
	"github.com/alertrelay/relay/receivers/receiverstest"
	"github.com/alertrelay/relay/receivers/wecom"
)

func TestYAML(t *testing.T) {
	t.Parallel()
	doc, broken := strictyaml.Parse([]byte(`
name: pool
max_parts: 3
urls:
  - https://example.com/?key=one
  - url: https://example.com/?key=two
  - {url_file: three.url}
message_type: text
mention: {user_ids: [a01], all: true}
http_config: {proxy_url: http://proxy:3128}
`))
	require.Nil(t, broken)
	var c wecom.Config
	require.Empty(t, doc.Decode(&c, nil))
	require.Equal(t, "http://proxy:3128", c.HTTPConfig.ProxyURL.String())
	c.HTTPConfig = nil
	require.Equal(t, wecom.Config{
		Common: relay.Common{Name: "pool", MaxParts: 3},
		URLs: []wecom.PoolRobot{
			{Robot: wecom.Robot{URL: secret.New("https://example.com/?key=one")}},
			{Robot: wecom.Robot{URL: secret.New("https://example.com/?key=two")}},
			{Robot: wecom.Robot{URLFile: "three.url"}},
		},
		MessageType: "text",
		Mention:     wecom.Mention{UserIDs: []string{"a01"}, All: true},
	}, c)
}

func TestYAMLIsStrict(t *testing.T) {
	t.Parallel()
	doc, broken := strictyaml.Parse([]byte(`
key: t
urls: [{ulr: https://example.com}, "${RELAY_TEST_UNSET}", 7, [a]]
massage_type: text
`))
	require.Nil(t, broken)
	var paths []string
	for _, f := range doc.Decode(new(wecom.Config), nil) {
		paths = append(paths, f.Path)
	}
	require.Equal(t, []string{"urls[0]", "urls[1]", "urls[2]", "urls[3]", ""}, paths)
}

func TestValidateGlobals(t *testing.T) {
	t.Parallel()
	for link, want := range map[string]int{"": 0, "https://example.com/": 0, "example.com": 1, "ftp://example.com": 1, ":": 1} {
		f := fault.New()
		wecom.Globals{APIURL: link}.Validate(f.In("global"))
		require.Len(t, f.All(), want, link)
		if want > 0 {
			require.Equal(t, "global.wecom_api_url", f.All()[0].Path)
		}
	}
}

func TestPoolOfOneRobot(t *testing.T) {
	t.Parallel()
	link := wecom.PoolRobot{Robot: wecom.Robot{URL: secret.New("https://example.com/?key=one")}}
	c := wecom.Config{URLs: []wecom.PoolRobot{link, {Robot: wecom.Robot{URLFile: "missing.url"}}, link}}
	c.SetDefaults(wecom.Globals{})
	_, err := wecom.New(c, receiverstest.Env(t, receiverstest.Words{}))
	f := fault.New()
	f.Add(err)
	require.Len(t, f.All(), 2)
	require.Equal(t, "urls[1].url_file", f.All()[0].Path)
	require.Equal(t, fault.Fault{Path: "urls[2]", Message: "the same robot as urls[0]"}, f.All()[1])
}
