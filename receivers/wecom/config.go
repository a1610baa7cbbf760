package wecom

import (
	"strings"

	"github.com/prometheus/common/config"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/robots"
	"github.com/alertrelay/relay/internal/secret"
)

// Globals are the keys of the section global that concern WeCom.
type Globals struct {
	// APIURL is where WeCom's API is, as wechat_api_url in Alertmanager. It stands before robots given by key.
	APIURL string `yaml:"wecom_api_url,omitempty"`
}

// Validate adds what is wrong with the keys to f, the list of the section.
func (g Globals) Validate(f *fault.List) {
	robots.ValidateAPI(g.APIURL, f.In("wecom_api_url"))
}

// The forms of a message.
const (
	TypeMarkdown = "markdown"
	TypeText     = "text"
)

// Defaults of the keys.
const (
	DefaultAPIURL = "https://qyapi.weixin.qq.com/cgi-bin/"
	DefaultTitle  = `{{ template "relay.wecom.title" . }}`
	DefaultText   = `{{ template "relay.wecom.text" . }}`  // of markdown
	DefaultPlain  = `{{ template "relay.wecom.plain" . }}` // of text
)

// Config is an item of wecom_configs: a group robot, or a pool of them.
type Config struct {
	relay.Common `yaml:",inline"`
	// HTTPConfig is for the calls to WeCom; default: global.http_config.
	HTTPConfig *config.HTTPClientConfig `yaml:"http_config,omitempty"`

	// Robot is the robot to send with, unless there is a pool.
	Robot `yaml:",inline"`
	// URLs are a pool: robots of one group. A message goes out through whichever may send.
	URLs []PoolRobot `yaml:"urls,omitempty"`

	// MessageType is markdown (default) or text.
	MessageType string `yaml:"message_type,omitempty"`
	// Title is a template: the first line of a message that only lists and counts its alerts. WeCom shows no titles.
	Title string `yaml:"title,omitempty"`
	// Text is a template: the message, in markdown or, when message_type is text, without markup.
	Text string `yaml:"text,omitempty"`
	// TextTwin sends a text message after the markdown, for readers in WeChat, where markdown does not show. It carries
	// the mentions then.
	TextTwin bool `yaml:"text_twin,omitempty"`
	// Mention says who is notified by name, once for each notification.
	Mention Mention `yaml:"mention,omitempty"`

	apiURL string
}

// A Robot is a robot of a group: by its webhook URL, or by the key in it.
type Robot struct {
	URL     secret.String `yaml:"url,omitempty"`
	URLFile secret.File   `yaml:"url_file,omitempty"`
	Key     secret.String `yaml:"key,omitempty"`
	KeyFile secret.File   `yaml:"key_file,omitempty"`
}

// A PoolRobot is a Robot that may be written as its URL alone.
type PoolRobot struct {
	Robot `yaml:",inline"`
}

// UnmarshalYAML reads a URL, or the keys of a robot.
func (r *PoolRobot) UnmarshalYAML(unmarshal func(any) error) error {
	return robots.UnmarshalYAML(unmarshal, &r.URL, &r.Robot)
}

// Mention says who is notified by name.
type Mention struct {
	relay.Mention `yaml:",inline"`

	UserIDs []string `yaml:"user_ids,omitempty"`
	// Mobiles are notified by text messages only.
	Mobiles []string `yaml:"mobiles,omitempty"`
	All     bool     `yaml:"all,omitempty"`
}

// Mentioned is the part of mention: that all integrations have.
func (c *Config) Mentioned() relay.Mention { return c.Mention.Mention }

// SetDefaults fills in what was not given.
func (c *Config) SetDefaults(g Globals) {
	c.apiURL = g.APIURL
	if c.apiURL == "" {
		c.apiURL = DefaultAPIURL
	}
	if c.MessageType == "" {
		c.MessageType = TypeMarkdown
	}
	if c.Title == "" {
		c.Title = DefaultTitle
	}
	if c.Text == "" {
		c.Text = DefaultText
		if c.MessageType == TypeText {
			c.Text = DefaultPlain
		}
	}
}

// Validate adds what is wrong to f.
func (c *Config) Validate(f *fault.List) {
	switch {
	case len(c.URLs) == 0:
		c.credential().Validate(f)
	case !c.credential().IsZero():
		f.In("urls").Addf("at most one of url, key & urls must be configured")
	}
	for i := range c.URLs {
		c.URLs[i].credential().Validate(f.In("urls").Item(i))
	}
	switch c.MessageType {
	case TypeMarkdown:
		if len(c.Mention.Mobiles) > 0 && !c.TextTwin {
			f.In("mention").In("mobiles").Addf("are notified by text messages only: set message_type: text or text_twin: true")
		}
	case TypeText:
		if c.TextTwin {
			f.In("text_twin").Addf("is for message_type: markdown")
		}
	default:
		f.In("message_type").Addf("must be markdown or text, not %q", c.MessageType)
	}
	c.Mention.validate(f.In("mention"))
	if c.HTTPConfig != nil {
		f.In("http_config").Add(c.HTTPConfig.Validate())
	}
}

func (m Mention) validate(f *fault.List) {
	for _, list := range []struct {
		key   string
		names []string
	}{{"user_ids", m.UserIDs}, {"mobiles", m.Mobiles}} {
		for i, name := range list.names {
			if name == "" || strings.ContainsAny(name, " \t\r\n@<>") {
				f.In(list.key).Item(i).Addf("must be one word without @, < and >")
			}
		}
	}
}
