package httpclient_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/httpclient"
	"github.com/alertrelay/relay/internal/wiretap"
)

func TestATapSeesCallAndAnswer(t *testing.T) {
	t.Parallel()
	calls := 0
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		body, err := io.ReadAll(r.Body)
		if err == nil && string(body) == `{"text":"hello"}` {
			_, _ = io.WriteString(w, "ok")
		}
	}))
	t.Cleanup(vendor.Close)
	client, err := httpclient.New(nil, "test")
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)

	preview := wiretap.New(false)
	_, err = httpclient.PostJSON(preview.Listen(t.Context()), client, vendor.URL+"/send?key=s3cr3t", []byte(`{"text":"hello"}`))
	require.ErrorIs(t, err, wiretap.ErrNotSent)
	require.Zero(t, calls)
	require.JSONEq(t, `{"text":"hello"}`, string(preview.Calls()[0].Body))
	require.Equal(t, vendor.URL+"/send?key=<secret>", preview.Calls()[0].URL)

	tap := wiretap.New(true)
	for range 2 {
		resp, err := httpclient.PostJSON(tap.Listen(t.Context()), client, vendor.URL+"/send", []byte(`{"text":"hello"}`))
		require.NoError(t, err)
		require.Equal(t, "ok", string(resp.Body))
	}
	require.Equal(t, 2, calls)
	require.Equal(t, "ok", string(tap.Calls()[1].Answer.Body))
	require.Equal(t, "application/json; charset=utf-8", tap.Calls()[1].Header.Get("Content-Type"))
}
