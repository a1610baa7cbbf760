// Package robots is what DingTalk's and WeCom's group robots have in common: a robot is a webhook URL with a credential
// in it, several robots of one group make a pool, and the vendor answers 200 with an errcode. The two integrations send
// through it; whatever the vendors do differently stays in their own folders.
//
// It promises that no error shows a URL or a credential.
package robots

import (
	"errors"
	"net/url"

	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/secret"
)

// A Credential is a robot as it stands in the configuration: by its webhook URL, or by the token in it.
type Credential struct {
	Vendor string // the first half of limiter ids: dingtalk
	Key    string // what the vendor calls the token, in the URL and in the configuration: access_token
	Noun   string // the same with its article, in the text of a fault: an access_token

	URL       secret.String
	URLFile   secret.File
	Token     secret.String
	TokenFile secret.File
}

// IsZero reports whether no robot is given.
func (c Credential) IsZero() bool { return c.ways() == 0 }

// Validate adds what is wrong to f.
func (c Credential) Validate(f *fault.List) {
	switch n := c.ways(); {
	case n == 0:
		f.Addf("one of url, url_file, %s & %[1]s_file must be configured", c.Key)
	case n > 1:
		f.Addf("at most one of url, url_file, %s & %[1]s_file must be configured", c.Key)
	}
	if !c.URL.IsZero() {
		if _, err := c.parse(c.URL.Reveal()); err != nil {
			f.In("url").Add(err)
		}
	}
}

// ways counts the ways in which the robot is given.
func (c Credential) ways() int {
	n := 0
	for _, given := range []bool{!c.URL.IsZero(), c.URLFile != "", !c.Token.IsZero(), c.TokenFile != ""} {
		if given {
			n++
		}
	}
	return n
}

// parse reads a robot's URL.
func (c Credential) parse(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || !isHTTP(u) || u.Query().Get(c.Key) == "" {
		return nil, errors.New("must be an http or https URL with " + c.Noun)
	}
	return u, nil
}

func isHTTP(u *url.URL) bool { return (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" }

// ValidateAPI adds to f what is wrong with the URL of a vendor's API; none is fine.
func ValidateAPI(link string, f *fault.List) {
	if u, err := url.Parse(link); link != "" && (err != nil || !isHTTP(u)) {
		f.Addf("must be an http or https URL")
	}
}
