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
	"slices"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/httpclient"
)

// Integration is one item of dingtalk_configs.
type Integration struct {
	name   string
	robots []*robot
	client *http.Client
	now    func() time.Time

	templates   relay.Renderer
	locale      string
	title, text relay.Template
	messageType string
	maxParts    int
	mentions    []string // as they stand in the text: @138…
	at          *at
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
	i.mention(c.Mention)
	var errs [4]error
	i.title, errs[0] = env.Templates.Text(c.Locale, c.Title)
	i.text, errs[1] = env.Templates.Text(c.Locale, c.Text)
	if c.HTTPConfig != nil {
		i.client, errs[2] = httpclient.New(c.HTTPConfig, "dingtalk")
	}
	errs[3] = i.addRobots(c)
	err := errors.Join(fault.At("title", errs[0]), fault.At("text", errs[1]), fault.At("http_config", errs[2]), errs[3])
	if err != nil {
		return relay.Setup{}, err
	}

	setup := c.Setup(relay.Limit{Messages: rateMessages, Per: ratePer})
	setup.Integration = i
	if setup.Name == "" {
		setup.Name = c.defaultName()
	}
	i.name = setup.Name
	for _, r := range i.robots {
		setup.Limiters = append(setup.Limiters, r.limiter)
	}
	return setup, nil
}

func (i *Integration) mention(m Mention) {
	if len(m.Mobiles)+len(m.UserIDs) == 0 && !m.All {
		return
	}
	i.at = &at{Mobiles: m.Mobiles, UserIDs: m.UserIDs, All: m.All}
	for _, name := range slices.Concat(m.Mobiles, m.UserIDs) {
		i.mentions = append(i.mentions, "@"+name)
	}
}

func (i *Integration) addRobots(c Config) error {
	if len(c.URLs) == 0 {
		r, err := newRobot(c.Robot, c.apiURL)
		i.robots = []*robot{r}
		return err
	}
	var errs []error
	first := map[relay.LimiterID]int{}
	for n, each := range c.URLs {
		r, err := newRobot(each.Robot, c.apiURL)
		if err == nil {
			if other, taken := first[r.limiter]; taken {
				err = fmt.Errorf("the same robot as urls[%d]", other)
			}
		}
		if err != nil {
			errs = append(errs, fault.At(fmt.Sprintf("urls[%d]", n), err))
			continue
		}
		first[r.limiter] = n
		i.robots = append(i.robots, r)
	}
	return errors.Join(errs...)
}

// defaultName is that of the robot, or of the first of a pool.
func (c *Config) defaultName() string {
	if len(c.URLs) > 0 {
		return c.URLs[0].robotName()
	}
	return c.robotName()
}

// Destination is the robot's group, the same for every notification.
func (i *Integration) Destination(*relay.Notification) (relay.Destination, error) {
	return relay.Destination{Key: i.name}, nil
}

// Send posts one message through the robot whose slot was claimed.
func (i *Integration) Send(ctx context.Context, m relay.Message) (relay.Receipt, error) {
	r := i.robot(m.Limiter)
	u, err := r.request(i.now())
	if err != nil {
		return relay.Receipt{}, relay.AsMisconfigured(fmt.Errorf("dingtalk: %w", err))
	}
	resp, err := httpclient.PostJSON(ctx, i.client, u.String(), m.Body)
	if err != nil {
		return relay.Receipt{}, fmt.Errorf("dingtalk: post message: %w", err)
	}
	if err := r.judge(classify(resp, u)); err != nil {
		return relay.Receipt{}, fmt.Errorf("dingtalk: post message: %w", err)
	}
	return relay.Receipt{Detail: "errcode 0"}, nil
}

// robot is the one with the limiter, or the first.
func (i *Integration) robot(limiter relay.LimiterID) *robot {
	for _, r := range i.robots {
		if r.limiter == limiter {
			return r
		}
	}
	return i.robots[0]
}

// judge lets the first refusal of a signature for its time pass as transient: the next request is signed anew. When that
// does not help, the clock of this host is wrong, and a person must act.
func (r *robot) judge(err error) error {
	stale := errors.Is(err, errStale)
	if stale && !r.stale.Swap(true) {
		return relay.AsTransient(err)
	}
	r.stale.Store(stale)
	return err
}
