package app_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/internal/app"
)

func TestUsersOrTokens(t *testing.T) {
	t.Parallel()
	const (
		users  = "basic_auth_users: {alertmanager: $2y$04$d1HLfRROMGYeVPvVI0VWWOcOIWvWlZv0L1O/zqRyGw9KmuOKAPK9u}"
		http2  = "http_server_config: {http2: false}"
		tokens = "global: {webhook_auth: {bearer_token: s3cret}}"
		own    = ", webhook_auth: {bearer_token: s3cret}"
	)
	for _, tt := range []struct {
		name, web, global, receiver string
		clash                       bool
	}{
		{"neither", "", "", "", false},
		{"tokens alone", "", tokens, "", false},
		{"users alone", users, "", "", false},
		{"a web configuration without users, and tokens", http2, tokens, "", false},
		{"users and tokens", users, tokens, "", true},
		{"users and a token of one receiver", users, "", own, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			web := ""
			if tt.web != "" {
				web = filepath.Join(t.TempDir(), "web.yaml")
				require.NoError(t, os.WriteFile(web, []byte(tt.web), 0o600))
			}
			c, err := config.Parse("config.yaml",
				[]byte(tt.global+"\nroute: {receiver: ops}\nreceivers: [{name: ops"+tt.receiver+"}]"))
			require.NoError(t, err)
			err = app.CheckAuth(web, c)
			if !tt.clash {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "a caller can show only one of them")
			_, err = app.New(t.Context(), c, app.Options{StoragePath: t.TempDir(), WebConfigFile: web})
			var wrong *app.ConfigError
			require.ErrorAs(t, err, &wrong)
			require.NotContains(t, err.Error(), "s3cret")
		})
	}
}

func TestAnUnusableWebConfigFile(t *testing.T) {
	t.Parallel()
	c, err := config.Parse("config.yaml", []byte("route: {receiver: ops}\nreceivers: [{name: ops}]"))
	require.NoError(t, err)
	require.Error(t, app.CheckAuth(filepath.Join(t.TempDir(), "missing.yaml"), c))
}

func TestNewGivesBackWhatItOpened(t *testing.T) {
	t.Parallel()
	c, err := config.Parse("config.yaml", []byte("route: {receiver: ops}\nreceivers: [{name: ops}]"))
	require.NoError(t, err)
	storage := t.TempDir()
	first, err := app.New(t.Context(), c, app.Options{StoragePath: storage, ListenAddresses: []string{"127.0.0.1:0"}})
	require.NoError(t, err)

	_, err = app.New(t.Context(), c, app.Options{StoragePath: storage})
	require.ErrorContains(t, err, "in use by another process")
	other := t.TempDir()
	_, err = app.New(t.Context(), c, app.Options{StoragePath: other, ListenAddresses: first.Addresses()})
	require.ErrorContains(t, err, "address already in use")

	require.NoError(t, first.Close())
	for _, path := range []string{storage, other} {
		again, err := app.New(t.Context(), c, app.Options{StoragePath: path})
		require.NoError(t, err)
		require.NoError(t, again.Close())
	}
}
