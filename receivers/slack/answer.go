package slack

import (
	"bytes"
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
	return kinded(a, word, wait, err)
}

// kinded gives an error its kind: the error word decides, where Slack gives one that we know, else the status.
func kinded(a *httpclient.Response, word string, wait time.Duration, err error) error {
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
	return relay.AsMisconfigured(err) // nobody is there, or a redirect leads elsewhere
}

// judgeCall reads the answer of a method of the Web API: where the message is, or an error of its kind, errGone among
// them. https://docs.slack.dev/apis/web-api/using-the-slack-web-api#responses
func judgeCall(a *httpclient.Response) (place, error) {
	answer := readCall(a.Body)
	if a.Status == http.StatusOK && answer.ok {
		return answer.at, nil
	}
	word, wait := read(a)
	if isWord(answer.word) {
		word = answer.word
	}
	err := fmt.Errorf("%d %s", a.Status, http.StatusText(a.Status))
	if word != "" {
		err = fmt.Errorf("%w: %s", err, word)
	}
	if a.Status/100 == 2 && isGone(word) {
		return place{}, fmt.Errorf("%w: %w", errGone, err)
	}
	return place{}, kinded(a, word, wait, err)
}

// A callAnswer is what counts of an answer.
type callAnswer struct {
	ok   bool
	word string
	at   place
}

// readCall reads an answer key by key, because it ends with the whole message and may be cut off there.
func readCall(body []byte) callAnswer {
	var out callAnswer
	d := json.NewDecoder(bytes.NewReader(body))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return out
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			break
		}
		var into any = new(json.RawMessage)
		switch key {
		case "ok":
			into = &out.ok
		case "error":
			into = &out.word
		case "channel":
			into = &out.at.Channel
		case "ts":
			into = &out.at.TS
		}
		if d.Decode(into) != nil {
			break
		}
	}
	return out
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
		"user_not_found",
		// of a bot: its token, and the channel
		"not_authed", "invalid_auth", "account_inactive", "token_revoked", "token_expired", "missing_scope", "no_permission",
		"access_denied", "org_login_required", "ekm_access_denied", "team_access_not_granted", "not_allowed_token_type",
		"not_in_channel", "is_archived", "is_inactive", "restricted_action", "restricted_action_read_only_channel",
		"restricted_action_thread_only_channel", "restricted_action_non_threadable_channel", "messages_tab_disabled":
		return relay.Misconfigured
	case "invalid_payload", "no_text", "missing_text_or_fallback_or_attachments", "invalid_blocks",
		"invalid_blocks_format", "invalid_attachments", "too_many_attachments", "msg_too_long", "msg_blocks_too_long",
		"attachment_payload_limit_exceeded", "metadata_too_large", "markdown_text_conflict", "invalid_arguments",
		"cannot_reply_to_message", "block_mismatch":
		return relay.Refused
	case "rate_limited", "ratelimited", "message_limit_exceeded":
		return relay.RateLimited
	case "rollup_error", "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org",
		"update_failed":
		return relay.Transient
	}
	return ""
}
