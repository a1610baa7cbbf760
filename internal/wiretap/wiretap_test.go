package wiretap_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/wiretap"
)

func TestWhatIsShownHasNoSecret(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		call wiretap.Call
		want wiretap.Call
	}{
		"DingTalk's robot": {
			wiretap.Call{URL: "https://oapi.dingtalk.com/robot/send?access_token=s3cr3t&sign=a%2Fb&timestamp=1"},
			wiretap.Call{URL: "https://oapi.dingtalk.com/robot/send?access_token=<secret>&sign=<secret>&timestamp=<secret>"},
		},
		"Slack's hook": {
			wiretap.Call{URL: "https://hooks.slack.com/services/T1/B1/s3cr3t"},
			wiretap.Call{URL: "https://hooks.slack.com/services/<secret>"},
		},
		"a user in the URL": {
			wiretap.Call{URL: "https://user:s3cr3t@example.org/secretword/api/x#s3cr3t"},
			wiretap.Call{URL: "https://example.org/<secret>/api/<secret>"},
		},
		"no URL": {wiretap.Call{URL: "%zz s3cr3t"}, wiretap.Call{URL: "<secret>"}},
		"headers": {
			wiretap.Call{URL: "smtp://localhost:25", Header: http.Header{
				"Authorization": {"Bearer s3cr3t"}, "X-Acs-Dingtalk-Access-Token": {"s3cr3t"}, "Content-Type": {"text/plain"},
			}},
			wiretap.Call{URL: "smtp://localhost:25", Header: http.Header{
				"Authorization": {"<secret>"}, "X-Acs-Dingtalk-Access-Token": {"<secret>"}, "Content-Type": {"text/plain"},
			}},
		},
		"fields": {
			wiretap.Call{Body: []byte(`{ "appSecret":"s3\"cr3t", "text":"my token: \"token\":\"kept\"", "n":1, "a":{"access_token" : "s3cr3t"}}`)},
			wiretap.Call{
				URL:  "<secret>",
				Body: []byte(`{ "appSecret":"<secret>", "text":"my token: \"token\":\"kept\"", "n":1, "a":{"access_token" : "<secret>"}}`),
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tap := wiretap.New(true)
			noted, err := wiretap.Begin(tap.Listen(t.Context()), tt.call)
			require.NoError(t, err)
			noted.Answered(wiretap.Answer{
				Status: 200, Header: http.Header{"Set-Cookie": {"s3cr3t"}}, Body: []byte(`{"errmsg":"no token s3cr3t"}`),
			})
			got := tap.Calls()[0]
			require.Equal(t, tt.want.URL, got.URL)
			require.Equal(t, string(tt.want.Body), string(got.Body))
			for name, values := range tt.want.Header {
				require.Equal(t, values, got.Header[name])
			}
			require.Equal(t, []string{"<secret>"}, got.Answer.Header["Set-Cookie"])
			if len(tt.call.Body)+len(tt.call.Header) == 0 && got.URL != "<secret>" { // the secret is in the URL
				require.JSONEq(t, `{"errmsg":"no token <secret>"}`, string(got.Answer.Body))
			}
		})
	}
}

func TestNothingIsSentInAPreview(t *testing.T) {
	t.Parallel()
	tap := wiretap.New(false)
	_, err := wiretap.Begin(tap.Listen(t.Context()), wiretap.Call{URL: "smtp://localhost:25"})
	require.ErrorIs(t, err, wiretap.ErrNotSent)
	require.Len(t, tap.Calls(), 1)

	noted, err := wiretap.Begin(t.Context(), wiretap.Call{})
	require.NoError(t, err)
	noted.Answered(wiretap.Answer{}) // nobody listens
	require.False(t, wiretap.Listening(t.Context()))
}

func TestBodiesInJSON(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{`{"a":1}`: `{"a":1}`, "ok <b>": `"ok \u003cb\u003e"`, "\xff": `"/w=="`, "": `""`} {
		got, err := json.Marshal(wiretap.Text(body))
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
}
