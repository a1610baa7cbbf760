package slack_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/httpclient"
	"github.com/alertrelay/relay/receivers/slack"
)

// TestAnswersAreAsTheReferenceSays holds the table of the page and the code together: what the page says of an error word
// is what the relay does.
func TestAnswersAreAsTheReferenceSays(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/reference/receivers/slack.md")
	require.NoError(t, err)
	_, section, _ := strings.Cut(string(text), "\n## Answers\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := regexp.MustCompile(`(?m)^\| (.*?[a-z_]{6}.*?) \| (.*?) \|$`).FindAllStringSubmatch(section, -1)
	told := 0
	for _, row := range rows {
		var kind relay.Kind
		for says, means := range map[string]relay.Kind{
			"Waits": relay.RateLimited, "Tries again": relay.Transient, "Keeps the queue": relay.Misconfigured,
			"The same, for the channel": relay.Misconfigured, "Sends the plain text": relay.Refused,
		} {
			if strings.HasPrefix(row[2], says) {
				kind = means
			}
		}
		for _, word := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row[1], -1) {
			_, _, err := slack.JudgeCall(&httpclient.Response{Status: 200, Body: []byte(`{"ok":false,"error":"` + word[1] + `"}`)})
			if kind == "" { // begins a new message, which is no error of a kind
				require.Contains(t, row[2], "Begins a new message", word[1])
				continue
			}
			require.Equal(t, kind, relay.KindOf(err), word[1])
			told++
		}
	}
	require.Greater(t, told, 40)
}
