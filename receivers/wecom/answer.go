package wecom

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/httpclient"
	"github.com/alertrelay/relay/internal/split"
)

// ban is how long WeCom takes nothing from a robot that sent too much: as long as the window it exceeded.
// https://developer.work.weixin.qq.com/document/path/90312
const ban = time.Minute

// answer is what WeCom answers, success or not, under status 200.
type answer struct {
	Code code `json:"errcode"`
	// Message is a label only: a success may read "ok. Warning: wrong json format. ".
	Message string `json:"errmsg"`
}

// code is an errcode, as it is written. Empty when absent.
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

// classify turns an answer into an error of its kind, nil when the message was taken. The error does not show key.
func classify(resp *httpclient.Response, key string) error {
	if resp.Status/100 != 2 {
		// WeCom answers 200 even to errors: any other status is from something in between.
		return relay.AsTransient(fmt.Errorf("status %d", resp.Status))
	}
	var a answer
	if err := json.Unmarshal(resp.Body, &a); err != nil {
		return relay.AsTransient(fmt.Errorf("read answer: %w", err))
	}
	switch a.Code {
	case "":
		return relay.AsTransient(errors.New("answer without errcode"))
	case "0":
		return nil
	}
	err := fmt.Errorf("errcode %s: %s", a.Code, a.label(key))
	kind := a.Code.kind()
	if kind == relay.RateLimited {
		return relay.AsRateLimited(err, ban)
	}
	return &relay.Error{Kind: kind, Err: err}
}

// label is the answer's text for a person, in one bounded line, without its tail: our own address and a link.
func (a answer) label(key string) string {
	text, _, _ := strings.Cut(a.Message, ", hint:")
	text = strings.Join(strings.Fields(text), " ")
	if key != "" {
		text = strings.ReplaceAll(text, key, "<secret>")
	}
	return split.Text(text, maxLabel)
}

// maxLabel bounds the text of an answer in an error, in bytes. WeCom's are below it.
const maxLabel = 500

// kind says what an errcode means, apart from 0.
// https://developer.work.weixin.qq.com/document/path/90313, and codes seen in practice.
func (c code) kind() relay.Kind {
	switch c {
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
