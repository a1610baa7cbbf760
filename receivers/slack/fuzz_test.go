package slack_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/httpclient"
	"github.com/alertrelay/relay/receivers/slack"
)

// FuzzAnswers reads anything as an answer: only ok is success, and no error shows a page.
func FuzzAnswers(f *testing.F) {
	for _, body := range []string{
		"ok", "no_service", "<html>", `{"ok":true,"channel":"C1","ts":"1.1"}`, `{"ok":false,"error":"ratelimited"}`, `{"ok":true,"ts":7`,
	} {
		f.Add(http.StatusOK, body)
	}
	f.Add(http.StatusTooManyRequests, `{"retry_after":1e300,"ok":false}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		answer := &httpclient.Response{Status: status, Header: http.Header{}, Body: []byte(body)}
		err := slack.Judge(answer)
		require.Equal(t, status == http.StatusOK && body == "ok", err == nil)
		_, _, err = slack.JudgeCall(answer)
		if err == nil {
			require.Equal(t, http.StatusOK, status)
			require.Contains(t, body, "true")
			return
		}
		require.Less(t, len(err.Error()), 300)
	})
}

// FuzzTrailingCommas gives it JSON as it should be, which must stay as it is, and anything else, which must keep its length
// and lose nothing but commas.
func FuzzTrailingCommas(f *testing.F) {
	for _, text := range []string{`[1,2,]`, `{"a":"],","b":[{},],}`, `["\",]",]`, `[,]`, `"`, `\`, `[1,,]`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := slack.WithoutTrailingCommas(text)
		if json.Valid([]byte(text)) {
			require.Equal(t, text, got)
		}
		require.Len(t, got, len(text))
		for i := range len(text) {
			require.True(t, got[i] == text[i] || text[i] == ',' && got[i] == ' ')
		}
	})
}

// FuzzCut leaves no half of an entity, of a link or of a character.
func FuzzCut(f *testing.F) {
	f.Add("a &lt; <https://example.com|告警>", 10)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		if !utf8.ValidString(text) || limit < 1 || limit > 1000 {
			t.Skip()
		}
		got := slack.Cut(text, limit)
		require.LessOrEqual(t, utf8.RuneCountInString(got), limit)
		require.True(t, utf8.ValidString(got))
		if got != text {
			require.True(t, strings.HasPrefix(text, strings.TrimSuffix(got, "…")))
		}
	})
}
