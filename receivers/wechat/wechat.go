// Package wechat takes Alertmanager's wechat_configs as they stand and sends them as an application of WeCom (企业微信), which
// is what Alertmanager means by WeChat. It is one of the integrations at the end of the path; all that it does it has from
// receivers/wecom.
//
// It promises that the same item and alerts make the same request as with Alertmanager, and keeps what is promised there.
//
// https://prometheus.io/docs/alerting/latest/configuration/#wechat_config
package wechat

import (
	"cmp"
	"strings"

	"github.com/prometheus/common/config"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/robots"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/receivers/wecom"
)

// Globals are the keys of the section global that concern wechat_configs, as in Alertmanager.
type Globals struct {
	APIURL        string        `yaml:"wechat_api_url,omitempty"`
	APISecret     secret.String `yaml:"wechat_api_secret,omitempty"`
	APISecretFile secret.File   `yaml:"wechat_api_secret_file,omitempty"`
	APICorpID     string        `yaml:"wechat_api_corp_id,omitempty"`
}

// Validate adds what is wrong with the keys to f, the list of the section.
func (g Globals) Validate(f *fault.List) {
	robots.ValidateAPI(g.APIURL, f.In("wechat_api_url"))
	if !g.APISecret.IsZero() && g.APISecretFile != "" {
		f.In("wechat_api_secret").Addf("at most one of wechat_api_secret & wechat_api_secret_file must be configured")
	}
}

// Config is an item of wechat_configs.
type Config struct {
	relay.Common `yaml:",inline"`
	// HTTPConfig is for the calls to WeCom; default: global.http_config.
	HTTPConfig *config.HTTPClientConfig `yaml:"http_config,omitempty"`

	APIURL        string        `yaml:"api_url,omitempty"`
	APISecret     secret.String `yaml:"api_secret,omitempty"`
	APISecretFile secret.File   `yaml:"api_secret_file,omitempty"`
	CorpID        string        `yaml:"corp_id,omitempty"`
	AgentID       string        `yaml:"agent_id,omitempty"`
	// ToUser, ToParty and ToTag are templates: ids joined by |.
	ToUser  string `yaml:"to_user,omitempty"`
	ToParty string `yaml:"to_party,omitempty"`
	ToTag   string `yaml:"to_tag,omitempty"`
	// Message is a template: the text.
	Message string `yaml:"message,omitempty"`
	// MessageType is text (default) or markdown.
	MessageType string `yaml:"message_type,omitempty"`
}

// Mentioned is nobody: whoever gets the message is addressed.
func (c *Config) Mentioned() relay.Mention { return relay.Mention{} }

// SetDefaults fills in what was not given.
func (c *Config) SetDefaults(g Globals) {
	c.APIURL = cmp.Or(c.APIURL, g.APIURL, wecom.DefaultAPIURL)
	c.CorpID = cmp.Or(c.CorpID, g.APICorpID)
	if c.APISecret.IsZero() && c.APISecretFile == "" {
		c.APISecret, c.APISecretFile = g.APISecret, g.APISecretFile
	}
	c.MessageType = cmp.Or(c.MessageType, wecom.TypeText)
}

// Validate adds what is wrong to f.
func (c *Config) Validate(f *fault.List) {
	robots.ValidateAPI(c.APIURL, f.In("api_url"))
	if c.CorpID == "" {
		f.In("corp_id").Addf("is required, here or as global.wechat_api_corp_id")
	}
	if c.AgentID == "" {
		f.In("agent_id").Addf("is required")
	}
	for key, value := range map[string]string{"corp_id": c.CorpID, "agent_id": c.AgentID} {
		if strings.Contains(value, "{{") {
			f.In(key).Addf("must be written down: it says whose access token is used")
		}
	}
	switch {
	case c.APISecret.IsZero() && c.APISecretFile == "":
		f.Addf("one of api_secret & api_secret_file is required, here or as global.wechat_api_secret")
	case !c.APISecret.IsZero() && c.APISecretFile != "":
		f.Addf("at most one of api_secret & api_secret_file must be configured")
	}
	if c.ToUser+c.ToParty+c.ToTag == "" {
		f.Addf("one of to_user, to_party & to_tag must be configured")
	}
	if c.MessageType != wecom.TypeText && c.MessageType != wecom.TypeMarkdown {
		f.In("message_type").Addf("must be text or markdown, not %q; wecom_configs have more", c.MessageType)
	}
	if c.HTTPConfig != nil {
		f.In("http_config").Add(c.HTTPConfig.Validate())
	}
}

// New makes the integration of a valid c. Its error names the keys at fault.
func New(c Config, env relay.Env) (relay.Setup, error) {
	app := wecom.Config{
		Common: c.Common, HTTPConfig: c.HTTPConfig, MessageType: c.MessageType, Text: c.Message,
		Application: wecom.Application{
			CorpID: c.CorpID, AgentID: c.AgentID, Secret: c.APISecret, SecretFile: c.APISecretFile,
			ToUser: c.ToUser, ToParty: c.ToParty, ToTag: c.ToTag,
		},
	}
	app.SetDefaults(wecom.Globals{APIURL: c.APIURL})
	return wecom.NewApp(app, wecom.AppForm{Safe: "0", AgentIDAsText: true}, env)
}
