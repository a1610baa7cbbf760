package email

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/textproto"
	"strings"
	"time"

	"github.com/alertrelay/relay"
)

// maxReplyRunes bounds what is kept of a server's answer.
const maxReplyRunes = 300

// rateLimitPause is how long to wait when a server says too many but not for how long.
const rateLimitPause = time.Minute

// A stage is the part of the dialogue that an answer belongs to.
type stage string

// The stages in their order. A server that refuses for good in one of the first six refuses every mail of this
// configuration; later it refuses this mail.
const (
	stageConnect  stage = "connect"
	stageGreeting stage = "greeting"
	stageHello    stage = "EHLO"
	stageTLS      stage = "STARTTLS"
	stageAuth     stage = "AUTH"
	stageSender   stage = "MAIL FROM" // a sender that is the same for every mail

	stageMail      stage = "MAIL"
	stageRecipient stage = "RCPT"
	stageData      stage = "DATA"
	stageEnd       stage = "end of data"
)

// reply turns what went wrong in a stage into an error with its kind. The reply code decides (RFC 5321 §4.2.1); an error
// without one is the network's, and transient.
func reply(ctx context.Context, at stage, err error) error {
	var answer *textproto.Error
	if errors.As(err, &answer) {
		text := fmt.Errorf("%s: %d %s", at, answer.Code, oneLine(answer.Msg, maxReplyRunes))
		kind := kindOf(at, answer)
		if kind == relay.RateLimited {
			return relay.AsRateLimited(text, rateLimitPause)
		}
		return &relay.Error{Kind: kind, Err: &answerError{text}}
	}
	if ctx.Err() != nil {
		return relay.AsTransient(fmt.Errorf("%s: %w", at, context.Cause(ctx)))
	}
	err = fmt.Errorf("%s: %w", at, err)
	if untrusted(err) {
		return relay.AsMisconfigured(err)
	}
	return relay.AsTransient(err)
}

// An answerError is an error that the server put into words, unlike a lost connection.
type answerError struct{ error }

func answered(err error) bool {
	var a *answerError
	return errors.As(err, &a) || relay.KindOf(err) == relay.RateLimited
}

// kindOf reads a reply code: https://www.rfc-editor.org/rfc/rfc5321#section-4.2 and
// https://www.rfc-editor.org/rfc/rfc4954#section-6.
func kindOf(at stage, answer *textproto.Error) relay.Kind {
	switch code := answer.Code; {
	case code/100 == 4:
		return relay.Transient
	case code/100 != 5:
		return relay.Transient // out of step: a new connection starts afresh
	case meansLater(answer.Msg) != "":
		return meansLater(answer.Msg)
	case code == 530, code == 534, code == 535, code == 538:
		return relay.Misconfigured
	case code == 552 && at == stageRecipient:
		return relay.Transient // too many recipients, to be read as 452: RFC 5321 §4.5.3.1.10
	case code == 552:
		return relay.Refused // this mail is too large
	}
	switch at {
	case stageConnect, stageGreeting, stageHello, stageTLS, stageAuth, stageSender:
		return relay.Misconfigured
	default:
		return relay.Refused
	}
}

// meansLater knows providers that put "later" into a code that means "never". It is the one place where words decide,
// because those providers leave nothing else to go by.
//
// QQ Mail and Tencent exmail answer 550 to frequency limits, and to a mailbox they guard for a while.
func meansLater(text string) relay.Kind {
	text = strings.ToLower(text)
	switch {
	case strings.Contains(text, "sender frequency limited"),
		strings.Contains(text, "domain frequency limited"),
		strings.Contains(text, "connection frequency limited"):
		return relay.RateLimited
	case strings.Contains(text, "mailbox unavailable or access denied"):
		return relay.Transient
	}
	return ""
}

// untrusted reports whether TLS could not be agreed on, which no retry mends: a certificate nobody vouches for, no common
// version, or no TLS at all.
func untrusted(err error) bool {
	var (
		certificate *tls.CertificateVerificationError
		alert       tls.AlertError
		header      tls.RecordHeaderError
	)
	return errors.As(err, &certificate) || errors.As(err, &alert) || errors.As(err, &header)
}
