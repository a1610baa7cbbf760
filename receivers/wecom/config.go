package wecom

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

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

// The forms of a message. https://developer.work.weixin.qq.com/document/path/91770
const (
	TypeMarkdown     = "markdown"
	TypeMarkdownV2   = "markdown_v2"
	TypeText         = "text"
	TypeNews         = "news"
	TypeTemplateCard = "template_card"
	TypeImage        = "image"
	TypeFile         = "file"
	TypeTextcard     = "textcard"
)

// The forms of a template_card.
const (
	CardText = "text_notice"
	CardNews = "news_notice"
	// CardButtons can be updated. It is for applications alone.
	CardButtons = "button_interaction"
)

// defaultTexts are the default of the key text, by message type.
func defaultTexts() map[string]string {
	return map[string]string{
		TypeMarkdown:     DefaultText,
		TypeMarkdownV2:   DefaultTextV2,
		TypeText:         DefaultPlain,
		TypeNews:         DefaultBrief,
		TypeTemplateCard: DefaultCard,
		TypeImage:        DefaultPlain,
		TypeFile:         DefaultPlain,
		TypeTextcard:     DefaultBrief,
	}
}

// robotTypes and appTypes are what robots and applications can send, chatTypes what an application can send to a chat.
func robotTypes() []string {
	return []string{
		TypeMarkdown, TypeMarkdownV2, TypeText, TypeNews, TypeTemplateCard, TypeImage, TypeFile,
	}
}

func appTypes() []string {
	return []string{TypeMarkdown, TypeText, TypeTextcard, TypeNews, TypeTemplateCard}
}

func chatTypes() []string { return []string{TypeMarkdown, TypeText, TypeTextcard, TypeNews} }

// Defaults of the keys.
const (
	DefaultAPIURL = "https://qyapi.weixin.qq.com/cgi-bin/"
	DefaultTitle  = `{{ template "relay.wecom.title" . }}`
	DefaultText   = `{{ template "relay.wecom.text" . }}`
	DefaultTextV2 = `{{ template "relay.wecom.v2" . }}`
	DefaultPlain  = `{{ template "relay.wecom.plain" . }}`
	DefaultBrief  = `{{ template "relay.brief" . }}`
	DefaultCard   = `{{ template "relay.wecom.card" . }}`
	DefaultAlert  = `{{ template "relay.headline" . }}`
	DefaultLink   = `{{ template "relay.link" . }}`
)

// Config is an item of wecom_configs: a group robot, a pool of them, or an application.
type Config struct {
	relay.Common `yaml:",inline"`
	// HTTPConfig is for the calls to WeCom; default: global.http_config.
	HTTPConfig *config.HTTPClientConfig `yaml:"http_config,omitempty"`

	// Robot is the robot to send with, unless there is a pool.
	Robot `yaml:",inline"`
	// URLs are a pool: robots of one group. A message goes out through whichever may send.
	URLs []PoolRobot `yaml:"urls,omitempty"`
	// Application is what sends, unless it is a robot.
	Application `yaml:",inline"`

	// MessageType is markdown (default), markdown_v2, text, news, template_card, image or file.
	MessageType string `yaml:"message_type,omitempty"`
	// CardType is the form of a template_card: text_notice (default) or news_notice.
	CardType string `yaml:"card_type,omitempty"`
	// Title is a template: that of news and cards, and the first line of a message that only lists and counts its alerts.
	// WeCom shows no titles otherwise.
	Title string `yaml:"title,omitempty"`
	// Text is a template: the message. It is markup, when message_type is markdown or markdown_v2.
	Text string `yaml:"text,omitempty"`
	// TextTwin sends a text message after one that does not show in WeChat, for readers there. It carries the mentions
	// then.
	TextTwin bool `yaml:"text_twin,omitempty"`
	// Fields are the rows of a template_card about one alert; default: DefaultFields. One without a value is left out.
	Fields []Field `yaml:"fields,omitempty"`
	// Buttons are the links below a template_card; default: robots.DefaultButtons. One that leads nowhere is left out, and
	// WeCom shows three.
	Buttons []robots.Button `yaml:"buttons,omitempty"`
	// AlertTitle is a template: the line of an alert in news or a template_card about several.
	AlertTitle string `yaml:"alert_title,omitempty"`
	// LinkURL is a template: where news or a template_card leads, and the line of an alert in it.
	LinkURL string `yaml:"link_url,omitempty"`
	// PictureURL is a template: the picture of news or of a news_notice, at an address that everybody can reach.
	PictureURL string `yaml:"picture_url,omitempty"`
	// ImageFile is the picture, PNG or JPG, that an image sends after its text. It is read when it is sent.
	ImageFile secret.File `yaml:"image_file,omitempty"`
	// Mention says who is notified by name, once for each notification.
	Mention Mention `yaml:"mention,omitempty"`

	apiURL string
}

