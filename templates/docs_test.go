package templates_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/templates"
)

// The reference names every field, function and block.
func TestReferenceIsComplete(t *testing.T) {
	t.Parallel()
	page := read(t, "../docs/reference/templates.md")
	set := newSet(t)
	for _, name := range set.FunctionNames() {
		require.Regexp(t, "`"+name+"[` ]", page, "function")
	}
	for _, name := range set.BlockNames() {
		channel, piece := name[:strings.LastIndex(name, ".")], name[strings.LastIndex(name, ".")+1:]
		if channel == "relay.wecom" && (piece == "context" || piece == "alert" || piece == "rest") {
			continue // "pieces of the same names"
		}
		require.Contains(t, page, "`"+name+"`", "block")
	}
	for _, of := range []any{&templates.Data{}, &templates.Alert{}, &templates.Item{}} {
		pointer := reflect.TypeOf(of)
		for field := range pointer.Elem().Fields() {
			if field.IsExported() {
				require.Contains(t, page, "`."+field.Name, "field of %s", pointer)
			}
		}
		for method := range pointer.Methods() {
			require.Contains(t, page, "`."+method.Name, "method of %s", pointer)
		}
	}
}

// What the guide shows can be pasted into one file and works.
func TestGuideWorks(t *testing.T) {
	t.Parallel()
	guide := read(t, "../docs/how-to/write-a-template.md")
	var all strings.Builder
	for _, example := range regexp.MustCompile("(?s)```gotemplate\n(.*?)```").FindAllStringSubmatch(guide, -1) {
		all.WriteString(example[1])
	}
	set := newSet(t, write(t, "guide.tmpl", all.String()))
	require.Empty(t, set.Warnings())
	v := viewOf(withSnapshot(payload(t, "single-firing")))
	require.Contains(t, render(t, set, "zh-CN", `{{ template "relay.dingtalk.text" . }}`, v), "直播间：10086")
	require.Contains(t, render(t, set, "zh-CN", `{{ template "relay.dingtalk.text" . }}`, v), "[静默](http://alertmanager")
	require.Equal(t, "🟡 platform: HighCPUUsage", render(t, set, "en", `{{ template "relay.title" . }}`, v))
	require.Contains(t, render(t, set, "en", `{{ template "pay.text" . }}`, v), "14 minutes <http://jaeger:16686/trace/")
	v.Delivery.Tellings[0].LastTold, v.Delivery.Tellings[0].LastFiring = v.Delivery.Now.Add(-5*time.Minute), 3
	require.Contains(t, render(t, set, "en", `{{ template "pay.text" . }}`, v), " fire, 3 did at ")
	require.Equal(t, "[FIRING:1] HighCPUUsage", render(t, set, "en", `{{ template "slack.title" . }}`, v))
	require.Contains(t, render(t, set, "en", `{{ template "slack.text" . }}`, v), "/#/alerts?receiver=single-firing\n")
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(content)
}
