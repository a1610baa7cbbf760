package dingtalk

import (
	"cmp"
	"slices"
	"strings"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/living"
	"github.com/alertrelay/relay/internal/robots"
	"github.com/alertrelay/relay/internal/secret"
)

// Globals are the keys of the section global that concern DingTalk.
type Globals struct {
	// APIURL is where DingTalk's API is: https://oapi.dingtalk.com, or https://oapi.dingtalk.io for an international
	// tenant. It stands before robots given by access_token.
	APIURL string `yaml:"dingtalk_api_url,omitempty"`
	// OpenAPIURL is where the API of applications is: https://api.dingtalk.com.
	OpenAPIURL string `yaml:"dingtalk_openapi_url,omitempty"`
}

// Validate adds what is wrong with the keys to f, the list of the section.
func (g Globals) Validate(f *fault.List) {
	robots.ValidateAPI(g.APIURL, f.In("dingtalk_api_url"))
	robots.ValidateAPI(g.OpenAPIURL, f.In("dingtalk_openapi_url"))
}

// The forms of a message. https://open.dingtalk.com/document/development/robot-message-type
const (
	TypeMarkdown   = "markdown"
	TypeText       = "text"
	TypeLink       = "link"
	TypeActionCard = "actionCard"
	TypeFeedCard   = "feedCard"
	// TypeCard is an interactive card, which is updated as its group changes. It is for applications alone.
	TypeCard = "card"
)

// defaultTexts are the default of the key text, by message type. Those of cards are for messages that lack what a card
// needs, too.
func defaultTexts() map[string]string {
	return map[string]string{
		TypeMarkdown:   DefaultText,
		TypeText:       DefaultPlain,
		TypeLink:       DefaultBrief,
		TypeActionCard: DefaultCard,
		TypeFeedCard:   DefaultText,
		TypeCard:       DefaultCard,
	}
}

// robotTypes and appTypes are what custom robots and applications can send.
func robotTypes() []string {
	return []string{TypeMarkdown, TypeText, TypeLink, TypeActionCard, TypeFeedCard}
}

func appTypes() []string {
	return []string{TypeMarkdown, TypeText, TypeLink, TypeActionCard, TypeCard}
}

// Defaults of the keys.
const (
	DefaultAPIURL     = "https://oapi.dingtalk.com"
	DefaultOpenAPIURL = "https://api.dingtalk.com"
	DefaultTitle      = `{{ template "relay.dingtalk.title" . }}`
	DefaultText       = `{{ template "relay.dingtalk.text" . }}`
	DefaultPlain      = `{{ template "relay.dingtalk.plain" . }}`
	DefaultBrief      = `{{ template "relay.brief" . }}`
	DefaultCard       = `{{ template "relay.dingtalk.card" . }}`
	DefaultAlert      = `{{ template "relay.headline" . }}`
	DefaultLink       = `{{ template "relay.link" . }}`
)

// How the buttons of an actionCard stand.
const (
	LayoutVertical   = "vertical"
	LayoutHorizontal = "horizontal"
)

// Config is an item of dingtalk_configs: a custom robot in a group, a pool of them, or the robot of an application.
type Config struct {
	relay.Common `yaml:",inline"`
	// HTTPConfig is for the calls to DingTalk; default: global.http_config.
	HTTPConfig *config.HTTPClientConfig `yaml:"http_config,omitempty"`

	// Robot is the robot to send with, unless there is a pool.
	Robot `yaml:",inline"`
	// URLs are a pool: robots of one group. A message goes out through whichever may send. A robot without a secret of
	// its own takes the item's.
	URLs []PoolRobot `yaml:"urls,omitempty"`
	// Application is what sends, unless it is a custom robot.
	Application `yaml:",inline"`

	// MessageType is markdown (default), text, link, actionCard or feedCard.
	MessageType string `yaml:"message_type,omitempty"`
	// Title is a template: what the list of conversations and the push notification show.
	Title string `yaml:"title,omitempty"`
	// Text is a template: the message. It is markdown, but for message types text and link.
	Text string `yaml:"text,omitempty"`
	// Buttons are those of an actionCard; default: robots.DefaultButtons. One that leads nowhere is left out.
	Buttons []robots.Button `yaml:"buttons,omitempty"`
	// ButtonLayout is vertical (default) or horizontal.
	ButtonLayout string `yaml:"button_layout,omitempty"`
	// AlertTitle is a template: the line of an alert in a feedCard.
	AlertTitle string `yaml:"alert_title,omitempty"`
	// LinkURL is a template: where a link, or an entry of a feedCard, leads.
	LinkURL string `yaml:"link_url,omitempty"`
	// PictureURL is a template: the picture of a link or feedCard, at an address that everybody can reach.
	PictureURL string `yaml:"picture_url,omitempty"`
	// OpenInBrowser opens links of cards in the browser and not in DingTalk's side bar.
	OpenInBrowser bool `yaml:"open_in_browser,omitempty"`
	// Mention says who is notified by name, once for each notification.
	Mention Mention `yaml:"mention,omitempty"`
	// Keyword is a word that the robot's security settings ask for. It is added to messages that lack it.
	Keyword string `yaml:"keyword,omitempty"`

	apiURL, openAPIURL string
}