// An Application is one that the organisation has made (自建应用), and whom it sends to.
type Application struct {
	CorpID     string        `yaml:"corp_id,omitempty"`
	AgentID    string        `yaml:"agent_id,omitempty"`
	Secret     secret.String `yaml:"secret,omitempty"`
	SecretFile secret.File   `yaml:"secret_file,omitempty"`
	// ToUser, ToParty and ToTag are ids joined by |, each a template. @all is everyone who sees the application, and counts
	// only when it is written down.
	ToUser  string `yaml:"to_user,omitempty"`
	ToParty string `yaml:"to_party,omitempty"`
	ToTag   string `yaml:"to_tag,omitempty"`
	// ChatID is a template: a group chat that the application has made.
	ChatID string `yaml:"chat_id,omitempty"`
	// MaxAge is how long after it was sent a template_card is updated; default 3 days, as long as WeCom lets one.
	MaxAge model.Duration `yaml:"max_age,omitempty"`
}

// DefaultMaxAge is how long a card can be updated. https://developer.work.weixin.qq.com/document/path/90236
const DefaultMaxAge = 72 * time.Hour

// IsApp reports whether an application sends and not a robot.
func (c *Config) IsApp() bool {
	return c.Application != (Application{MaxAge: c.MaxAge})
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
	c.apiURL = cmp.Or(g.APIURL, DefaultAPIURL)
	c.MessageType = cmp.Or(c.MessageType, TypeMarkdown)
	c.Title = cmp.Or(c.Title, DefaultTitle)
	c.Text = cmp.Or(c.Text, defaultTexts()[c.MessageType])
	if c.MessageType == TypeTemplateCard {
		if c.IsApp() {
			c.CardType = cmp.Or(c.CardType, CardButtons)
			c.MaxAge = cmp.Or(c.MaxAge, model.Duration(DefaultMaxAge))
		}
		c.CardType = cmp.Or(c.CardType, CardText)
		if c.Fields == nil {
			c.Fields = DefaultFields()
		}
		if c.Buttons == nil {
			c.Buttons = robots.DefaultButtons()
		}
	}
	if c.MessageType == TypeNews || c.MessageType == TypeTemplateCard {
		c.AlertTitle = cmp.Or(c.AlertTitle, DefaultAlert)
	}
	if c.MessageType == TypeNews || c.MessageType == TypeTemplateCard || c.MessageType == TypeTextcard {
		c.LinkURL = cmp.Or(c.LinkURL, DefaultLink)
	}
}

// Validate adds what is wrong to f.
func (c *Config) Validate(f *fault.List) {
	switch {
	case c.IsApp():
		c.validateApp(f)
	case len(c.URLs) == 0:
		c.credential().Validate(f)
	case !c.credential().IsZero():
		f.In("urls").Addf("at most one of url, key & urls must be configured")
	}
	for i := range c.URLs {
		c.URLs[i].credential().Validate(f.In("urls").Item(i))
	}
	types := robotTypes()
	switch {
	case c.ChatID != "":
		types = chatTypes()
	case c.IsApp():
		types = appTypes()
	}
	if !slices.Contains(types, c.MessageType) {
		f.In("message_type").Addf("must be %s or %s, not %q",
			strings.Join(types[:len(types)-1], ", "), types[len(types)-1], c.MessageType)
	}
	c.validateCard(f)
	c.validateMention(f)
	if c.HTTPConfig != nil {
		f.In("http_config").Add(c.HTTPConfig.Validate())
	}
}

