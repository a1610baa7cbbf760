package outbox

import "github.com/alertrelay/relay"

// Ends tells whether a settle with this outcome ends the items it names.
func (o Outcome) Ends() bool {
	return len(o.Items) > 0 && (o.Result == Dead || o.Result == Sent && len(o.Rest) == 0)
}

// Counts tells whether a settle with this outcome counts as an attempt: a vendor's request to pause does not.
func (o Outcome) Counts() bool { return o.Result == Retry && o.Reason != relay.RateLimited }
