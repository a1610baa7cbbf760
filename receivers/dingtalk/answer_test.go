package dingtalk_test

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/receivers/dingtalk"
	"github.com/alertrelay/relay/receivers/receiverstest"
)

// FuzzClassify: whatever comes back, it is success only with errcode 0, and the error is a short line without the token.
func FuzzClassify(f *testing.F) {
	for _, body := range []string{
		`{"errcode":0,"errmsg":"ok"}`, `{"errcode":"0"}`, `{"errcode":310000,"errmsg":"invalid timestamp"}`, `{"errcode":1e3}`,
		`{"punish":"deny"}`, `{"errcode":null}`, `{"errcode":[0]}`, `[]`, `<html>`, ``, `{"errcode":93000,"errmsg":"` + token + `"}`,
	} {
		f.Add(200, []byte(body))
	}
	f.Add(503, []byte("busy"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		err := dingtalk.Classify(status, body, token)
		if err == nil {
			require.Equal(t, 2, status/100)
			var answer struct {
				Code any `json:"errcode"`
			}
			require.NoError(t, json.Unmarshal(body, &answer))
			require.Contains(t, []any{0.0, "0"}, answer.Code)
			return
		}
		var kind *relay.Error
		require.ErrorAs(t, err, &kind)
		require.Contains(t, relay.Kinds(), kind.Kind)
		require.NotContains(t, err.Error(), token)
		require.NotContains(t, err.Error(), "\n")
		require.Less(t, len(err.Error()), 1000)
		require.True(t, utf8.ValidString(err.Error()))
	})
}

// TestAnswersAreAsTheReferenceSays holds the table of the page, the code and what is tested of it together.
func TestAnswersAreAsTheReferenceSays(t *testing.T) {
	t.Parallel()
	codes := receiverstest.Codes(t, "dingtalk.md", "## Answers")
	require.Equal(t, relay.RateLimited, codes["130101"])
	for code, kind := range codes {
		err := dingtalk.Classify(200, []byte(`{"errcode":`+code+`,"errmsg":"no"}`), token)
		require.Equal(t, kind, relay.KindOf(err), code)
	}
	var bodies strings.Builder
	for _, a := range seen() {
		bodies.WriteString(a.body)
	}
	tested := bodies.String()
	for code := range codes {
		n, err := strconv.Atoi(code)
		require.NoError(t, err)
		if n < 90003 || n > 90017 { // limits of the platform, of which the first and the last will do
			require.Contains(t, tested, `"errcode":`+code, "no test provokes it")
		}
	}
	for _, code := range regexp.MustCompile(`"errcode":(-?\d+)`).FindAllStringSubmatch(tested, -1) {
		if code[1] != "987654" {
			require.Contains(t, codes, code[1], "the page does not tell of it")
		}
	}
}
