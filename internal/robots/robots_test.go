package robots_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/robots"
	"github.com/alertrelay/relay/internal/secret"
)

const endpoint = "https://example.com/send"

func open(token string) (*robots.Robot, error) {
	return robots.Credential{Vendor: "acme", Key: "key", Noun: "a key", Token: secret.New(token)}.Open(endpoint)
}

func TestPool(t *testing.T) {
	t.Parallel()
	pool, err := robots.OpenPool([]string{"one", "two"}, open)
	require.NoError(t, err)
	one, two := relay.LimiterID("acme/"+secret.ID("one")), relay.LimiterID("acme/"+secret.ID("two"))
	require.Equal(t, []relay.LimiterID{one, two}, pool.Limiters())
	require.Equal(t, two, pool.With(two).Limiter())
	require.Equal(t, one, pool.With("removed by a reload").Limiter())
}

func TestRotatedTokenIsReadAnew(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "ops.key")
	require.NoError(t, os.WriteFile(file, []byte("old\n"), 0o600))
	r, err := robots.Credential{Key: "key", Noun: "a key", TokenFile: secret.File(file)}.Open(endpoint)
	require.NoError(t, err)
	require.Equal(t, "ops", r.Name())
	require.NoError(t, os.WriteFile(file, []byte("new & odd\n"), 0o600))
	u, err := r.URL()
	require.NoError(t, err)
	require.Equal(t, endpoint+"?key=new+%26+odd", u.String())
}

func TestErrorShowsNoURL(t *testing.T) {
	t.Parallel()
	for _, link := range []string{"hush", "ftp://hush?key=hush", "https://hush", "https://hush?key=", "https://hush:port?key=hush"} {
		_, err := robots.Credential{Key: "key", Noun: "a key", URL: secret.New(link)}.Open(endpoint)
		require.Error(t, err, link)
		require.NotContains(t, fmt.Sprintf("%+v", err), "hush")
	}
}
