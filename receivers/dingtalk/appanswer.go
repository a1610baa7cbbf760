package dingtalk

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/httpclient"
	"github.com/alertrelay/relay/internal/robots"
)

// The pauses of an application.
// https://open.dingtalk.com/document/development/how-to-process-api-throttling-on-the-dingtalk-server
const (
	sendPause = time.Minute     // for a robot that sends too fast
	callPause = 2 * time.Second // for more than 20 calls in a second
)

// classifyApp turns an answer to an application into an error of its kind, nil for success. Unlike with custom robots the
// HTTP status tells success; the body of an error has a code in words. The error does not show hide.
func classifyApp(resp *httpclient.Response, hide string) error {
	var a struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Punish  string `json:"punish"`
	}
	broken := json.Unmarshal(resp.Body, &a)
	switch {
	case a.Punish != "":
		return relay.AsRateLimited(errors.New("calls from this address are throttled"), hostBan)
	case resp.Status/100 == 2 && a.Code == "":
		return nil
	case broken != nil || a.Code == "":
		return relay.AsTransient(fmt.Errorf("status %d", resp.Status))
	}
	err := fmt.Errorf("status %d, %s: %s", resp.Status, robots.Label(a.Code, hide), robots.Label(a.Message, hide))
	switch kind := kindOfApp(a.Code); {
	case kind == relay.RateLimited && strings.HasPrefix(a.Code, "Forbidden."):
		return relay.AsRateLimited(err, callPause)
	case kind == relay.RateLimited:
		return relay.AsRateLimited(err, sendPause)
	default:
		return &relay.Error{Kind: kind, Err: err}
	}
}

// kindOfApp says what a code means to an application.
// https://open.dingtalk.com/document/development/the-robot-sends-a-group-message, and codes seen in practice.
func kindOfApp(code string) relay.Kind {
	switch code {
	case "InvalidAuthentication":
		return relay.TokenExpired
	case "send.too.fast", "send.byToken.tooFast", "too.many.group",
		"Forbidden.AccessDenied.QpsLimitForAppkeyAndApi", "Forbidden.AccessDenied.QpsLimitForApi":
		return relay.RateLimited
	case "invalidClientIdOrSecret", "keywords.not.match", "sign.not.match", "group.disbanded", "bot.stopped":
		return relay.Misconfigured
	}
	switch word, rest, _ := strings.Cut(code, "."); {
	case word == "Forbidden": // no permission, or the calls of the month are used up
		return relay.Misconfigured
	case word == "invalidParameter" && (strings.HasPrefix(rest, "robotCode") || strings.HasPrefix(rest, "openConversationId")):
		return relay.Misconfigured
	case word == "invalidParameter" || word == "param":
		return relay.Refused
	}
	return relay.Transient // system.error, and whatever is new
}
