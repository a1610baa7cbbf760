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
	err := fmt.Errorf("errcode %s: %s", a.Code, robots.Label(text, key))
	if a.Code == "40007" {
		err = fmt.Errorf("%w: %w", errMedia, err)
	}
	kind := kindOf(a.Code)
	if kind == relay.RateLimited {
		return relay.AsRateLimited(err, ban)
	}
	return &relay.Error{Kind: kind, Err: err}
}

// errMedia is WeCom's word for a file that it does not have, or not any more.
var errMedia = errors.New("unknown file")

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
