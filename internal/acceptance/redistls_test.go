package acceptance_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/parts"
)

// TestRedisBehindTLS goes the whole way through a Redis that speaks TLS and asks for a certificate of its clients. Where one
// does not trust the other, the log says why, and webhooks are answered 503.
func TestRedisBehindTLS(t *testing.T) {
	t.Parallel()
	server, client, stranger := parts.NewCertificate(t), parts.NewCertificate(t), parts.NewCertificate(t)
	address := parts.FreeAddress(t)
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	parts.StartRedis(t, "--tls-port", port, "--tls-cert-file", server.File, "--tls-key-file", server.Key,
		"--tls-ca-cert-file", client.File, "--tls-auth-clients", "yes")
	storage := func(tls string) string {
		return fmt.Sprintf("storage: {redis: {addresses: ['%s'], tls_config: {%s}}}", address, tls)
	}
	told := notification("BehindTLS", alert(0, "told behind TLS"))

	t.Run("certificates that are trusted", func(t *testing.T) {
		t.Parallel()
		relay := startRelayWith(t, 10*time.Minute, storage(fmt.Sprintf(
			"ca_file: '%s', cert_file: '%s', key_file: '%s'", server.File, client.File, client.Key)))
		require.Equal(t, http.StatusOK, relay.post(t, told))
		for inbox, m := range relay.await(t, 1) {
			require.Contains(t, m.Text, "told behind TLS", inbox)
		}
	})
	for name, c := range map[string]struct{ tls, want string }{
		"a server of an unknown authority": {
			fmt.Sprintf("ca_file: '%s', cert_file: '%s', key_file: '%s'", stranger.File, client.File, client.Key),
			"x509: certificate signed by unknown authority",
		},
		"a server of another name": {
			fmt.Sprintf("ca_file: '%s', cert_file: '%s', key_file: '%s', server_name: redis.example.org",
				server.File, client.File, client.Key),
			"redis.example.org",
		},
		"no certificate of the relay": {
			fmt.Sprintf("ca_file: '%s'", server.File), "tls: certificate required",
		},
		"a certificate of the relay that the server does not trust": {
			fmt.Sprintf("ca_file: '%s', cert_file: '%s', key_file: '%s'", server.File, stranger.File, stranger.Key),
			"tls: unknown certificate authority",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			relay := newRelay(t, 10*time.Minute, storage(c.tls))
			relay.Process = parts.Start(t, parts.RelayBinary(t), relay.args...)
			relay.Ready(t, relay.url+"/-/healthy")
			require.Equal(t, http.StatusServiceUnavailable, relay.post(t, told))
			parts.WaitFor(t, "the log to say why", func() error {
				for line := range strings.Lines(relay.Log()) {
					if strings.Contains(line, "level=ERROR") && strings.Contains(line, "Redis is unavailable") &&
						strings.Contains(line, c.want) {
						return nil
					}
				}
				return errors.New("it does not")
			})
		})
	}
}
