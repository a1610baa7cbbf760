package slack

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/living"
	"github.com/alertrelay/relay/internal/secret"
)

// Globals are Slack's keys in the section global. They stand in where an item names no credential of its own.
type Globals struct {
	SlackAPIURL       secret.String `yaml:"slack_api_url,omitempty"`
	SlackAPIURLFile   secret.File   `yaml:"slack_api_url_file,omitempty"`
	SlackAppToken     secret.String `yaml:"slack_app_token,omitempty"`
	SlackAppTokenFile secret.File   `yaml:"slack_app_token_file,omitempty"`
	SlackAppURL       string        `yaml:"slack_app_url,omitempty"`
}

// Validate reports what is wrong with the global keys alone.
func (g Globals) Validate(f *fault.List) {
	if !g.SlackAPIURL.IsZero() && g.SlackAPIURLFile != "" {
		f.Addf("at most one of slack_api_url & slack_api_url_file must be configured")
	}
	if !g.SlackAppToken.IsZero() && g.SlackAppTokenFile != "" {
		f.Addf("at most one of slack_app_token & slack_app_token_file must be configured")
	}
}

// Config is one item of slack_configs, under Alertmanager's names. All texts are templates.
type Config struct {
	relay.Common `yaml:",inline"`

	HTTPConfig *config.HTTPClientConfig `yaml:"http_config,omitempty"`

	// APIURL is the address of an incoming webhook: whoever knows it can post.
	APIURL     secret.String `yaml:"api_url,omitempty"`
	APIURLFile secret.File   `yaml:"api_url_file,omitempty"`
	// AppToken is the token of a bot, which stands in place of a webhook. AppURL is where it posts.
	AppToken     secret.String `yaml:"app_token,omitempty"`
	AppTokenFile secret.File   `yaml:"app_token_file,omitempty"`
	AppURL       string        `yaml:"app_url,omitempty"`

	// Channel is where a bot posts: a name or an id. It, Username, IconEmoji and IconURL have an effect in webhooks of old
	// custom integrations only; those of apps post where, and as whom, they were installed.
	Channel   string  `yaml:"channel,omitempty"`
	Username  *string `yaml:"username,omitempty"`
	IconEmoji *string `yaml:"icon_emoji,omitempty"`
	IconURL   *string `yaml:"icon_url,omitempty"`
	LinkNames bool    `yaml:"link_names,omitempty"`

	// Mention says who is notified by name.
	Mention Mention `yaml:"mention,omitempty"`

	// MessageText stands above the blocks or the attachment.
	MessageText string  `yaml:"message_text,omitempty"`
	Color       *string `yaml:"color,omitempty"`
	Fallback    *string `yaml:"fallback,omitempty"`
	// Blocks gives a JSON array of Block Kit blocks. It is the form of messages unless a key of the attachment is set.
	Blocks *string `yaml:"blocks,omitempty"`

	// What follows makes the other form: one attachment, as Alertmanager's own sender writes it.
	Title       *string  `yaml:"title,omitempty"`
	TitleLink   *string  `yaml:"title_link,omitempty"`
	Pretext     *string  `yaml:"pretext,omitempty"`
	Text        *string  `yaml:"text,omitempty"`
	Fields      []Field  `yaml:"fields,omitempty"`
	ShortFields bool     `yaml:"short_fields,omitempty"`
	Footer      *string  `yaml:"footer,omitempty"`
	CallbackID  *string  `yaml:"callback_id,omitempty"`
	ImageURL    string   `yaml:"image_url,omitempty"`
	ThumbURL    string   `yaml:"thumb_url,omitempty"`
	MrkdwnIn    []string `yaml:"mrkdwn_in,omitempty"`
	Actions     []Action `yaml:"actions,omitempty"`

	// UpdateMessage and Thread are a bot's, and true unless set: one message per alert group, which shows its newest state,
	// with every change as a reply in its thread.
	UpdateMessage *bool `yaml:"update_message,omitempty"`
	Thread        *bool `yaml:"thread,omitempty"`
	// MessageMaxAge is how long one message is updated before another one is begun.
	MessageMaxAge model.Duration `yaml:"message_max_age,omitempty"`
}

// A Field is a title with a value, in a table below the text.
type Field struct {
	Title string `yaml:"title,omitempty"`
	Value string `yaml:"value,omitempty"`
	Short *bool  `yaml:"short,omitempty"` // default: short_fields
}

