package redisdb_test

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/redisdb"
)

func TestTLS(t *testing.T) {
	t.Parallel()
	server := parts.NewCertificate(t)
	right, wrong := trust(t, server), trust(t, parts.NewCertificate(t))
	address := parts.FreeAddress(t)
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	parts.StartRedis(t, "--tls-port", port, "--tls-cert-file", server.File, "--tls-key-file", server.Key,
		"--tls-ca-cert-file", server.File, "--tls-auth-clients", "no")

	use := func(c *tls.Config) error {
		_, err := run(t, open(t, redisdb.Options{Addresses: []string{address}, TLS: c}), increment, 1)
		return err
	}
	require.NoError(t, use(&tls.Config{RootCAs: right, MinVersion: tls.VersionTLS12}))
	err = use(&tls.Config{RootCAs: wrong, MinVersion: tls.VersionTLS12})
	require.ErrorIs(t, err, redisdb.ErrUnavailable)
	require.ErrorContains(t, err, "certificate signed by unknown authority")
	err = use(&tls.Config{RootCAs: right, ServerName: "another.example.org", MinVersion: tls.VersionTLS12})
	require.ErrorIs(t, err, redisdb.ErrUnavailable)
	require.ErrorContains(t, err, "another.example.org")
	require.ErrorIs(t, use(nil), redisdb.ErrUnavailable, "nothing is said in the open")
}

// trust is who trusts a certificate.
func trust(t *testing.T, c parts.Certificate) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(c.File)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(text))
	return pool
}

// TestAServerThatDoesNotTakeTheCertificate may say so only after the connection has broken some times: the log tells it all
// the same, and once.
func TestAServerThatDoesNotTakeTheCertificate(t *testing.T) {
	t.Parallel()
	server := parts.NewCertificate(t)
	address := parts.FreeAddress(t)
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	parts.StartRedis(t, "--tls-port", port, "--tls-cert-file", server.File, "--tls-key-file", server.Key,
		"--tls-ca-cert-file", server.File, "--tls-auth-clients", "yes")
	var log syncBuffer
	db := open(t, redisdb.Options{
		Addresses: []string{address}, TLS: &tls.Config{RootCAs: trust(t, server), MinVersion: tls.VersionTLS12},
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	const said = "remote error: tls: certificate required"
	parts.WaitFor(t, "the log to say why", func() error {
		_, err := run(t, db, increment, 1)
		require.ErrorIs(t, err, redisdb.ErrUnavailable)
		if !strings.Contains(log.String(), said) {
			return err
		}
		return nil
	})
	for range 10 {
		_, err := run(t, db, increment, 1)
		require.ErrorIs(t, err, redisdb.ErrUnavailable)
	}
	require.Equal(t, 1, strings.Count(log.String(), said), log.String())
	require.LessOrEqual(t, strings.Count(log.String(), "Redis is unavailable"), 2, log.String())
}
