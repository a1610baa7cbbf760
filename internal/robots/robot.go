package robots

import (
	"net/url"
	"path"
	"strings"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/secret"
)

// A Robot is where to send: one credential, one limiter. It may be used concurrently.
type Robot struct {
	credential Credential
	endpoint   string
	limiter    relay.LimiterID
}

// Open makes the robot of a valid c. A token belongs to endpoint, the URL of the vendor's call. The error names the key
// at fault.
func (c Credential) Open(endpoint string) (*Robot, error) {
	r := &Robot{credential: c, endpoint: endpoint}
	u, err := r.URL()
	if err != nil {
		if c.byURL() {
			return nil, fault.At("url_file", err)
		}
		return nil, fault.At(c.Key+"_file", err)
	}
	r.limiter = relay.LimiterID(c.Vendor + "/" + secret.ID(u.Query().Get(c.Key)))
	return r, nil
}

func (c Credential) byURL() bool { return !secret.Of(c.URL, c.URLFile).IsZero() }

// URL is the robot's webhook URL as it is configured now: files are read anew.
func (r *Robot) URL() (*url.URL, error) {
	c := r.credential
	if c.byURL() {
		text, err := secret.Of(c.URL, c.URLFile).Reveal()
		if err != nil {
			return nil, err
		}
		return c.parse(text)
	}
	token, err := secret.Of(c.Token, c.TokenFile).Reveal()
	if err != nil {
		return nil, err
	}
	return c.parse(r.endpoint + "?" + c.Key + "=" + url.QueryEscape(token))
}

// Limiter is the id of what the vendor counts: the token.
func (r *Robot) Limiter() relay.LimiterID { return r.limiter }

// Name is the robot's default name. A file names its robot and keeps doing so when the token in it is rotated; of a URL
// or token written down there is only its hash.
func (r *Robot) Name() string {
	c := r.credential
	for _, file := range []secret.File{c.URLFile, c.TokenFile} {
		if base := path.Base(string(file)); file != "" {
			return strings.TrimSuffix(base, path.Ext(base))
		}
	}
	return secret.ID(c.URL.Reveal() + c.Token.Reveal())
}