// An Action is a button.
type Action struct {
	Type    string        `yaml:"type,omitempty"`
	Text    string        `yaml:"text,omitempty"`
	URL     string        `yaml:"url,omitempty"`
	Style   string        `yaml:"style,omitempty"`
	Name    string        `yaml:"name,omitempty"`
	Value   string        `yaml:"value,omitempty"`
	Confirm *Confirmation `yaml:"confirm,omitempty"`
}

// A Confirmation asks before an action is done.
type Confirmation struct {
	Text        string `yaml:"text,omitempty"`
	Title       string `yaml:"title,omitempty"`
	OkText      string `yaml:"ok_text,omitempty"`
	DismissText string `yaml:"dismiss_text,omitempty"`
}

// Mentioned is the part of mention: that all integrations have.
func (c *Config) Mentioned() relay.Mention { return c.Mention.Mention }

// SetDefaults fills in what the item leaves out: the credential from the section global, the texts by our templates. A
// text that is set to nothing stays empty.
func (c *Config) SetDefaults(g Globals) {
	if c.APIURL.IsZero() && c.APIURLFile == "" && c.AppToken.IsZero() && c.AppTokenFile == "" {
		c.APIURL, c.APIURLFile = g.SlackAPIURL, g.SlackAPIURLFile
		if c.APIURL.IsZero() && c.APIURLFile == "" {
			c.AppToken, c.AppTokenFile = g.SlackAppToken, g.SlackAppTokenFile
		}
	}
	c.adoptBot()
	if c.isBot() {
		c.AppURL = cmp.Or(c.AppURL, g.SlackAppURL, defaultAppURL)
		c.UpdateMessage, c.Thread = cmp.Or(c.UpdateMessage, new(true)), cmp.Or(c.Thread, new(true))
		c.MessageMaxAge = cmp.Or(c.MessageMaxAge, model.Duration(living.DefaultMaxAge))
	}
	if c.Blocks == nil && len(c.ofAttachment()) == 0 {
		c.Blocks = byDefault("blocks")
	}
	texts := map[string]**string{
		"username": &c.Username, "iconemoji": &c.IconEmoji, "iconurl": &c.IconURL, "color": &c.Color, "fallback": &c.Fallback,
	}
	if c.inBlocks() {
		c.MessageText = cmp.Or(c.MessageText, *byDefault("head"))
	} else {
		maps.Copy(texts, map[string]**string{
			"title": &c.Title, "titlelink": &c.TitleLink, "pretext": &c.Pretext, "text": &c.Text, "footer": &c.Footer,
			"callbackid": &c.CallbackID,
		})
		if len(c.MrkdwnIn) == 0 {
			c.MrkdwnIn = []string{"fallback", "pretext", "text"}
		}
	}
	for name, text := range texts {
		if *text == nil {
			*text = byDefault(name)
		}
	}
}

// adoptBot takes an item in the form that Alertmanager's update_message needs: the address of chat.postMessage as api_url,
// and the token in http_config.
func (c *Config) adoptBot() {
	if c.isBot() || c.HTTPConfig == nil || c.HTTPConfig.Authorization == nil || checkAppURL(c.APIURL.Reveal()) != nil {
		return
	}
	own, token := *c.HTTPConfig, c.HTTPConfig.Authorization
	own.Authorization = nil
	c.HTTPConfig, c.AppURL, c.APIURL = &own, c.APIURL.Reveal(), secret.String{}
	c.AppToken, c.AppTokenFile = secret.New(string(token.Credentials)), secret.File(token.CredentialsFile)
}

// isBot reports whether the item posts as a bot.
func (c *Config) isBot() bool { return !c.AppToken.IsZero() || c.AppTokenFile != "" }

// byDefault calls one of the default texts.
func byDefault(name string) *string { return new(`{{ template "relay.slack.` + name + `" . }}`) }

// inBlocks reports whether messages are blocks; else they are an attachment.
func (c *Config) inBlocks() bool { return deref(c.Blocks) != "" }

// ofAttachment are the keys that are set and make the form of an attachment.
func (c *Config) ofAttachment() []string {
	var keys []string
	for _, key := range []struct {
		name string
		set  bool
	}{
		{"title", c.Title != nil},
		{"title_link", c.TitleLink != nil},
		{"pretext", c.Pretext != nil},
		{"text", c.Text != nil},
		{"fields", len(c.Fields) > 0},
		{"short_fields", c.ShortFields},
		{"footer", c.Footer != nil},
		{"callback_id", c.CallbackID != nil},
		{"image_url", c.ImageURL != ""},
		{"thumb_url", c.ThumbURL != ""},
		{"mrkdwn_in", len(c.MrkdwnIn) > 0},
		{"actions", len(c.Actions) > 0},
	} {
		if key.set {
			keys = append(keys, key.name)
		}
	}
	return keys
}

