// Package wecom sends to WeCom (企业微信) groups through their robots. It is one of the integrations at the end of the
// path: it renders a delivery into messages that WeCom takes, and makes one call for each.
//
// It promises that a message counts as sent only when WeCom's answer says errcode 0: WeCom answers 200 to errors as
// well. The robot's key shows in no error and no message.
//
// https://developer.work.weixin.qq.com/document/path/91770
package wecom

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/httpclient"
	"github.com/alertrelay/relay/internal/robots"
)

// Integration is one item of wecom_configs.
type Integration struct {
	name   string
	robots robots.Pool[*robots.Robot]
	client *http.Client

	templates   relay.Renderer
	locale      string
	title, text relay.Template
	twin        relay.Template // nil without text_twin
	messageType string
	maxParts    int
	mention     Mention
	externalURL string
}

var _ relay.Integration = (*Integration)(nil)

// rateLimit is what a robot may send; beyond it WeCom takes nothing for a minute.
// https://developer.work.weixin.qq.com/document/path/91770
const (
	rateMessages = 20
	ratePer      = time.Minute
)

// New makes the integration of a valid c. Its error names the keys at fault.
func New(c Config, env relay.Env) (relay.Setup, error) {
	i := &Integration{
		client:      env.HTTPClient,
		templates:   env.Templates,
		locale:      c.Locale,
		messageType: c.MessageType,
		maxParts:    c.Parts(),
		mention:     c.Mention,
		externalURL: env.ExternalURL,
	}
	var errs [5]error
	i.title, errs[0] = env.Templates.Text(c.Locale, c.Title)
	i.text, errs[1] = env.Templates.Text(c.Locale, c.Text)
	if c.TextTwin {
		i.twin, errs[2] = env.Templates.Text(c.Locale, DefaultPlain)
	}
	if c.HTTPConfig != nil {
		i.client, errs[3] = httpclient.New(c.HTTPConfig, "wecom")
	}
	i.robots, errs[4] = c.open()
	err := errors.Join(fault.At("title", errs[0]), fault.At("text", errs[1]), fault.At("text_twin", errs[2]),
		fault.At("http_config", errs[3]), errs[4])
	if err != nil {
		return relay.Setup{}, err
	}

	setup := c.Setup(relay.Limit{Messages: rateMessages, Per: ratePer})
	setup.Integration = i
	if setup.Name == "" {
		setup.Name = i.robots[0].Name()
	}
	i.name = setup.Name
	setup.Limiters = i.robots.Limiters()
	return setup, nil
}

// Destination is the robot's group, the same for every notification.
func (i *Integration) Destination(*relay.Notification) (relay.Destination, error) {
	return relay.Destination{Key: i.name}, nil
}

// Send posts one message through the robot whose slot was claimed.
func (i *Integration) Send(ctx context.Context, m relay.Message) (relay.Receipt, error) {
	u, err := i.robots.With(m.Limiter).URL()
	if err != nil {
		return relay.Receipt{}, relay.AsMisconfigured(fmt.Errorf("wecom: %w", err))
	}
	resp, err := httpclient.PostJSON(ctx, i.client, u.String(), m.Body)
	if err != nil {
		return relay.Receipt{}, fmt.Errorf("wecom: post message: %w", err)
	}
	if err := classify(resp, u.Query().Get(tokenKey)); err != nil {
		return relay.Receipt{}, fmt.Errorf("wecom: post message: %w", err)
	}
	return relay.Receipt{Detail: "errcode 0"}, nil
}
