package relay

import (
	"errors"
	"time"
)

// A Kind says what an error of a send makes the relay do. In snake_case it is the metric label reason.
type Kind string

// The kinds of errors, made where the vendor's answer is read.
const (
	// Transient: network, timeout, 5xx, and anything unclassified. Back off and try again.
	Transient Kind = "transient"
	// RateLimited: the vendor asks for a pause. Hold the limiter for the delay named; no attempt is counted.
	RateLimited Kind = "rate_limited"
	// TokenExpired: refresh the access token once, at once.
	TokenExpired Kind = "token_expired"
	// Misconfigured: token, keyword, signature, IP, robot disabled. A person must act: hold the limiter, keep its queue.
	Misconfigured Kind = "misconfigured"
	// Refused: this message can never be taken. Try the plain fallback once, then the dead letters.
	Refused Kind = "refused"
)

// Kinds lists all kinds, for metrics that exist from the start.
func Kinds() []Kind { return []Kind{Transient, RateLimited, TokenExpired, Misconfigured, Refused} }

// An Error is an error of a send with its kind.
type Error struct {
	Kind Kind
	// RetryAfter is the delay the vendor named, or its documented ban; zero when it named none.
	RetryAfter time.Duration
	// Paced says that the integration, a Pacer, keeps this pause by itself: nothing else to the destination has to wait.
	Paced bool
	// Told says that the log has it already: a token endpoint that is down is no news at each attempt.
	Told bool
	Err  error
}

// Error returns the text of the cause: the kind is for the relay, the text for a person.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// AsTransient marks err as worth a retry.
func AsTransient(err error) error { return &Error{Kind: Transient, Err: err} }

// AsRateLimited marks err as a vendor's request to pause for after.
func AsRateLimited(err error, after time.Duration) error {
	return &Error{Kind: RateLimited, RetryAfter: after, Err: err}
}

// AsTokenExpired marks err as a stale access token.
func AsTokenExpired(err error) error { return &Error{Kind: TokenExpired, Err: err} }

// AsMisconfigured marks err as one that a person must mend.
func AsMisconfigured(err error) error { return &Error{Kind: Misconfigured, Err: err} }

// AsRefused marks err as the vendor's final word on this message.
func AsRefused(err error) error { return &Error{Kind: Refused, Err: err} }

// KindOf returns the kind of err. Anything unclassified is transient: a page sent twice beats a page lost.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Transient
}

// Told tells whether the log has err already.
func Told(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Told
}

// Paced tells whether the integration keeps the pause of err by itself.
func Paced(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Paced
}

// RetryAfter returns the delay the vendor named, or zero.
func RetryAfter(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}
