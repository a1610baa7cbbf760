package dingtalk

import (
	"strings"

	"github.com/prometheus/common/config"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/robots"
	"github.com/alertrelay/relay/internal/secret"
)

// Globals are the keys of the section global that concern DingTalk.
type Globals struct {
	// APIURL is where DingTalk's API is: https://oapi.dingtalk.com, or https://oapi.dingtalk.io for an international
	// tenant. It stands before robots given by access_token.
	APIURL string `yaml:"dingtalk_api_url,omitempty"`
}

// Validate adds what is wrong with the keys to f, the list of the section.
func (g Globals) Validate(f *fault.List) {
	robots.ValidateAPI(g.APIURL, f.In("dingtalk_api_url"))
}

// The forms of a message.
const (
	TypeMarkdown = "markdown"
	TypeText     = "text"
)

// Defaults of the keys.
const (
	DefaultAPIURL = "https://oapi.dingtalk.com"
	DefaultTitle  = `{{ template "relay.dingtalk.title" . }}`
	DefaultText   = `{{ template "relay.dingtalk.text" . }}`  // of markdown
	DefaultPlain  = `{{ template "relay.dingtalk.plain" . }}` // of text
)

// Config is an item of dingtalk_configs: a custom robot in a group, or a pool of them.
type Config struct {
	relay.Common `yaml:",inline"`
	// HTTPConfig is for the calls to DingTalk; default: global.http_config.
	HTTPConfig *config.HTTPClientConfig `yaml:"http_config,omitempty"`

	// Robot is the robot to send with, unless there is a pool.
	Robot `yaml:",inline"`
	// URLs are a pool: robots of one group. A message goes out through whichever may send. A robot without a secret of
	// its own takes the item's.
	URLs []PoolRobot `yaml:"urls,omitempty"`

	// MessageType is markdown (default) or text.
	MessageType string `yaml:"message_type,omitempty"`
	// Title is a template: what the list of conversations and the push notification show.
	Title string `yaml:"title,omitempty"`
	// Text is a template: the message, in markdown or, when message_type is text, without markup.
	Text string `yaml:"text,omitempty"`
	// Mention says who is notified by name, once for each notification.
	Mention Mention `yaml:"mention,omitempty"`
	// Keyword is a word that the robot's security settings ask for. It is added to messages that lack it.
	Keyword string `yaml:"keyword,omitempty"`

	apiURL string
}

// A Robot is a custom robot of a group: by its webhook URL, or by the access token in it.
type Robot struct {
	URL             secret.String `yaml:"url,omitempty"`
	URLFile         secret.File   `yaml:"url_file,omitempty"`
	AccessToken     secret.String `yaml:"access_token,omitempty"`
	AccessTokenFile secret.File   `yaml:"access_token_file,omitempty"`
	// Secret signs the requests, when the robot's security settings say so. It begins with SEC.
	Secret     secret.String `yaml:"secret,omitempty"`
	SecretFile secret.File   `yaml:"secret_file,omitempty"`
}

// A PoolRobot is a Robot that may be written as its URL alone.
type PoolRobot struct {
	Robot `yaml:",inline"`
}

// UnmarshalYAML reads a URL, or the keys of a robot.
func (r *PoolRobot) UnmarshalYAML(unmarshal func(any) error) error {
	return robots.UnmarshalYAML(unmarshal, &r.URL, &r.Robot)
}

// Mention says who is notified by name. DingTalk takes at most 50 people in a message.
type Mention struct {
	relay.Mention `yaml:",inline"`

	Mobiles []string `yaml:"mobiles,omitempty"`
	UserIDs []string `yaml:"user_ids,omitempty"`
	All     bool     `yaml:"all,omitempty"`
}

// maxMentions bounds the people of one message.
// https://open.dingtalk.com/document/development/custom-robots-send-group-messages
const maxMentions = 50

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
	for i := range c.URLs {
		r := &c.URLs[i]
		if secret.Of(r.Secret, r.SecretFile).IsZero() {
			r.Secret, r.SecretFile = c.Secret, c.SecretFile
		}
	}
}

// Validate adds what is wrong to f.
func (c *Config) Validate(f *fault.List) {
	switch {
	case len(c.URLs) == 0:
		c.validateRobot(f)
	case !c.credential().IsZero():
		f.In("urls").Addf("at most one of url, access_token & urls must be configured")
	}
	for i := range c.URLs {
		c.URLs[i].validateRobot(f.In("urls").Item(i))
	}
	if c.MessageType != TypeMarkdown && c.MessageType != TypeText {
		f.In("message_type").Addf("must be markdown or text, not %q", c.MessageType)
	}
	c.Mention.validate(f.In("mention"))
	if c.HTTPConfig != nil {
		f.In("http_config").Add(c.HTTPConfig.Validate())
	}
}

func (r *Robot) validateRobot(f *fault.List) {
	r.credential().Validate(f)
	if !r.Secret.IsZero() && r.SecretFile != "" {
		f.In("secret").Addf("at most one of secret & secret_file must be configured")
	}
}

func (m Mention) validate(f *fault.List) {
	if len(m.Mobiles)+len(m.UserIDs) > maxMentions {
		f.Addf("DingTalk takes at most %d people, these are %d", maxMentions, len(m.Mobiles)+len(m.UserIDs))
	}
	for _, list := range []struct {
		key   string
		names []string
	}{{"mobiles", m.Mobiles}, {"user_ids", m.UserIDs}} {
		for i, name := range list.names {
			if name == "" || strings.ContainsAny(name, " \t\r\n@") {
				f.In(list.key).Item(i).Addf("must be one word without @")
			}
		}
	}
}