// validateApp adds what is wrong with an application.
func (c *Config) validateApp(f *fault.List) {
	if !c.credential().IsZero() || len(c.URLs) > 0 {
		f.Addf("at most one of a robot (url, key, urls) & an application (corp_id) must be configured")
	}
	if c.CorpID == "" {
		f.In("corp_id").Addf("is required")
	}
	if c.AgentID == "" {
		f.In("agent_id").Addf("is required")
	}
	switch {
	case c.Secret.IsZero() && c.SecretFile == "":
		f.Addf("one of secret & secret_file must be configured")
	case !c.Secret.IsZero() && c.SecretFile != "":
		f.Addf("at most one of secret & secret_file must be configured")
	}
	switch members := c.ToUser + c.ToParty + c.ToTag; {
	case members == "" && c.ChatID == "":
		f.Addf("one of to_user, to_party, to_tag & chat_id must be configured")
	case members != "" && c.ChatID != "":
		f.In("chat_id").Addf("at most one of chat_id & to_user, to_party, to_tag must be configured")
	}
	m := c.Mention
	if len(m.UserIDs)+len(m.Mobiles)+len(m.People)+len(m.Labels) > 0 || m.All {
		f.In("mention").Addf("is for robots: an application sends to those in to_user")
	}
	if c.TextTwin {
		f.In("text_twin").Addf("is for robots")
	}
	if c.MaxAge < 0 {
		f.In("max_age").Addf("must be more than 0")
	}
}

// validateCard looks at what only some message types have.
func (c *Config) validateCard(f *fault.List) {
	robots.ValidateButtons(c.Buttons, f.In("buttons"))
	for n, field := range c.Fields {
		if field.Title == "" || field.Value == "" {
			f.In("fields").Item(n).Addf("title and value are required")
		}
	}
	switch {
	case c.CardType == "" || c.CardType == CardText || c.CardType == CardButtons && c.IsApp():
	case c.CardType == CardButtons:
		f.In("card_type").Addf("button_interaction is for applications")
	case c.CardType == CardNews:
		if c.PictureURL == "" {
			f.In("picture_url").Addf("is required: WeCom takes no news_notice without a picture")
		}
	default:
		f.In("card_type").Addf("must be text_notice or news_notice, not %q", c.CardType)
	}
	if c.MessageType == TypeImage && c.ImageFile == "" {
		f.In("image_file").Addf("is required")
	}
	for _, k := range []struct {
		key   string
		given bool
		types []string
	}{
		{"card_type", c.CardType != "", []string{TypeTemplateCard}},
		{"fields", c.Fields != nil, []string{TypeTemplateCard}},
		{"buttons", c.Buttons != nil, []string{TypeTemplateCard}},
		{"alert_title", c.AlertTitle != "", []string{TypeNews, TypeTemplateCard}},
		{"link_url", c.LinkURL != "", []string{TypeNews, TypeTemplateCard, TypeTextcard}},
		{"picture_url", c.PictureURL != "", []string{TypeNews, TypeTemplateCard}},
		{"image_file", c.ImageFile != "", []string{TypeImage}},
		{"max_age", c.MaxAge != 0, []string{TypeTemplateCard}},
		{"text_twin", c.TextTwin, []string{TypeMarkdown, TypeMarkdownV2, TypeNews, TypeTemplateCard}},
	} {
		if k.given && !slices.Contains(k.types, c.MessageType) {
			f.In(k.key).Addf("is for message_type: %s", strings.Join(k.types, ", "))
		}
	}
}

// validateMention names those whom the message cannot mention. A text twin can mention everybody.
func (c *Config) validateMention(f *fault.List) {
	m := c.Mention
	if c.IsApp() {
		return
	}
	switch c.MessageType {
	case TypeMarkdown:
		if len(m.Mobiles) > 0 && !c.TextTwin {
			f.In("mention").In("mobiles").Addf("are notified by text messages only: set message_type: text or text_twin: true")
		}
	case TypeMarkdownV2, TypeNews, TypeTemplateCard:
		if (len(m.Mobiles)+len(m.UserIDs) > 0 || m.All) && !c.TextTwin {
			f.In("mention").Addf("a %s mentions nobody: set text_twin: true", c.MessageType)
		}
	}
	robots.ValidateNames(m.UserIDs, "@<>", f.In("mention").In("user_ids"))
	robots.ValidateNames(m.Mobiles, "@<>", f.In("mention").In("mobiles"))
}
