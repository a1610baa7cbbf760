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
	"github.com/alertrelay/relay/internal/robots"
	"github.com/alertrelay/relay/internal/secret"
)

// tokenKey is what DingTalk calls a robot's credential, in its webhook URL and in the configuration.
const tokenKey = "access_token"

// robot is where and how to send.
type robot struct {
	*robots.Robot

	secret secret.Value
	// stale says that DingTalk refused the last signature for its time.
	stale atomic.Bool
}

// open makes the item's robot, or its pool.
func (c *Config) open() (robots.Pool[*robot], error) {
	open := func(r PoolRobot) (*robot, error) {
		return newRobot(r.Robot, strings.TrimSuffix(c.apiURL, "/")+"/robot/send")
	}
	if len(c.URLs) > 0 {
		return robots.OpenPool(c.URLs, open)
	}
	r, err := open(PoolRobot{c.Robot})
	return robots.Pool[*robot]{r}, err
}

func newRobot(c Robot, endpoint string) (*robot, error) {
	address, err := c.credential().Open(endpoint)
	if err != nil {
		return nil, err
	}
	r := &robot{Robot: address, secret: secret.Of(c.Secret, c.SecretFile)}
	if _, err := r.secret.Reveal(); err != nil {
		return nil, fault.At("secret_file", err)
	}
	return r, nil
}

func (r *Robot) credential() robots.Credential {
	return robots.Credential{
		Vendor: "dingtalk", Key: tokenKey, Noun: "an access_token",
		URL: r.URL, URLFile: r.URLFile, Token: r.AccessToken, TokenFile: r.AccessTokenFile,
	}
}

// request is the URL to post to at the time now, signed when the robot has a secret. A signature is good for an hour
// from now, so each request has its own.
// https://open.dingtalk.com/document/dingstart/customize-robot-security-settings
func (r *robot) request(now time.Time) (*url.URL, error) {
	u, err := r.URL()
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
