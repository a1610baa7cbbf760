package wecom

import (
	"strings"

	"github.com/alertrelay/relay/internal/robots"
)

// tokenKey is what WeCom calls a robot's credential, in its webhook URL and in the configuration.
const tokenKey = "key"

// open makes the item's robot, or its pool.
func (c *Config) open() (robots.Pool[*robots.Robot], error) {
	open := func(r PoolRobot) (*robots.Robot, error) {
		return r.credential().Open(strings.TrimSuffix(c.apiURL, "/") + "/webhook/send")
	}
	if len(c.URLs) > 0 {
		return robots.OpenPool(c.URLs, open)
	}
	r, err := open(PoolRobot{c.Robot})
	return robots.Pool[*robots.Robot]{r}, err
}

func (r *Robot) credential() robots.Credential {
	return robots.Credential{
		Vendor: "wecom", Key: tokenKey, Noun: "a key",
		URL: r.URL, URLFile: r.URLFile, Token: r.Key, TokenFile: r.KeyFile,
	}
}
