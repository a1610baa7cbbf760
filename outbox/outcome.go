package outbox

import (
	"cmp"

	"github.com/alertrelay/relay"
)

// Ends tells whether a settle with this outcome ends the items it names.
func (o Outcome) Ends() bool {
	return len(o.Items) > 0 && (o.Result == Dead || o.Result == Sent && len(o.Rest) == 0)
}

// Slot tells whether a settle with this outcome uses up the slot that was claimed.
func (o Outcome) Slot() bool { return o.Result != Release && !o.NoSlot }

// HeldFor is why the limiter is held, if it is.
func (o Outcome) HeldFor() relay.Kind { return cmp.Or(o.HoldReason, o.Reason) }

// Counts tells whether a settle with this outcome counts as an attempt: a vendor's request to pause does not.
func (o Outcome) Counts() bool { return o.Result == Retry && o.Reason != relay.RateLimited }
