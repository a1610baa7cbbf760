// Package wecom sends to WeCom (企业微信): to groups through their robots, and to members as an application of the
// organisation. It is one of the integrations at the end of the path: it renders a delivery into messages that WeCom
// takes, and makes one call for each.
//
// It promises that a message counts as sent only when WeCom's answer says errcode 0: WeCom answers 200 to errors as
// well. Neither the robot's key nor the application's secret and token show in an error or a message.
//
// https://developer.work.weixin.qq.com/document/path/91770
package wecom

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/httpclient"
	"github.com/alertrelay/relay/internal/robots"
)

// Integration is one item of wecom_configs.
type Integration struct {
	writer

	name      string
	robots    robots.Pool[*robots.Robot]
	client    *http.Client
	imageFile string
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
	if c.IsApp() {
		return NewApp(c, AppForm{DuplicateCheck: true}, env)
	}
	i := &Integration{client: env.HTTPClient, imageFile: string(c.ImageFile)}
	var errs [3]error
	i.writer, errs[0] = newWriter(c, env)
	if c.HTTPConfig != nil {
		i.client, errs[1] = httpclient.New(c.HTTPConfig, "wecom")
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

// Send posts one message through the robot whose slot was claimed. A file that WeCom does not find any more it uploads
// once more.
func (i *Integration) Send(ctx context.Context, m relay.Message) (relay.Receipt, error) {
	u, err := i.robots.With(m.Limiter).URL()
	if err != nil {
		return relay.Receipt{}, relay.AsMisconfigured(fmt.Errorf("wecom: %w", err))
	}
	receipt, err := i.post(ctx, u, m.Body)
	if isMedia(err) {
		receipt, err = i.post(ctx, u, m.Body)
	}
	if err != nil {
		return relay.Receipt{}, fmt.Errorf("wecom: %w", err)
	}
	return receipt, nil
}

func (i *Integration) post(ctx context.Context, robot *url.URL, content []byte) (relay.Receipt, error) {
	content, leftOut, err := i.finish(ctx, robot, content)
	if err != nil {
		return relay.Receipt{}, fmt.Errorf("upload file: %w", err)
	}
	if leftOut != "" {
		return relay.Receipt{Detail: leftOut}, nil
	}
	resp, err := httpclient.PostJSON(ctx, i.client, robot.String(), content)
	if err != nil {
		return relay.Receipt{}, fmt.Errorf("post message: %w", err)
	}
	if err := classify(resp, robot.Query().Get(tokenKey)); err != nil {
		return relay.Receipt{}, fmt.Errorf("post message: %w", err)
	}
	return relay.Receipt{Detail: "errcode 0"}, nil
}
