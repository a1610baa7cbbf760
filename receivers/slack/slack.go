// Package slack posts notifications to Slack, through an incoming webhook or as a bot. On the path of a notification it is a
// way out: an integration of the catalogue in receivers.
//
// It promises that an Alertmanager slack_configs item works unchanged, that a message is sent only when Slack said so,
// and that the webhook's URL and the bot's token, which are secrets, appear nowhere. A bot keeps one message per alert group:
// it shows the newest state, and its thread how it came to that.
package slack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/httpclient"
	"github.com/alertrelay/relay/internal/secret"
)

var (
	errNoURL    = errors.New("must be the http or https URL of an incoming webhook")
	errBotURL   = errors.New("must be the URL of an incoming webhook: to post as a bot, set app_token")
	errNoAppURL = errors.New("must be the http or https URL of chat.postMessage")
)

// limit is one message per second for each webhook: https://docs.slack.dev/apis/web-api/rate-limits
func limit() relay.Limit { return relay.Limit{Messages: 1, Per: time.Second} }

// An Integration posts to one incoming webhook, or as one bot.
type Integration struct {
	cfg       Config
	templates templates
	renderer  relay.Renderer
	client    *http.Client
	url       secret.Value
	bot       *bot   // nil: a webhook
	relayURL  string // where people reach the relay; may be empty
}

var (
	_ relay.Integration = (*Integration)(nil)
	_ relay.Pacer       = (*Integration)(nil)
)

// New compiles the templates of c and returns the integration. The errors of all templates come together, each marked
// with its key.
func New(c Config, env relay.Env) (relay.Setup, error) {
	i := &Integration{
		cfg: c, renderer: env.Templates, client: env.HTTPClient,
		url: secret.Of(c.APIURL, c.APIURLFile), relayURL: env.ExternalURL,
	}
	var errs []error
	var err error
	if i.templates, err = compile(c, env.Templates); err != nil {
		errs = append(errs, err)
	} else if c.inBlocks() {
		errs = append(errs, fault.At("blocks", checkTemplate(i.templates.texts["blocks"])))
	}
	if c.HTTPConfig != nil {
		if i.client, err = httpclient.New(c.HTTPConfig, "slack"); err != nil {
			errs = append(errs, fault.At("http_config", err))
		}
	}
	var webhook string
	if c.isBot() {
		i.bot, err = newBot(c, env, i.client)
	} else {
		webhook, err = i.webhook()
	}
	if err := errors.Join(append(errs, err)...); err != nil {
		return relay.Setup{}, err
	}
	if c.Name == "" {
		c.Name = c.defaultName(webhook)
	}
	if i.bot != nil {
		setup := c.Setup(botLimit())
		setup.Integration, setup.Apart = i, i.bot.update || i.bot.thread
		setup.ByRoom = relay.SpeakOfRooms(c.Channel)
		if i.templates.channel == nil {
			setup.Limiters = []relay.LimiterID{i.bot.limiter(c.Channel)}
		}
		return setup, nil
	}
	setup := c.Setup(limit())
	setup.Integration = i
	setup.ByRoom = relay.SpeakOfRooms(c.Channel)
	setup.Limiters = []relay.LimiterID{relay.LimiterID("slack/" + digest(webhook)[:16])}
	return setup, nil
}

// webhook reads the URL; errors are marked with the key it comes from.
func (i *Integration) webhook() (string, error) {
	key := "api_url"
	if i.cfg.APIURLFile != "" {
		key = "api_url_file"
	}
	webhook, err := i.url.Reveal()
	if err == nil {
		err = checkURL(webhook)
	}
	return webhook, fault.At(key, err)
}

// Destination is the channel, when the configuration names one; else the webhook's own.
func (i *Integration) Destination(n *relay.Notification) (relay.Destination, error) {
	channel := i.cfg.Channel
	if i.templates.channel != nil {
		d := relay.Delivery{Tellings: []relay.Telling{{Notification: n}}, Now: n.ReceivedAt}
		var err error
		if channel, err = i.templates.channel.Execute(relay.View{Delivery: &d}); err != nil {
			return relay.Destination{}, fmt.Errorf("channel: %w", err)
		}
	}
	switch {
	case channel == "" && i.bot != nil:
		return relay.Destination{}, errors.New("channel: the template gives none")
	case channel == "":
		return relay.Destination{Key: "webhook"}, nil
	case i.bot != nil && i.templates.channel != nil:
		limiters := []relay.LimiterID{i.bot.limiter(channel)}
		return relay.Destination{Key: channel, Address: channel, Limiters: limiters}, nil
	}
	return relay.Destination{Key: channel, Address: channel}, nil
}

// Wait is for how long an update of a bot has to wait: Slack counts those of an app in all its channels together.
func (i *Integration) Wait(ctx context.Context, m relay.Message) (time.Duration, error) {
	return i.bot.wait(ctx, m)
}

// Send posts one message.
func (i *Integration) Send(ctx context.Context, m relay.Message) (relay.Receipt, error) {
	if i.bot != nil {
		return i.bot.send(ctx, m)
	}
	webhook, err := i.webhook()
	if err != nil {
		return relay.Receipt{}, relay.AsMisconfigured(err)
	}
	answer, err := httpclient.PostJSON(ctx, i.client, webhook, m.Body)
	if err != nil {
		return relay.Receipt{}, fmt.Errorf("post message: %w", err)
	}
	if err := judge(answer); err != nil {
		return relay.Receipt{}, fmt.Errorf("post message: %w", err)
	}
	return relay.Receipt{Detail: taken}, nil
}
