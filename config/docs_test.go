package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/receivers"
)

// TestExamplesOfThePages loads every example of a configuration that the pages show, in each language, as a reader would
// who pastes it into a file: what it shows a part of is put around it.
func TestExamplesOfThePages(t *testing.T) {
	t.Parallel()
	loaded := map[string]int{}
	for _, pattern := range []string{"../README*.md", "../docs/tutorial/*.md", "../docs/how-to/*.md", "../docs/reference/receivers/*.md"} {
		pages, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, page := range pages {
			text, err := os.ReadFile(page)
			require.NoError(t, err)
			blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1)
			for _, block := range blocks {
				whole := around(dedent(block[1]), page)
				if whole == "" {
					continue // of another program
				}
				loaded[filepath.Base(page)]++
				c, err := config.Parse(filepath.Join(filesOf(t, whole), "config.yaml"), []byte(whole))
				require.NoError(t, err, "%s shows\n%s", page, whole)
				require.Empty(t, c.Warnings(), "%s shows\n%s", page, whole)
			}
		}
	}
	for _, integration := range receivers.Types() {
		require.Positive(t, loaded[integration+".md"], "the page of %s has no example", integration)
	}
	for page, n := range loaded {
		if other, ok := strings.CutSuffix(page, ".zh-CN.md"); ok {
			require.Equal(t, loaded[other+".md"], n, "examples of %s in the two languages", other)
		}
	}
}

// dedent takes away what all lines are indented by.
func dedent(text string) string {
	first := len(text) - len(strings.TrimLeft(text, " "))
	return strings.ReplaceAll("\n"+text, "\n"+strings.Repeat(" ", first), "\n")[1:]
}

// around puts around an example what it leaves out; empty for what is not a relay's configuration.
func around(text, page string) string {
	within := func(head string) string { // at the end of head, as deep as that is
		depth := strings.Repeat(" ", len(head)-strings.LastIndex(head, "\n")-1)
		return head + strings.ReplaceAll(text, "\n", "\n"+depth)
	}
	const receiver = "receivers:\n  - name: ops\n    "
	channel, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(page), "send-to-"), ".")
	key := regexp.MustCompile(`(?m)^(- )?([a-z_]+):`).FindStringSubmatch(text)
	switch {
	case key == nil || key[2] == "alert" || key[2] == "display_information" || strings.Contains(text, "alertmanager.yml"):
		return ""
	case strings.HasSuffix(key[2], "_configs"):
		text = within(receiver)
	case key[1] != "": // an item
		text = within(receiver + channel + "_configs:\n      ")
	case key[2] == "mention":
		text = within(receiver + "dingtalk_configs:\n      - url_file: x.url\n        ")
	case key[2] == "channel":
		text = within(receiver + "slack_configs:\n      - app_token_file: x.token\n        ")
	}
	return text + rest(text)
}

// rest is what a file must have and an example leaves to others: a route, receivers, people, a mail server, templates.
func rest(text string) string {
	var more strings.Builder
	names := []string{}
	for _, name := range regexp.MustCompile(`\bname: ([a-z-]+)`).FindAllStringSubmatch(text, -1) {
		names = append(names, name[1])
	}
	if !regexp.MustCompile(`(?m)^route:`).MatchString(text) {
		more.WriteString("\nroute: {receiver: " + append(names, "ops")[0] + "}\n")
	}
	if !regexp.MustCompile(`(?m)^receivers:`).MatchString(text) {
		more.WriteString("\nreceivers:\n")
		used := regexp.MustCompile(`\b(?:receiver|fallback): ([a-z-]+)`).FindAllStringSubmatch(text+more.String(), -1)
		for _, use := range used {
			if !slices.Contains(names, use[1]) {
				names = append(names, use[1])
				more.WriteString("  - name: " + use[1] + "\n")
			}
		}
	}
	if strings.Contains(text, "people: [alice") && !strings.Contains(text, "\npeople:") {
		more.WriteString("\npeople: {alice: {mobile: '13800000000', match: ['team=\"pay\"']}}\n")
	}
	if strings.Contains(text, "email_configs") && !strings.Contains(text, "smtp_") {
		more.WriteString("\nglobal: {smtp_smarthost: 'smtp.example.com:587', smtp_from: relay@example.com}\n")
	}
	if strings.Contains(text, `"pay.text"`) {
		more.WriteString("\ntemplates: [templates/*.tmpl]\n")
	}
	return more.String()
}

// filesOf makes the files that an example names, and returns the folder that they are in.
func filesOf(t *testing.T, text string) string {
	t.Helper()
	folder := t.TempDir()
	for _, file := range regexp.MustCompile(`\b([a-z_]*)_file: ([^\s,}]+)`).FindAllStringSubmatch(text, -1) {
		content := "secret-" + file[2]
		if strings.HasSuffix(file[1], "url") {
			content = "https://example.com/services/T/B/X?access_token=" + file[2] + "&key=" + file[2]
		}
		name := filepath.Join(folder, file[2])
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o750))
		require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(folder, "templates"), 0o750))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "templates", "x.tmpl"), []byte(`{{ define "pay.text" }}x{{ end }}`), 0o600))
	return folder
}
