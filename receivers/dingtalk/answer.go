package dingtalk

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/httpclient"
	"github.com/alertrelay/relay/internal/robots"
)

// DingTalk's pauses.
// https://open.dingtalk.com/document/development/custom-robots-send-group-messages
const (
	robotBan = 10 * time.Minute // for a robot that sent more than 20 messages in a minute
	hostBan  = 5 * time.Minute  // for an address that made more than 10,000 calls in 20 seconds
)

// answer is what DingTalk answers, success or not, under status 200.
type answer struct {
	Code    robots.Code `json:"errcode"`
	Message string      `json:"errmsg"`
	// Punish is deny when the caller's address is throttled. There is usually no errcode then.
	Punish string `json:"punish"`
}

// classify turns an answer into an error of its kind, nil when the message was taken. The error does not
// show token.
func classify(resp *httpclient.Response, token string) error {
	var a answer
	if err := robots.Decode(resp, &a); err != nil {
		return err
	}
	switch {
	case a.Punish != "" && kindOf(a.Code) != relay.RateLimited:
		return relay.AsRateLimited(errors.New("calls from this address are throttled"), hostBan)
	case a.Code == "":
		return relay.AsTransient(errors.New("answer without errcode"))
	case a.Code == "0":
		return nil
	}
	err := fmt.Errorf("errcode %s: %s", a.Code, robots.Label(a.Message, token))
	if a.stale() {
		err = fmt.Errorf("%w: %w", errStale, err)
	}
	kind := kindOf(a.Code)
	if kind == relay.RateLimited {
		return relay.AsRateLimited(err, robotBan)
	}
	return &relay.Error{Kind: kind, Err: err}
}

// errStale is DingTalk's refusal of a signature for its time: more than an hour from its own clock.
var errStale = errors.New("signature out of time")

// stale reports whether an answer is errStale. Code 310000 has several reasons, told apart by text alone; that of a wrong
// signature mentions the time stamp too.
func (a answer) stale() bool {
	return a.Code == "310000" && !strings.Contains(a.Message, "签名不匹配") &&
		(strings.Contains(a.Message, "invalid timestamp") || strings.Contains(a.Message, "过期"))
}

// kindOf says what an errcode means, apart from 0.
// https://open.dingtalk.com/document/development/custom-robots-send-group-messages, and codes seen in practice.
func kindOf(code robots.Code) relay.Kind {
	switch code {
	case "130101", "410100": // more than 20 messages in a minute
		return relay.RateLimited

	case "310000": // a security setting: keyword, signature, address
		return relay.Misconfigured
	case "300001", "300005", "400101": // the token does not exist
		return relay.Misconfigured
	case "400013", "400102", "400106": // the group is dissolved; the robot is disabled; it was removed
		return relay.Misconfigured
	case "90020", "90030": // the organisation's calls of this month are used up
		return relay.Misconfigured
	case "43002", "43004", "43007": // something in between changes method or headers; authorisation missing
		return relay.Misconfigured
	case "88", "40001", "40014", "42001": // a token of an app, which a robot has not
		return relay.Misconfigured

	case "40035": // a parameter is missing, or not as it should be
		return relay.Refused
	case "400105": // message type not supported
		return relay.Refused
	case "430101", "430102", "430103", "430104": // unsafe link, unfit text, image or content
		return relay.Refused
	case "460101", "101002": // longer than 20,000 bytes
		return relay.Refused
	}
	return relay.Transient // -1 busy, 90001 to 90018 limits of the platform, and whatever is new
}
