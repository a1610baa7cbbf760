package templates_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/templates"
)

// write puts a template file into a new folder and returns its path.
func write(tb testing.TB, name, content string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	require.NoError(tb, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestTeamsTemplatesReplaceOurs(t *testing.T) {
	t.Parallel()
	path := write(t, "team.tmpl", `{{ define "relay.title" }}PAY {{ .Name }}{{ end }}
{{ define "relay.word.en.room" }}Hall{{ end }}
{{ define "slack.default.title" }}theirs{{ end }}`)
	set := newSet(t, path)
	v := viewOf(withSnapshot(payload(t, "single-firing")))
	require.Empty(t, set.Warnings())
	require.Equal(t, "PAY HighCPUUsage", render(t, set, "en", `{{ template "relay.dingtalk.title" . }}`, v))
	require.Contains(t, render(t, set, "en", `{{ template "relay.dingtalk.text" . }}`, v), "Hall: 10086")
	require.Contains(t, render(t, set, "zh-CN", `{{ template "relay.dingtalk.text" . }}`, v), "房间：10086")
	require.Equal(t, "theirs", render(t, set, "en", `{{ template "slack.default.title" . }}`, v))
	require.Contains(t, renderHTML(t, set, "en", `{{ template "relay.email.html" . }}`, v), "<h1>PAY ")
	require.Contains(t, set.Plain("en", v), "Room: 10086", "the fallback does not depend on a team's words")
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	set, err := templates.New(templates.Config{Globs: []string{
		"/nowhere/*.tmpl", write(t, "team.tmpl", "{{ define \"unused\" }}\n  {{ template \"nosuch\" . }}{{ if word \"typo\" }}{{ end }}{{ end }}"),
	}})
	require.NoError(t, err)
	require.Len(t, set.Warnings(), 3)
	require.ErrorContains(t, set.Warnings()[2], `no word "typo" in zh-CN`)
	require.EqualError(t, set.Warnings()[0], "/nowhere/*.tmpl: matches no file")
	require.ErrorContains(t, set.Warnings()[1], `team.tmpl: template: team.tmpl:2:14: template "nosuch" is not defined`)
}

func TestFaultsNameTheirPlace(t *testing.T) {
	t.Parallel()
	set := newSet(t)
	for name, c := range map[string]struct{ src, want string }{
		"unknown function":   {"one\n two {{ .Status | nosuch }}", `template: template:2:18: function "nosuch" not defined`},
		"unclosed action":    {"one\n two {{ .Status", `template: template:2:8: unclosed action`},
		"missing end":        {"{{ if .Status }}\nx", `template: template:2: unexpected EOF`},
		"missing template":   {"one\n two {{ template \"nosuch\" . }}", `template: template:2:17: template "nosuch" is not defined`},
		"bad token":          {"{{ range .Alerts }}{{ .Labels ! }}{{ end }}", `template: template:1:30: unexpected "!" in operand`},
		"missing word":       {"one\n {{ with (word \"typo\") }}{{ end }}", `template: template:2:15: no word "typo" in en`},
		"undefined variable": {"{{ $x }}", `template: template:1:6: undefined variable "$x"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := set.Text("en", c.src)
			require.EqualError(t, err, c.want)
			_, err = set.HTML("en", c.src)
			require.EqualError(t, err, c.want)
		})
	}

	t.Run("in a file", func(t *testing.T) {
		t.Parallel()
		one, two := write(t, "one.tmpl", "{{ define \"a\" }}\n{{ nosuch }}{{ end }}"), write(t, "two.tmpl", "{{ end }}")
		_, err := templates.New(templates.Config{Globs: []string{one, two}})
		require.ErrorContains(t, err, one+`: template: one.tmpl:2:3: function "nosuch" not defined`)
		require.ErrorContains(t, err, two+`: template: two.tmpl:1:7: unexpected {{end}}`)
	})

	t.Run("HTML that no escaping can save", func(t *testing.T) {
		t.Parallel()
		_, err := set.HTML("en", `<a href="{{ if .Status }}"{{ end }}>`)
		require.ErrorContains(t, err, "template:1:15: {{if}} branches end in different contexts")
	})

	t.Run("when it is executed", func(t *testing.T) {
		t.Parallel()
		compiled, err := set.Text("en", "one\n{{ .Nosuch }}")
		require.NoError(t, err)
		_, err = compiled.Execute(viewOf(payload(t, "single-firing")))
		require.ErrorContains(t, err, "template: template:2:3: executing \"template\" at <.Nosuch>: can't evaluate field Nosuch")
	})

	for name, c := range map[string]templates.Config{
		`unknown locale "fr": want one of zh-CN, en`: {Locale: "fr"},
		"timezone: unknown time zone Nowhere/Here":   {Timezone: "Nowhere/Here"},
	} {
		_, err := templates.New(c)
		require.EqualError(t, err, name)
	}
	_, err := set.Text("fr", "")
	require.EqualError(t, err, `unknown locale "fr": want one of zh-CN, en`)
}

// A source is compiled once, and what it defines stays its own.
func TestCompiledOnce(t *testing.T) {
	t.Parallel()
	set := newSet(t)
	one, err := set.Text("", `{{ define "mine" }}1{{ end }}{{ template "mine" }}`)
	require.NoError(t, err)
	again, err := set.Text("zh-CN", `{{ define "mine" }}1{{ end }}{{ template "mine" }}`)
	require.NoError(t, err)
	require.Same(t, one, again)
	require.Equal(t, "2", render(t, set, "", `{{ define "mine" }}2{{ end }}{{ template "mine" }}`, viewOf(payload(t, "mixed-2"))))
	_, err = set.Text("", `{{ template "mine" }}`)
	require.ErrorContains(t, err, `"mine" is not defined`)
	for _, src := range []string{"", "#ops", "plain {{/* comment */}} text"} {
		require.Equal(t, strings.Replace(src, "{{/* comment */}}", "", 1), render(t, set, "", src, relay.View{}))
		require.Equal(t, strings.Replace(src, "{{/* comment */}}", "", 1), renderHTML(t, set, "", src, relay.View{}))
	}
}

// What belongs to one execution never shows up in another.
func TestConcurrentExecutions(t *testing.T) {
	t.Parallel()
	set := newSet(t)
	src := `{{ define "deep" }}{{ routeLabels "n" }} {{ since $.StartsAt }}{{ end }}{{ range .Alerts }}{{ template "deep" . }}{{ end }}`
	text, err := set.Text("", src)
	require.NoError(t, err)
	html, err := set.HTML("", src)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for _, name := range []string{"one", "two", "three", "four", "five", "six", "seven", "eight"} {
		wg.Go(func() {
			n := payload(t, "single-firing")
			n.RouteLabels = template.KV{"n": name}
			for range 100 {
				for _, compiled := range []relay.Template{text, html} {
					got, err := compiled.Execute(viewOf(n))
					if err != nil || got != name+" 14m0s" {
						t.Errorf("%s: got %q, %v", name, got, err)
					}
				}
			}
		})
	}
	wg.Wait()
}

// The environment, files and the network are out of reach.
func TestNoWayOut(t *testing.T) {
	t.Parallel()
	set := newSet(t)
	for _, function := range []string{
		"env", "expandenv", "getHostByName", "readFile", "readDir", "glob", "file", "exec", "http", "query", "tpl", "lookup",
	} {
		_, err := set.Text("", `{{ `+function+` "x" }}`)
		require.ErrorContains(t, err, `function "`+function+`" not defined`)
	}
}