// An Application is one of the organisation (企业内部应用) with a robot that is in the group.
type Application struct {
	AppKey        string        `yaml:"app_key,omitempty"`
	AppSecret     secret.String `yaml:"app_secret,omitempty"`
	AppSecretFile secret.File   `yaml:"app_secret_file,omitempty"`
	// RobotCode is the application's robot; default: AppKey, which it is for most.
	RobotCode string `yaml:"robot_code,omitempty"`
	// ConversationID is a template: the group, as openConversationId.
	ConversationID string `yaml:"conversation_id,omitempty"`
	// CardTemplateID is the template of a card, made with DingTalk's card editor.
	CardTemplateID string `yaml:"card_template_id,omitempty"`
	// CardParams are the variables of that template, each a template; default: DefaultParams.
	CardParams map[string]string `yaml:"card_params,omitempty"`
	// MaxAge is how long after it was sent a card is updated; default a week.
	MaxAge model.Duration `yaml:"max_age,omitempty"`
}

// DefaultParams are the variables of a card. The variable text is what the key text says, in at most 1,000 bytes.
func DefaultParams() map[string]string {
	return map[string]string{
		"title":       `{{ template "relay.dingtalk.title" . }}`,
		"status":      `{{ .Status }}`,
		"color":       `{{ hexColor .Status .Severity }}`,
		"source_url":  `{{ .Source }}`,
		"silence_url": `{{ .Silence }}`,
		"runbook_url": `{{ .Runbook }}`,
		"trace_url":   `{{ httpURL .Snapshot.TraceURL }}`,
	}
}

// IsApp reports whether an application sends and not a custom robot.
func (c *Config) IsApp() bool {
	a := c.Application
	return a.AppKey != "" || !a.AppSecret.IsZero() || a.AppSecretFile != "" || a.RobotCode != "" ||
		a.ConversationID != "" || a.CardTemplateID != ""
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

// Mention says who is notified by name. DingTalk takes at most 50 people in a message. A name may be a template, and find
// several.
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
	c.apiURL = cmp.Or(g.APIURL, DefaultAPIURL)
	c.openAPIURL = cmp.Or(g.OpenAPIURL, DefaultOpenAPIURL)
	if c.IsApp() {
		c.RobotCode = cmp.Or(c.RobotCode, c.AppKey)
	}
	c.MessageType = cmp.Or(c.MessageType, TypeMarkdown)
	c.Title = cmp.Or(c.Title, DefaultTitle)
	c.Text = cmp.Or(c.Text, defaultTexts()[c.MessageType])
	switch c.MessageType {
	case TypeCard:
		c.MaxAge = cmp.Or(c.MaxAge, model.Duration(living.DefaultMaxAge))
		if c.CardParams == nil {
			c.CardParams = DefaultParams()
		}
	case TypeActionCard:
		c.ButtonLayout = cmp.Or(c.ButtonLayout, LayoutVertical)
		if c.Buttons == nil {
			c.Buttons = robots.DefaultButtons()
		}
	case TypeFeedCard:
		c.AlertTitle = cmp.Or(c.AlertTitle, DefaultAlert)
		c.LinkURL = cmp.Or(c.LinkURL, DefaultLink)
	case TypeLink:
		c.LinkURL = cmp.Or(c.LinkURL, DefaultLink)
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
	case c.IsApp():
		c.validateApp(f)
	case len(c.URLs) == 0:
		c.validateRobot(f)
	case !c.credential().IsZero():
		f.In("urls").Addf("at most one of url, access_token & urls must be configured")
	}
	for i := range c.URLs {
		c.URLs[i].validateRobot(f.In("urls").Item(i))
	}
	types := robotTypes()
	if c.IsApp() {
		types = appTypes()
	}
	if !slices.Contains(types, c.MessageType) {
		f.In("message_type").Addf("must be %s or %s, not %q",
			strings.Join(types[:len(types)-1], ", "), types[len(types)-1], c.MessageType)
	}
	c.validateCard(f)
	if c.IsApp() {
		if !c.Mention.isZero() {
			f.In("mention").Addf("is for custom robots: that of an application mentions nobody")
		}
	} else {
		c.Mention.validate(c.MessageType, f.In("mention"))
	}
	if c.HTTPConfig != nil {
		f.In("http_config").Add(c.HTTPConfig.Validate())
	}
}

