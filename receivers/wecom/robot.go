package wecom

import (
	"errors"
	"net/url"
	"strings"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/secret"
)

// robot is where to send: one credential, one limiter.
type robot struct {
	limiter relay.LimiterID
	url     secret.Value
	api     string // where key belongs to; empty when url is given
	key     secret.Value
}

func newRobot(c Robot, api string) (*robot, error) {
	r := &robot{url: secret.Of(c.URL, c.URLFile), key: secret.Of(c.Key, c.KeyFile)}
	at := "url_file"
	if r.url.IsZero() {
		r.api, at = api, "key_file"
	}
	u, err := r.address()
	if err != nil {
		return nil, fault.At(at, err)
	}
	r.limiter = relay.LimiterID("wecom/" + secret.ID(u.Query().Get("key")))
	return r, nil
}

// address is the robot's URL as it is configured now.
func (r *robot) address() (*url.URL, error) {
	if r.api != "" {
		key, err := r.key.Reveal()
		if err != nil {
			return nil, err
		}
		return parse(strings.TrimSuffix(r.api, "/") + "/webhook/send?key=" + url.QueryEscape(key))
	}
	text, err := r.url.Reveal()
	if err != nil {
		return nil, err
	}
	return parse(text)
}

// parse reads a robot's URL. Its errors do not show it.
func parse(text string) (*url.URL, error) {
	if !isRobotURL(text) {
		return nil, errors.New("must be an http or https URL with a key")
	}
	return url.Parse(text)
}
