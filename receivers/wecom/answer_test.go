package wecom_test

import (
	"encoding/json"
	"strconv"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/receivers/receiverstest"
	"github.com/alertrelay/relay/receivers/wecom"
)

// FuzzClassify: whatever comes back, it is success only with errcode 0, and the error is a short line without the key.
func FuzzClassify(f *testing.F) {
	for _, body := range []string{
		`{"errcode":0,"errmsg":"ok"}`, `{"errcode":"0"}`, `{"errcode":310000,"errmsg":"invalid timestamp"}`, `{"errcode":1e3}`,
		`{"punish":"deny"}`, `{"errcode":null}`, `{"errcode":[0]}`, `[]`, `<html>`, ``, `{"errcode":93000,"errmsg":"` + key + `"}`,
	} {
		f.Add(200, []byte(body))
	}
	f.Add(503, []byte("busy"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		err := wecom.Classify(status, body, key)
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
		require.NotContains(t, err.Error(), key)
		require.NotContains(t, err.Error(), "\n")
		require.Less(t, len(err.Error()), 1000)
		require.True(t, utf8.ValidString(err.Error()))
	})
}

// TestAnswersAreAsTheReferenceSays holds the tables of the page and the code together.
func TestAnswersAreAsTheReferenceSays(t *testing.T) {
	t.Parallel()
	codes := receiverstest.Codes(t, "wecom.md", "## Answers")
	for code, kind := range codes {
		err := wecom.Classify(200, []byte(`{"errcode":`+code+`,"errmsg":"no"}`), key)
		require.Equal(t, kind, relay.KindOf(err), code)
	}
	for _, a := range seen() {
		if a.code != 987654 {
			require.Equal(t, codes[strconv.Itoa(a.code)], a.kind, "what the page says of %d", a.code)
			delete(codes, strconv.Itoa(a.code))
		}
	}
	require.Empty(t, codes, "no test provokes them")
}
