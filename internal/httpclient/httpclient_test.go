package httpclient_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/prometheus/common/config"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/httpclient"
)

func TestRedact(t *testing.T) {
	t.Parallel()
	cause := errors.New("connection refused")
	post := func(err error) error {
		return &url.Error{Op: "Post", URL: "https://example.org/?key=hunter2", Err: err}
	}
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{"no URL", cause, "connection refused"},
		{"a URL", post(cause), "connection refused"},
		{"one within another", post(fmt.Errorf("fetch token: %w", post(cause))), "connection refused"},
		{"a timeout", post(context.DeadlineExceeded), "timeout: context deadline exceeded"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := httpclient.Redact(tc.err)
			require.EqualError(t, got, tc.want)
			if tc.name != "a timeout" {
				require.ErrorIs(t, got, cause)
			}
		})
	}
}

// TestNoURLInAnError: a webhook's URL is its secret, and so may be that of a token.
func TestNoURLInAnError(t *testing.T) {
	t.Parallel()
	away := httptest.NewServer(http.NotFoundHandler())
	away.Close()
	for name, cfg := range map[string]*config.HTTPClientConfig{
		"the vendor is away": nil,
		"the server of the OAuth tokens is away": {OAuth2: &config.OAuth2{
			ClientID: "relay", ClientSecret: "hunter2", TokenURL: away.URL + "/token?key=hunter2",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, err := httpclient.New(cfg, "test")
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err = httpclient.PostJSON(ctx, client, away.URL+"/send?key=hunter2", nil)
			require.Error(t, err)
			require.Equal(t, relay.Transient, relay.KindOf(err))
			require.NotContains(t, err.Error(), "hunter2")
			require.NotContains(t, err.Error(), "http://")
		})
	}
}
