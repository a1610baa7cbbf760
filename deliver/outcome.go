package deliver

import (
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

// How long a limiter is held, by what its vendor said.
const (
	defaultHold       = time.Minute     // rate limited, no delay named: the vendors' windows are a minute
	misconfiguredHold = 5 * time.Minute // then one lane probes
	maxHold           = time.Hour       // whatever a vendor asks for
)

// maxCrashes is how many leases of one head may end without a settle before it goes to the dead letters: a message that
// kills its workers must not do so for ever.
const maxCrashes = 5

// The reasons for dead letters beside relay's kinds, which say what a vendor answered.
const (
	reasonExpired     relay.Kind = "max_age"     // it failed and was older than max_age
	reasonCrashed     relay.Kind = "crashed"     // its leases ended without a settle
	reasonUndecodable relay.Kind = "undecodable" // what was stored cannot be read
)

// A failure is a send that did not succeed, as outcome judges it.
type failure struct {
	err     error
	attempt int
	age     time.Duration // of the newest notification in it
	final   bool          // a refusal is final: it was the plain fallback, or some recipients have it already
	random  float64       // in [0, 1)
}

// outcome decides what a failed send means for its lane and its limiter. It is a pure function. A refused message that
// was not yet plain is tried again at once: the caller adds the plain text.
func (f failure) outcome(maxAge time.Duration) outbox.Outcome {
	kind, after := relay.KindOf(f.err), min(maxHold, relay.RetryAfter(f.err))
	o := outbox.Outcome{Result: outbox.Retry, Reason: kind, Detail: detail(f.err)}
	switch kind {
	case relay.RateLimited:
		if o.Hold = after; o.Hold <= 0 {
			o.Hold = defaultHold
		}
		if relay.Paced(f.err) {
			o.Hold = 0
		}
	case relay.Misconfigured:
		o.Hold = misconfiguredHold
	case relay.Refused:
		if f.final {
			o.Result = outbox.Dead
		}
	case relay.Transient, relay.TokenExpired:
		o.Reason = relay.Transient // a token that is still stale after its refresh
		o.After = max(after, backoff(f.attempt, f.random))
	default:
		o.Reason = relay.Transient
		o.After = backoff(f.attempt, f.random)
	}
	if o.Result == outbox.Retry && kind != relay.Refused && f.age > maxAge {
		o = outbox.Outcome{
			Result: outbox.Dead, Reason: reasonExpired, Hold: o.Hold, HoldReason: o.Reason, Detail: o.Detail,
		}
	}
	return o
}

// maxDetail bounds the text of an error in the history.
const maxDetail = 500

func detail(err error) string {
	text := err.Error()
	if len(text) <= maxDetail {
		return text
	}
	cut := maxDetail
	for cut > 0 && text[cut]&0xC0 == 0x80 { // not within a character
		cut--
	}
	return text[:cut] + "…"
}
