package webhook_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/webhook"
)

func TestAuth(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("from-file\n"), 0o600))
	value := func(s string) secret.Value { return secret.Of(secret.New(s), "") }
	var l logs
	h := newHandler(t, webhook.Options{
		Auth: webhook.Auth{
			Webhook: value("global"),
			Receivers: map[string]secret.Value{
				"pay": value("own"), "none": {}, "file": secret.Of(secret.String{}, secret.File(file)),
				"lost": secret.Of(secret.String{}, secret.File(file+"-not-there")),
			},
			API: value("operator"),
		},
		Reload: func(context.Context) error { return nil }, Gatherer: prometheus.NewRegistry(), Logger: l.logger(),
	})
	for _, tc := range []struct {
		name, method, target, authorization string
		code                                int
	}{
		{"right", "POST", "/webhook", "Bearer global", 200},
		{"the scheme in any case", "POST", "/webhook", "bearer global", 200},
		{"none", "POST", "/webhook", "", 401},
		{"another scheme", "POST", "/webhook", "Basic Z2xvYmFs", 401},
		{"an empty token", "POST", "/webhook", "Bearer ", 401},
		{"wrong", "POST", "/webhook", "Bearer globa", 403},
		{"wrong, longer", "POST", "/webhook", "Bearer global2", 403},
		{"the operator's", "POST", "/webhook", "Bearer operator", 403},
		{"a receiver without its own", "POST", "/webhook/ops", "Bearer global", 200},
		{"a receiver whose own is not set", "POST", "/webhook/none", "Bearer global", 200},
		{"a receiver with its own", "POST", "/webhook/pay", "Bearer own", 200},
		{"a receiver with its own, and the global one", "POST", "/webhook/pay", "Bearer global", 403},
		{"a receiver's own at the tree", "POST", "/webhook", "Bearer own", 403},
		{"an escaped receiver is the same receiver", "POST", "/webhook/p%61y", "Bearer global", 403},
		{"from a file", "POST", "/webhook/file", "Bearer from-file", 200},
		{"from a file, wrong", "POST", "/webhook/file", "Bearer other", 403},
		{"from a file that is gone: a person can mend it", "POST", "/webhook/lost", "Bearer other", 503},
		{"reload", "POST", "/-/reload", "Bearer operator", 200},
		{"reload, PUT", "PUT", "/-/reload", "Bearer operator", 200},
		{"reload without", "POST", "/-/reload", "", 401},
		{"reload with the senders'", "POST", "/-/reload", "Bearer global", 403},
		{"profiles", "GET", "/debug/pprof/heap", "Bearer operator", 200},
		{"the list of profiles", "GET", "/debug/pprof/", "Bearer operator", 200},
		{"the command line", "GET", "/debug/pprof/cmdline", "Bearer operator", 200},
		{"a trace", "GET", "/debug/pprof/trace?seconds=0.01", "Bearer operator", 200},
		{"no such profile", "GET", "/debug/pprof/oops", "Bearer operator", 404},
		{"profiles without", "GET", "/debug/pprof/heap", "", 401},
		{"health needs none", "GET", "/-/healthy", "", 200},
		{"readiness needs none", "HEAD", "/-/ready", "", 200},
		{"metrics need none", "GET", "/metrics", "", 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var headers []string
			if tc.authorization != "" {
				headers = append(headers, "Authorization: "+tc.authorization)
			}
			w := send(h, tc.method, tc.target, least, headers...)
			require.Equal(t, tc.code, w.Code, w.Body)
			require.Equal(t, tc.code == http.StatusUnauthorized, w.Header().Get("WWW-Authenticate") != "")
		})
	}
	t.Cleanup(func() {
		for _, s := range []string{"global2", "from-file", "Bearer"} {
			require.NotContains(t, l.String(), s)
		}
	})
}

// TestTokenFileIsReadAtUse, so that rotating a token needs no reload.
func TestTokenFileIsReadAtUse(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	h := newHandler(t, webhook.Options{Auth: webhook.Auth{Webhook: secret.Of(secret.String{}, secret.File(file))}})
	for _, token := range []string{"first", "second"} {
		require.NoError(t, os.WriteFile(file, []byte(token), 0o600))
		require.Equal(t, http.StatusOK, send(h, http.MethodPost, "/webhook", least, "Authorization: Bearer "+token).Code)
	}
	require.Equal(t, http.StatusForbidden, send(h, http.MethodPost, "/webhook", least, "Authorization: Bearer first").Code)
}

func TestHealth(t *testing.T) {
	t.Parallel()
	var notReady error
	ready := func() error { return notReady }
	for name, h := range map[string]http.Handler{
		"full": newHandler(t, webhook.Options{Ready: ready}), "public": webhook.Public(ready),
	} {
		notReady = nil
		for _, path := range []string{"/-/healthy", "/-/ready"} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				require.Equal(t, http.StatusOK, send(h, method, path, "").Code, name)
			}
		}
		require.Equal(t, "The relay is ready.\n", send(h, http.MethodGet, "/-/ready", "").Body.String())
		notReady = errors.New("the store is unavailable")
		w := send(h, http.MethodGet, "/-/ready", "")
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Equal(t, "The relay is not ready: the store is unavailable.\n", w.Body.String())
		require.Equal(t, http.StatusOK, send(h, http.MethodGet, "/-/healthy", "").Code, "alive all the same")
	}
	require.Equal(t, http.StatusNotFound, send(webhook.Public(nil), http.MethodPost, "/webhook", least).Code)
	require.Equal(t, http.StatusNotFound, send(webhook.Public(nil), http.MethodGet, "/metrics", "").Code)
	require.Equal(t, http.StatusOK, send(webhook.Public(nil), http.MethodGet, "/-/ready", "").Code)
}

func TestReload(t *testing.T) {
	t.Parallel()
	var fails error
	h := newHandler(t, webhook.Options{Reload: func(context.Context) error { return fails }})
	require.Equal(t, http.StatusOK, send(h, http.MethodPost, "/-/reload", "").Code)
	require.Equal(t, http.StatusMethodNotAllowed, send(h, http.MethodGet, "/-/reload", "").Code)
	fails = errors.New("config.yaml:3: unknown field")
	w := send(h, http.MethodPut, "/-/reload", "")
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.Equal(t, "The configuration was not reloaded: config.yaml:3: unknown field\n", w.Body.String())
}

func TestMetricsShowOpenMetrics(t *testing.T) {
	t.Parallel()
	h := newHandler(t, webhook.Options{Gatherer: prometheus.NewRegistry()})
	w := send(h, http.MethodGet, "/metrics", "", "Accept: application/openmetrics-text; version=1.0.0")
	require.Contains(t, w.Header().Get("Content-Type"), "application/openmetrics-text")
}