// validateApp adds what is wrong with an application.
func (c *Config) validateApp(f *fault.List) {
	if !c.credential().IsZero() || len(c.URLs) > 0 {
		f.Addf("at most one of a custom robot (url, access_token, urls) & an application (app_key) must be configured")
	}
	if c.AppKey == "" {
		f.In("app_key").Addf("is required")
	}
	switch {
	case c.AppSecret.IsZero() && c.AppSecretFile == "":
		f.Addf("one of app_secret & app_secret_file must be configured")
	case !c.AppSecret.IsZero() && c.AppSecretFile != "":
		f.Addf("at most one of app_secret & app_secret_file must be configured")
	}
	if c.ConversationID == "" {
		f.In("conversation_id").Addf("is required")
	}
	if c.MessageType == TypeCard && c.CardTemplateID == "" {
		f.In("card_template_id").Addf("is required")
	}
	if c.Keyword != "" {
		f.In("keyword").Addf("is for custom robots")
	}
	for name := range c.CardParams {
		if name == "" || len(name) > maxParamName {
			f.In("card_params").Addf("a name has between 1 and %d bytes", maxParamName)
		}
	}
	if c.MaxAge < 0 {
		f.In("max_age").Addf("must be more than 0")
	}
}

// validateCard looks at what only some message types have.
func (c *Config) validateCard(f *fault.List) {
	robots.ValidateButtons(c.Buttons, f.In("buttons"))
	switch c.ButtonLayout {
	case "", LayoutVertical, LayoutHorizontal:
	default:
		f.In("button_layout").Addf("must be vertical or horizontal, not %q", c.ButtonLayout)
	}
	if c.MessageType == TypeFeedCard && c.PictureURL == "" {
		f.In("picture_url").Addf("is required: DingTalk takes no feedCard without pictures")
	}
	for _, k := range []struct {
		key   string
		given bool
		types []string
	}{
		{"buttons", c.Buttons != nil, []string{TypeActionCard}},
		{"button_layout", c.ButtonLayout != "", []string{TypeActionCard}},
		{"alert_title", c.AlertTitle != "", []string{TypeFeedCard}},
		{"link_url", c.LinkURL != "", []string{TypeLink, TypeFeedCard}},
		{"picture_url", c.PictureURL != "", []string{TypeLink, TypeFeedCard}},
		{"card_template_id", c.CardTemplateID != "", []string{TypeCard}},
		{"card_params", c.CardParams != nil, []string{TypeCard}},
		{"max_age", c.MaxAge != 0, []string{TypeCard}},
		{"open_in_browser", c.OpenInBrowser, []string{TypeLink, TypeActionCard, TypeFeedCard}},
	} {
		if k.given && !slices.Contains(k.types, c.MessageType) {
			f.In(k.key).Addf("is for message_type: %s", strings.Join(k.types, ", "))
		}
	}
}

func (r *Robot) validateRobot(f *fault.List) {
	r.credential().Validate(f)
	if !r.Secret.IsZero() && r.SecretFile != "" {
		f.In("secret").Addf("at most one of secret & secret_file must be configured")
	}
}

func (m Mention) isZero() bool {
	return len(m.Mobiles)+len(m.UserIDs)+len(m.People)+len(m.Labels) == 0 && !m.All
}

// validate also names those whom a message of that type cannot mention.
// https://open.dingtalk.com/document/development/robot-message-type
func (m Mention) validate(messageType string, f *fault.List) {
	if len(m.Mobiles)+len(m.UserIDs) > maxMentions {
		f.Addf("DingTalk takes at most %d people, these are %d", maxMentions, len(m.Mobiles)+len(m.UserIDs))
	}
	robots.ValidateNames(m.Mobiles, "@", f.In("mobiles"))
	robots.ValidateNames(m.UserIDs, "@", f.In("user_ids"))
	switch {
	case messageType == TypeActionCard && (len(m.Mobiles) > 0 || m.All):
		f.Addf("an actionCard mentions people by user_ids only")
	case (messageType == TypeLink || messageType == TypeFeedCard) && (len(m.Mobiles)+len(m.UserIDs) > 0 || m.All):
		f.Addf("a %s mentions nobody", messageType)
	}
}
