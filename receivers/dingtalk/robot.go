package dingtalk

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/secret"
)

// robot is where and how to send: one credential, one limiter.
type robot struct {
	limiter relay.LimiterID
	url     secret.Value
	api     string // where token belongs to; empty when url is given
	token   secret.Value
	secret  secret.Value
	// stale says that DingTalk refused the last signature for its time.
	stale atomic.Bool
}

func newRobot(c Robot, api string) (*robot, error) {
	r := &robot{
		url:    secret.Of(c.URL, c.URLFile),
		token:  secret.Of(c.AccessToken, c.AccessTokenFile),
		secret: secret.Of(c.Secret, c.SecretFile),
	}
	key := "url_file"
	if r.url.IsZero() {
		r.api, key = api, "access_token_file"
	}
	u, err := r.address()
	if err != nil {
		return nil, fault.At(key, err)
	}
	if _, err := r.secret.Reveal(); err != nil {
		return nil, fault.At("secret_file", err)
	}
	r.limiter = relay.LimiterID("dingtalk/" + secret.ID(u.Query().Get("access_token")))
	return r, nil
}

// address is the robot's URL as it is configured now.
func (r *robot) address() (*url.URL, error) {
	if r.api != "" {
		token, err := r.token.Reveal()
		if err != nil {
			return nil, err
		}
		return parse(strings.TrimSuffix(r.api, "/") + "/robot/send?access_token=" + url.QueryEscape(token))
	}
	text, err := r.url.Reveal()
	if err != nil {
		return nil, err
	}
	return parse(text)
}

// parse reads a robot's URL. Its errors do not show it.
func parse(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || !isHTTP(u) || u.Query().Get("access_token") == "" {
		return nil, errors.New("must be an http or https URL with an access_token")
	}
	return u, nil
}

// request is the URL to post to at the time now, signed when the robot has a secret. A signature is good for an hour
// from now, so each request has its own.
// https://open.dingtalk.com/document/dingstart/customize-robot-security-settings
func (r *robot) request(now time.Time) (*url.URL, error) {
	u, err := r.address()
	if err != nil {
		return nil, err
	}
	key, err := r.secret.Reveal()
	if err != nil {
		return nil, err
	}
	if key == "" {
		return u, nil
	}
	timestamp := strconv.FormatInt(now.UnixMilli(), 10)
	q := u.Query()
	q.Set("timestamp", timestamp)
	q.Set("sign", sign(timestamp, key))
	u.RawQuery = q.Encode()
	return u, nil
}

// sign is the signature of a request: HMAC-SHA256 over timestamp, line feed and key, in Base64.
func sign(timestamp, key string) string {
	mac := hmac.New(sha256.New, []byte(key))
	_, _ = fmt.Fprintf(mac, "%s\n%s", timestamp, key)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
