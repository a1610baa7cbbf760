package templates_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/templates"
)

// Each of these would run for very long, or for good.
func TestExecutionsAreBounded(t *testing.T) {
	t.Parallel()
	hasty, err := templates.New(templates.Config{Timeout: 20 * time.Millisecond})
	require.NoError(t, err)
	narrow, err := templates.New(templates.Config{Timeout: time.Minute, MaxText: 10_000, MaxHTML: 20_000})
	require.NoError(t, err)
	v := viewOf(payload(t, "mixed-2"))
	for name, c := range map[string]struct {
		set       *templates.Set
		src, want string
	}{
		"a loop without output":   {hasty, `{{ range 2000000000 }}{{ end }}`, "template: template: rendering takes longer than 20ms"},
		"loops inside each other": {hasty, `{{ range 100000 }}{{ range 100000 }}{{ end }}{{ end }}`, "rendering takes longer than 20ms"},
		"a loop with output":      {narrow, `{{ range 2000000000 }}0123456789{{ end }}`, "the result is longer than"},
		"endless recursion":       {narrow, `{{ define "a" }}{{ template "b" . }}{{ end }}{{ define "b" }}{{ template "a" . }}{{ end }}{{ template "a" . }}`, "templates call each other more than 500 deep"},
		"recursion that fans out": {hasty, `{{ define "a" }}{{ if . }}{{ $x := slice . 1 }}{{ template "a" $x }}{{ template "a" $x }}{{ end }}{{ end }}{{ template "a" (printf "%60d" 1) }}`, "rendering takes longer than 20ms"},
		"a string that doubles":   {narrow, `{{ $x := "0123456789" }}{{ range 40 }}{{ $x = print $x $x }}{{ end }}`, "a value holds more than"},
		"a list that doubles":     {narrow, `{{ $x := list 1 }}{{ range 40 }}{{ $x = list $x $x }}{{ end }}{{ $x }}`, "a value holds more than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, compile := range []func(locale, src string) (relay.Template, error){c.set.Text, c.set.HTML} {
				compiled, err := compile("", c.src)
				require.NoError(t, err)
				_, err = compiled.Execute(v)
				require.ErrorContains(t, err, c.want)
				_, err = compiled.Execute(v)
				require.ErrorContains(t, err, c.want, "an execution leaves nothing behind")
			}
		})
	}
}

func TestSourcesAreBounded(t *testing.T) {
	t.Parallel()
	_, err := newSet(t).Text("", strings.Repeat("x", 2<<20))
	require.EqualError(t, err, "template of 2097152 bytes is longer than 1048576")
	_, err = templates.New(templates.Config{Globs: []string{write(t, "big.tmpl", strings.Repeat("x", 2<<20))}})
	require.ErrorContains(t, err, "big.tmpl: 2097152 bytes are more than 1048576")
}
