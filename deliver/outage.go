package deliver

import (
	"slices"
	"sync"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

// The bounds of an outage.
const (
	outageLanes   = 5           // so many groups that fail one after the other are the vendor's trouble, not theirs
	maxOutageHold = time.Minute // between two probes, so that the end of an outage is seen
)

// outages tell a vendor in trouble from a message in trouble. One group that fails again and again holds up no other.
// But once several groups have failed in a row and nothing was sent between, each further try would only cost a call and
// a write: their limiter is held, and one of them probes after each hold.
type outages struct {
	mu  sync.Mutex
	now map[relay.LimiterID]*outage
}

// An outage is what failed since the last success of a limiter.
type outage struct {
	lanes []outbox.Lane // those that failed, until there are enough of them
	holds int
	held  time.Time // since when the last hold is
}

// failed counts a transient failure of a try that began at the given time, and returns for how long to hold the limiter;
// zero while it may be the message's trouble. Of the tries that were under way together only one counts.
func (o *outages) failed(id relay.LimiterID, lane outbox.Lane, began, now time.Time, random float64) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.now == nil {
		o.now = make(map[relay.LimiterID]*outage)
	}
	out := o.now[id]
	if out == nil {
		out = &outage{}
		o.now[id] = out
	}
	if len(out.lanes) < outageLanes && !slices.Contains(out.lanes, lane) {
		out.lanes = append(out.lanes, lane)
	}
	if len(out.lanes) < outageLanes || !began.After(out.held) {
		return 0
	}
	out.holds++
	out.held = now
	return min(maxOutageHold, backoff(out.holds, random))
}

// over ends the outage of a limiter whose vendor answered.
func (o *outages) over(id relay.LimiterID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.now, id)
}
