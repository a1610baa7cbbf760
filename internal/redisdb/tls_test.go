package redisdb_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/redisdb"
)

func TestTLS(t *testing.T) {
	t.Parallel()
	right, certificate, key := authority(t)
	wrong, _, _ := authority(t)
	address := parts.FreeAddress(t)
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	parts.StartRedis(t, "--tls-port", port, "--tls-cert-file", certificate, "--tls-key-file", key,
		"--tls-ca-cert-file", certificate, "--tls-auth-clients", "no")

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

// authority makes a certificate for a server on loopback that vouches for itself, and returns who trusts it, and its files.
func authority(t *testing.T) (pool *x509.CertPool, certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	dir := t.TempDir()
	write := func(name, kind string, data []byte) string {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600))
		return file
	}
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return pool, write("server.crt", "CERTIFICATE", der), write("server.key", "PRIVATE KEY", encoded)
}
