package dingtalk

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/httpclient"
	"github.com/alertrelay/relay/internal/split"
)

// DingTalk's pauses.
// https://open.dingtalk.com/document/development/custom-robots-send-group-messages
const (
	robotBan = 10 * time.Minute // for a robot that sent more than 20 messages in a minute
	hostBan  = 5 * time.Minute  // for an address that made more than 10,000 calls in 20 seconds
)

// answer is what DingTalk answers, success or not, under status 200.
type answer struct {
	Code    code   `json:"errcode"`
	Message string `json:"errmsg"`
	// Punish is deny when the caller's address is throttled. There is usually no errcode then.
	Punish string `json:"punish"`
}

// code is an errcode: a number, or a number in quotes as in a sample of the documentation. Empty when absent.
type code string

// UnmarshalJSON reads a number, in quotes or not.
func (c *code) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	if text == "null" {
		return nil
	}
	if _, err := strconv.Atoi(text); err != nil {
		return errors.New("errcode is not a number")
	}
	*c = code(text)
	return nil
}

// classify turns an answer into an error of its kind, nil when the message was taken. The error does not show the token of
// the robot's URL.
func classify(resp *httpclient.Response, robot *url.URL) error {
	if resp.Status/100 != 2 {
		// DingTalk answers 200 even to errors: any other status is from something in between.
		return relay.AsTransient(fmt.Errorf("status %d", resp.Status))
	}
	var a answer
	if err := json.Unmarshal(resp.Body, &a); err != nil {
		return relay.AsTransient(fmt.Errorf("read answer: %w", err))
	}
	switch {
	case a.Punish != "" && a.Code.kind() != relay.RateLimited:
		return relay.AsRateLimited(errors.New("calls from this address are throttled"), hostBan)
	case a.Code == "":
		return relay.AsTransient(errors.New("answer without errcode"))
	case a.Code == "0":
		return nil
	}
	err := fmt.Errorf("errcode %s: %s", a.Code, a.label(robot.Query().Get("access_token")))
	if a.stale() {
		err = fmt.Errorf("%w: %w", errStale, err)
	}
	kind := a.Code.kind()
	if kind == relay.RateLimited {
		return relay.AsRateLimited(err, robotBan)
	}
	return &relay.Error{Kind: kind, Err: err}
}

// label is the answer's text for a person, in one bounded line.
func (a answer) label(token string) string {
	text := strings.Join(strings.Fields(a.Message), " ")
	if token != "" {
		text = strings.ReplaceAll(text, token, "<secret>")
	}
	return split.Text(text, maxLabel)
}

// maxLabel bounds the text of an answer in an error, in bytes. DingTalk's are below it.
const maxLabel = 500

// errStale is DingTalk's refusal of a signature for its time: more than an hour from its own clock.
var errStale = errors.New("signature out of time")

// stale reports whether an answer is errStale. Code 310000 has several reasons, told apart by text alone; that of a wrong
// signature mentions the time stamp too.
func (a answer) stale() bool {
	return a.Code == "310000" && !strings.Contains(a.Message, "签名不匹配") &&
		(strings.Contains(a.Message, "invalid timestamp") || strings.Contains(a.Message, "过期"))
}

// kind says what an errcode means, apart from 0.
// https://open.dingtalk.com/document/development/custom-robots-send-group-messages, and codes seen in practice.
func (c code) kind() relay.Kind {
	switch c {
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
