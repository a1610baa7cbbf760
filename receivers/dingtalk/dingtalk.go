// Package dingtalk sends to DingTalk (钉钉) groups: through their custom robots, and through the robot of an application. It
// is one of the integrations at the end of the path: it renders a delivery into messages that DingTalk takes, and makes
// one call for each.
//
// It promises that a message counts as sent only when DingTalk's answer says so in its body: a custom robot answers 200 to
// errors as well. No token and no secret shows in an error or a message.
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
	writer

	name   string
	robots robots.Pool[*robot]
	client *http.Client
	now    func() time.Time
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
	if c.IsApp() {
		return newApp(c, env)
	}
	i := &Integration{client: env.HTTPClient, now: env.Now}
	var errs [3]error
	i.writer, errs[0] = newWriter(c, env)
	if c.HTTPConfig != nil {
		i.client, errs[1] = httpclient.New(c.HTTPConfig, "dingtalk")
	}
	i.robots, errs[2] = c.open()
	if err := errors.Join(errs[0], fault.At("http_config", errs[1]), errs[2]); err != nil {
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
