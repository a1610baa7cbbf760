package wecom

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/httpclient"
	"github.com/alertrelay/relay/internal/robots"
)

// ban is how long WeCom takes nothing from a robot that sent too much: as long as the window it exceeded.
// https://developer.work.weixin.qq.com/document/path/90312
const ban = time.Minute

// answer is what WeCom answers, success or not, under status 200.
type answer struct {
	Code robots.Code `json:"errcode"`
	// Message is a label only: a success may read "ok. Warning: wrong json format. ".
	Message string `json:"errmsg"`
}

// classify turns an answer into an error of its kind, nil when the message was taken. The error does not show key.
func classify(resp *httpclient.Response, key string) error {
	var a answer
	if err := robots.Decode(resp, &a); err != nil {
		return err
	}
	switch a.Code {
	case "":
		return relay.AsTransient(errors.New("answer without errcode"))
	case "0":
		return nil
	}
	text, _, _ := strings.Cut(a.Message, ", hint:") // its tail is our own address and a link
	err := &refusal{a.Code, robots.Label(text, key)}
	kind := kindOf(a.Code)
	if kind == relay.RateLimited {
		return relay.AsRateLimited(err, ban)
	}
	return &relay.Error{Kind: kind, Err: err}
}

// refusal is WeCom's own word that it has not done what it was asked.
type refusal struct {
	code robots.Code
	text string
}

func (r *refusal) Error() string { return fmt.Sprintf("errcode %s: %s", r.code, r.text) }

// isMedia reports whether WeCom does not have a file, or not any more.
func isMedia(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.code == "40007"
}

// isRefusal reports whether WeCom will not do what it was asked, however often: about the request, and not the caller.
func isRefusal(err error) bool {
	var r *refusal
	if !errors.As(err, &r) {
		return false
	}
	switch kindOfApp(r.code) {
	case relay.Refused:
		return true
	case relay.Transient:
		return r.code != "-1" && r.code != "6000" && r.code != "45033"
	default:
		return false
	}
}

// classifyApp is classify for the calls of applications.
func classifyApp(resp *httpclient.Response, token string) error {
	err := classify(resp, token)
	var r *refusal
	if !errors.As(err, &r) {
		return err
	}
	kind := kindOfApp(r.code)
	if kind == relay.RateLimited {
		return relay.AsRateLimited(r, ban)
	}
	return &relay.Error{Kind: kind, Err: r}
}

// kindOfApp says what an errcode means to an application, apart from 0.
// https://developer.work.weixin.qq.com/document/path/90313
func kindOfApp(code robots.Code) relay.Kind {
	switch code {
	case "40014", "42001": // the access token is invalid or expired; both are said of an old one
		return relay.TokenExpired
	case "40001": // a stale token, or from gettoken a wrong secret
		return relay.TokenExpired

	case "40013", "40091", "41001", "41002", "41004": // corp_id or secret wrong or missing
		return relay.Misconfigured
	case "40056", "301002", "48002", "50003", "60011": // agent_id; the application may not, or is disabled
		return relay.Misconfigured
	case "60020": // the address of the relay is not among the trusted ones
		return relay.Misconfigured

	case "60111", "46004", "40031", "40032": // no such member; the list of members is wrong or too long
		return relay.Refused
	case "81013", "82001", "82002", "82003": // nobody who could get it; too many parties or tags
		return relay.Refused
	case "86003": // no such chat
		return relay.Refused
	}
	return kindOf(code)
}

// kindOf says what an errcode means, apart from 0.
// https://developer.work.weixin.qq.com/document/path/90313, and codes seen in practice.
func kindOf(code robots.Code) relay.Kind {
	switch code {
	case "45009": // more than 20 messages in a minute
		return relay.RateLimited

	case "93000", "93004", "93008": // the key is unknown or deleted; the robot is disabled; it is not in the group
		return relay.Misconfigured

	case "40008", "44004": // message type; empty content
		return relay.Refused
	case "40058", "45002": // too long
		return relay.Refused
	case "40033", "40035", "40063", "45034": // illegal characters or parameter; empty parameter; URL without scheme
		return relay.Refused
	case "40006", "40007", "40009", "301019": // media
		return relay.Refused
	}
	return relay.Transient // -1 busy, 6000 conflict, 45033 too many at once, and whatever is new
}
