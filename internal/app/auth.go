package app

import (
	"errors"
	"fmt"
	"os"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/exporter-toolkit/web"

	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/webhook"
)

// errTwoAuths is a fault that only the flags and the configuration together can have.
var errTwoAuths = errors.New("the web config file asks for users or client certificates and the configuration for bearer " +
	"tokens (webhook_auth, api_auth): a caller can show only one of them, so use either")

// CheckAuth validates the web config file and refuses to combine its authentication with bearer tokens.
func CheckAuth(webConfigFile string, c *config.Config) error {
	if webConfigFile == "" {
		return nil
	}
	if err := web.Validate(webConfigFile); err != nil {
		return fmt.Errorf("web config file: %w", err)
	}
	text, err := os.ReadFile(webConfigFile)
	if err != nil {
		return fmt.Errorf("web config file: %w", err)
	}
	var asks struct {
		Users map[string]any `yaml:"basic_auth_users"`
		TLS   struct {
			ClientAuth string `yaml:"client_auth_type"`
			ClientCAs  string `yaml:"client_ca_file"`
			ClientCA   string `yaml:"client_ca"`
		} `yaml:"tls_server_config"`
	}
	if err := yaml.Unmarshal(text, &asks); err != nil {
		return fmt.Errorf("web config file: %w", err)
	}
	inWebConfig := len(asks.Users) > 0 || asks.TLS.ClientAuth != "" || asks.TLS.ClientCAs != "" || asks.TLS.ClientCA != ""
	if inWebConfig && hasTokens(c) {
		return errTwoAuths
	}
	return nil
}

func hasTokens(c *config.Config) bool {
	t := tokens(c)
	return !t.Webhook.IsZero() || !t.API.IsZero() || len(t.Receivers) > 0
}

// tokens are the bearer tokens of a configuration.
func tokens(c *config.Config) webhook.Auth {
	t := webhook.Auth{Receivers: make(map[string]secret.Value)}
	if own := c.Global.WebhookAuth; own != nil {
		t.Webhook = own.Token()
	}
	if own := c.Global.APIAuth; own != nil {
		t.API = own.Token()
	}
	for i := range c.Receivers {
		if own := c.Receivers[i].WebhookAuth; own != nil {
			t.Receivers[c.Receivers[i].Name] = own.Token()
		}
	}
	return t
}
