// Package dingtalk sends to DingTalk (钉钉) groups through their custom robots. It is one of the integrations at the end
// of the path: it renders a delivery into messages that DingTalk takes, and makes one call for each.
//
// It promises that a message counts as sent only when DingTalk's answer says errcode 0: DingTalk answers 200 to errors
// as well. The robot's token and secret show in no error and no message.
//
// https://open.dingtalk.com/document/development/custom-robots-send-group-messages
package dingtalk

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

// Integration is one item of dingtalk_configs.
type Integration struct {
	name   string
	robots robots.Pool[*robot]
	client *http.Client
	now    func() time.Time

	templates   relay.Renderer
	locale      string
	title, text relay.Template
	card        card
	messageType string
	maxParts    int
	mention     mention
	keyword     string
	externalURL string
}

var _ relay.Integration = (*Integration)(nil)

// rateLimit is what a robot may send; beyond it DingTalk takes nothing for ten minutes.
// https://open.dingtalk.com/document/development/custom-robots-send-group-messages
const (
	rateMessages = 20
	ratePer      = time.Minute
)

// New makes the integration of a valid c. Its error names the keys at fault.
func New(c Config, env relay.Env) (relay.Setup, error) {
	i := &Integration{
		client:      env.HTTPClient,
		now:         env.Now,
		templates:   env.Templates,
		locale:      c.Locale,
		messageType: c.MessageType,
		maxParts:    c.Parts(),
		keyword:     c.Keyword,
		externalURL: env.ExternalURL,
	}
	var errs [6]error
	i.title, errs[0] = env.Templates.Text(c.Locale, c.Title)
	i.text, errs[1] = env.Templates.Text(c.Locale, c.Text)
	i.card, errs[2] = newCard(c, env.Templates)
	i.mention, errs[3] = newMention(c, env.Templates)
	if c.HTTPConfig != nil {
		i.client, errs[4] = httpclient.New(c.HTTPConfig, "dingtalk")
	}
	i.robots, errs[5] = c.open()
	err := errors.Join(fault.At("title", errs[0]), fault.At("text", errs[1]), errs[2], fault.At("mention", errs[3]),
		fault.At("http_config", errs[4]), errs[5])
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
	r := i.robots.With(m.Limiter)
	u, err := r.request(i.now())
	if err != nil {
		return relay.Receipt{}, relay.AsMisconfigured(fmt.Errorf("dingtalk: %w", err))
	}
	resp, err := httpclient.PostJSON(ctx, i.client, u.String(), m.Body)
	if err != nil {
		return relay.Receipt{}, fmt.Errorf("dingtalk: post message: %w", err)
	}
	if err := r.judge(classify(resp, u.Query().Get(tokenKey))); err != nil {
		return relay.Receipt{}, fmt.Errorf("dingtalk: post message: %w", err)
	}
	return relay.Receipt{Detail: "errcode 0"}, nil
}
