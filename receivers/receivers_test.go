package receivers_test

import (
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/receivers"
)

// TestCatalogueIsComplete names what an integration in the catalogue lacks: its templates, its reference
// page, a key on it.
func TestCatalogueIsComplete(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"dingtalk", "email", "slack", "wechat", "wecom"}, receivers.Types())
	for _, name := range receivers.Types() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name != "wechat" { // it has its words from wecom
				require.FileExists(t, "../templates/"+name+".tmpl")
			}
			page, err := os.ReadFile("../docs/reference/receivers/" + name + ".md")
			require.NoError(t, err)
			item := reflect.TypeOf(new(receivers.Configs).NewValue(name + "_configs")).Elem().Elem()
			for _, key := range keysOf(item) {
				told := strings.Contains(string(page), "`"+key+"`") || strings.Contains(string(page), "`"+key+".")
				require.True(t, told, "the page does not tell of %s", key)
			}
			for _, key := range nestedOf(item) {
				require.Regexp(t, "[`{ .]"+key+"[`}:, ]", string(page), "the page does not tell of a key within a key")
			}
			for _, key := range globalsOf(path.Base(item.PkgPath())) {
				require.Contains(t, string(page), key, "the page does not tell of it")
			}
		})
	}
	require.Nil(t, new(receivers.Configs).NewValue("slack"), "a key ends in _configs")
	require.Nil(t, new(receivers.Configs).NewValue("pager_configs"))
}

// nestedOf are the keys within the keys of an integration, where they are the integration's own: not those of TLS or HTTP.
func nestedOf(item reflect.Type) []string {
	var keys []string
	for field := range item.Fields() {
		inner := field.Type
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		isOurs := strings.HasPrefix(inner.PkgPath(), reflect.TypeFor[relay.Common]().PkgPath()+"/")
		if field.IsExported() && inner.Kind() == reflect.Struct && isOurs && inner.NumField() > 0 {
			if !strings.Contains(field.Tag.Get("yaml"), "inline") {
				keys = append(keys, keysOf(inner)...)
			}
			keys = append(keys, nestedOf(inner)...)
		}
	}
	return slices.DeleteFunc(keys, func(key string) bool { return key == "" })
}

// globalsOf are the keys of global: that belong to the integration of a package.
func globalsOf(pkg string) []string {
	for field := range reflect.TypeFor[receivers.Globals]().Fields() {
		if path.Base(field.Type.PkgPath()) == pkg {
			return keysOf(field.Type)
		}
	}
	return nil
}

// keysOf are the keys of an integration that it does not share with all others.
func keysOf(item reflect.Type) []string {
	var keys []string
	for field := range item.Fields() {
		key, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case !field.IsExported() || field.Type == reflect.TypeFor[relay.Common]():
		case strings.Contains(options, "inline"):
			keys = append(keys, keysOf(field.Type)...)
		default:
			keys = append(keys, key)
		}
	}
	return keys
}

// TestPicturesAreShown: each picture is on a page, and each page's pictures exist. What is pictured of a channel is on its
// reference page.
func TestPicturesAreShown(t *testing.T) {
	t.Parallel()
	shown := map[string]string{} // by picture, the pages
	image := regexp.MustCompile(`\((?:\.\./)*(?:docs/)?images/([^)]+)\)`)
	for _, pattern := range []string{"../README*.md", "../docs/*/*.md", "../docs/*/*/*.md"} {
		pages, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, page := range pages {
			text, err := os.ReadFile(page)
			require.NoError(t, err)
			for _, name := range image.FindAllStringSubmatch(string(text), -1) {
				require.FileExists(t, "../docs/images/"+name[1], page)
				shown[name[1]] += page + " "
			}
		}
	}
	pictures, err := filepath.Glob("../docs/images/*.png")
	require.NoError(t, err)
	require.NotEmpty(t, pictures)
	for _, picture := range pictures {
		name := filepath.Base(picture)
		require.NotEmpty(t, shown[name], "no page shows %s", name)
		channel, _, _ := strings.Cut(name, "-")
		if slices.Contains(receivers.Types(), channel) && !strings.Contains(name, ".zh-CN.") {
			require.Contains(t, shown[name], "/reference/receivers/"+channel+".md", name)
		}
	}
}
