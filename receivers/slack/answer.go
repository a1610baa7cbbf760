package slack

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/httpclient"
)

// taken is the whole body of an answer when Slack took the message.
const taken = "ok"

// ratePause is how long to wait when Slack says too many but not for how long: its limit is one message per second.
const ratePause = time.Second

// judge returns nil only for status 200 with the body "ok". Everything else is an error of its kind: the error word
// decides, where Slack gives one that we know, else the status.
// https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors
func judge(a *httpclient.Response) error {
	if a.Status == http.StatusOK && string(a.Body) == taken {
		return nil
	}
	word, wait := read(a)
	err := fmt.Errorf("%d %s", a.Status, http.StatusText(a.Status))
	if word != "" {
		err = fmt.Errorf("%w: %s", err, word)
	}
	kind := kindOf(word)
	switch {
	case a.Status == http.StatusTooManyRequests || kind == relay.RateLimited:
		return relay.AsRateLimited(err, wait)
	case a.Status/100 == 5:
		return &relay.Error{Kind: relay.Transient, RetryAfter: a.RetryAfter(), Err: err}
	case kind != "":
		return &relay.Error{Kind: kind, Err: err}
	case a.Status/100 == 2:
		return relay.AsTransient(fmt.Errorf("%w: unexpected answer", err)) // a proxy on the way, perhaps
	}
	switch a.Status {
	case http.StatusRequestTimeout:
		return relay.AsTransient(err)
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return relay.AsRefused(err)
	}
	return relay.AsMisconfigured(err) // no webhook is there, or a redirect leads elsewhere
}

// read finds the error word of an answer: the body itself, or the field error of JSON. It also finds how long to wait:
// the header Retry-After, else the field retry_after.
func read(a *httpclient.Response) (word string, wait time.Duration) {
	var body struct {
		Error      string  `json:"error"`
		RetryAfter float64 `json:"retry_after"` // seconds
	}
	word = strings.TrimSpace(string(a.Body))
	if json.Unmarshal(a.Body, &body) == nil {
		word = body.Error
	}
	if !isWord(word) {
		word = ""
	}
	if wait = a.RetryAfter(); wait == 0 {
		wait = time.Duration(body.RetryAfter * float64(time.Second))
	}
	if wait <= 0 {
		wait = ratePause
	}
	return word, wait
}

// isWord reports whether s is short and harmless enough to be shown: a bare error word, not a page of HTML.
func isWord(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// kindOf is the kind of an error word; empty when the word is not known.
func kindOf(word string) relay.Kind {
	switch word {
	case "no_service", "no_service_id", "no_team", "team_disabled", "no_active_hooks", "invalid_token",
		"action_prohibited", "posting_to_general_channel_denied", "channel_is_archived", "channel_not_found",
		"user_not_found":
		return relay.Misconfigured
	case "invalid_payload", "no_text", "missing_text_or_fallback_or_attachments", "invalid_blocks",
		"invalid_blocks_format", "invalid_attachments", "too_many_attachments", "msg_too_long", "msg_blocks_too_long",
		"attachment_payload_limit_exceeded":
		return relay.Refused
	case "rate_limited", "ratelimited", "message_limit_exceeded":
		return relay.RateLimited
	case "rollup_error", "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org":
		return relay.Transient
	}
	return ""
}