// Validate reports everything that is wrong with an item after SetDefaults.
func (c *Config) Validate(f *fault.List) {
	c.validateCredential(f)
	c.validateLife(f)
	if c.HTTPConfig != nil {
		f.In("http_config").Add(c.HTTPConfig.Validate())
	}
	if keys := c.ofAttachment(); c.inBlocks() && len(keys) > 0 {
		f.In("blocks").Addf("cannot be combined with %s, which make a message of another form", strings.Join(keys, ", "))
	}
	c.Mention.validate(f.In("mention"))
	for i, field := range c.Fields {
		field.validate(f.In("fields").Item(i))
	}
	for i, action := range c.Actions {
		action.validate(f.In("actions").Item(i))
	}
}

// validateCredential wants a webhook or a bot, and not both.
func (c *Config) validateCredential(f *fault.List) {
	webhook, bot := !c.APIURL.IsZero() || c.APIURLFile != "", c.isBot()
	if !c.APIURL.IsZero() && c.APIURLFile != "" {
		f.Addf("at most one of api_url & api_url_file must be configured")
	}
	if !c.AppToken.IsZero() && c.AppTokenFile != "" {
		f.Addf("at most one of app_token & app_token_file must be configured")
	}
	switch {
	case webhook && bot:
		f.Addf("at most one of api_url/api_url_file & app_token/app_token_file must be configured")
	case bot:
		if c.Channel == "" {
			f.Addf("no channel: a bot needs to know where to post")
		}
		f.In("app_url").Add(checkAppURL(c.AppURL))
	case !webhook:
		f.Addf("no api_url and no app_token: set one of them here, or slack_api_url or slack_app_token in global")
	case !c.APIURL.IsZero():
		f.In("api_url").Add(checkURL(c.APIURL.Reveal()))
	}
}

// validateLife looks at what only a bot can do.
func (c *Config) validateLife(f *fault.List) {
	if c.MessageMaxAge < 0 {
		f.In("message_max_age").Addf("must be more than 0")
	}
	if c.isBot() {
		return
	}
	for _, key := range []struct {
		name string
		set  bool
	}{
		{"update_message", c.UpdateMessage != nil && *c.UpdateMessage},
		{"thread", c.Thread != nil && *c.Thread},
		{"message_max_age", c.MessageMaxAge > 0},
	} {
		if key.set {
			f.In(key.name).Addf("needs a bot (app_token): an incoming webhook does not learn where its message is")
		}
	}
}

func (l Field) validate(f *fault.List) {
	if l.Title == "" {
		f.Addf("missing title in Slack field configuration")
	}
	if l.Value == "" {
		f.Addf("missing value in Slack field configuration")
	}
}

func (a Action) validate(f *fault.List) {
	if a.Type == "" {
		f.Addf("missing type in Slack action configuration")
	}
	if a.Text == "" {
		f.Addf("missing text in Slack action configuration")
	}
	if a.URL == "" && a.Name == "" {
		f.Addf("missing name or url in Slack action configuration")
	}
	if a.Confirm != nil && a.Confirm.Text == "" {
		f.In("confirm").Addf("missing text in Slack confirmation configuration")
	}
}

// checkURL returns what keeps a webhook's URL from being one. It never shows the URL.
func checkURL(webhook string) error {
	u, err := url.Parse(webhook)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return errNoURL
	case strings.HasSuffix(u.Path, "/api/chat.postMessage"):
		return errBotURL
	}
	return nil
}

// checkAppURL returns what keeps the URL of a bot from being one.
func checkAppURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || path.Base(u.Path) != methodPost {
		return errNoAppURL
	}
	return nil
}

// defaultName of a bot is a hash of its channel. Of a webhook it is that of the file which holds the URL, so that a new URL
// keeps the backlog; else a hash of the URL. The channel is part of it when the item names one.
func (c *Config) defaultName(webhook string) string {
	if c.isBot() {
		return "bot-" + digest(c.Channel)[:8]
	}
	name := digest(webhook)[:8]
	if file := filepath.Base(string(c.APIURLFile)); c.APIURLFile != "" {
		name = strings.TrimSuffix(file, filepath.Ext(file))
	}
	if c.Channel != "" {
		name += "-" + digest(c.Channel)[:8]
	}
	return name
}

// digest is a hash in hex, for names that must be stable, short, and silent about what they stand for.
func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}
