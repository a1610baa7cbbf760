// Package pace keeps calls within a limit that a vendor counts across destinations, and whichever replica makes them: the
// updates of a Slack app in all its channels. It stands beside the limiters of the outbox, each of which belongs to a
// destination, and keeps what it counts in the cache that the replicas share.
//
// It promises what those promise: no window has more calls than the limit, where one counts from when it may go until a
// window after its end. Whoever has to wait is given a time of its own, so that those who wait come back one by one. Where
// clocks disagree the limit may be exceeded, and the vendor asks for a pause; but nobody waits for more than a window longer.
package pace

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/alertrelay/relay"
)

const (
	// lockFor is how long one caller may take to count; then another may.
	lockFor = 5 * time.Second
	// mostWaiting bounds those that have a time of their own; the others come back after them.
	mostWaiting = 300
	// forgotten is after how long nobody comes back who was to.
	forgotten = time.Minute
	// maxPause is the longest pause, whatever a vendor asks for.
	maxPause = time.Hour
	// doneFor is how long Done takes at most, which a lease must have room for after the call.
	doneFor = 2 * time.Second
)

// A Pace is the limit of one application. It may be used concurrently, and by several replicas with the same key, whose
// clocks agree.
type Pace struct {
	cache  relay.Cache
	key    string
	limit  relay.Limit
	atMost time.Duration
	now    func() time.Time
}

// New makes a pace. The key tells applications apart in the cache and is free of secrets. A call takes at most so long. A
// limit of 0 messages is none: then only pauses are kept.
func New(env relay.Env, key string, limit relay.Limit, atMost time.Duration) *Pace {
	return &Pace{cache: env.Cache, key: "pace/" + key, limit: limit, atMost: atMost, now: env.Now}
}

// Wait returns for how long a call has to wait. Zero means that it goes now: it counts until Done, or as long as it may
// take. Who tells those apart that wait, and is the same each time it asks. Errors are transient.
func (p *Pace) Wait(ctx context.Context, who string) (time.Duration, error) {
	var wait time.Duration
	err := p.change(ctx, func(s *state, now instant) bool {
		at := s.turn(now, p.limit, who)
		if wait = time.Duration(at - now); wait > 0 {
			s.Calls = append(s.Calls, call{Who: who, At: now, For: wait})
			return len(s.Calls) <= mostWaiting
		}
		s.Calls = append(s.Calls, call{Who: who, At: now, For: p.atMost, Goes: true})
		return p.limit.Messages > 0
	})
	return wait, err
}

// Done says that a call has ended, and for how long the vendor wants no other; zero when it does not. It
// goes on when ctx has ended, for a short time. Errors are transient.
func (p *Pace) Done(ctx context.Context, who string, pause time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), doneFor)
	defer cancel()
	return p.change(ctx, func(s *state, now instant) bool {
		at := slices.IndexFunc(s.Calls, func(c call) bool { return c.Who == who && c.Goes })
		if at >= 0 {
			s.Calls[at] = call{At: now}
		}
		asked := call{At: now, For: min(pause, maxPause)}
		longer := pause > 0 && asked.until() > s.Pause.until()
		if longer {
			s.Pause = asked
		}
		return at >= 0 || longer
	})
}

// change reads what all share, and writes it when it was changed, while nobody else does.
func (p *Pace) change(ctx context.Context, by func(*state, instant) bool) error {
	unlock, err := p.cache.Lock(ctx, p.key, lockFor)
	if err != nil {
		return relay.AsTransient(fmt.Errorf("wait to count calls: %w", err))
	}
	defer unlock()
	value, err := p.cache.Get(ctx, p.key)
	if err != nil {
		return relay.AsTransient(fmt.Errorf("read counted calls: %w", err))
	}
	var s state
	if value != nil && json.Unmarshal(value, &s) != nil {
		s = state{} // another version's: at worst the vendor asks for a pause
	}
	now := instant(p.now().UnixNano())
	ahead := s.setBack(now)
	s.forget(now, instant(p.limit.Per))
	if !by(&s, now) && !ahead {
		return nil
	}
	value, err = json.Marshal(s)
	if err == nil {
		kept := time.Duration(s.end()-now) + p.limit.Per + forgotten
		err = p.cache.Put(ctx, p.key, value, kept)
	}
	if err != nil {
		return relay.AsTransient(fmt.Errorf("count calls: %w", err))
	}
	return nil
}

// state is what the replicas share.
type state struct {
	// Pause is when the vendor wanted no more calls, and for how long.
	Pause call   `json:"pause,omitzero"`
	Calls []call `json:"calls,omitempty"`
}

// A call has ended, is under way, or waits.
type call struct {
	Who string `json:"who,omitempty"` // nobody: it has ended
	// At is when this was noted, and For how long from then it may take at most, or has to wait. A length is right whatever
	// the clock that noted it.
	At   instant       `json:"at"`
	For  time.Duration `json:"for,omitempty"`
	Goes bool          `json:"goes,omitempty"` // it is under way
}

// An instant is a time in nanoseconds since 1970.
type instant int64

func (c call) waiting() bool { return c.Who != "" && !c.Goes }

func (c call) until() instant { return c.At + instant(c.For) }

// setBack takes for noted now what was noted later, by a clock that is ahead of this one. It reports whether there was any.
func (s *state) setBack(now instant) bool {
	ahead := s.Pause.At > now
	s.Pause.At = min(s.Pause.At, now)
	for i, c := range s.Calls {
		ahead = ahead || c.At > now
		s.Calls[i].At = min(c.At, now)
	}
	return ahead
}

// forget drops the calls that do not count any more.
func (s *state) forget(now, per instant) {
	for i, c := range s.Calls {
		if c.Goes && c.until() <= now {
			s.Calls[i] = call{At: c.until()}
		}
	}
	s.Calls = slices.DeleteFunc(s.Calls, func(c call) bool {
		if c.waiting() {
			return c.until()+instant(forgotten) <= now
		}
		return !c.Goes && c.At+per <= now
	})
}

// turn is when a caller may go, who waits no more until then: behind those whose turn was before, or all when it is new.
func (s *state) turn(now instant, limit relay.Limit, who string) instant {
	place := slices.IndexFunc(s.Calls, func(c call) bool { return c.waiting() && c.Who == who })
	given := instant(math.MaxInt64)
	if place >= 0 {
		given = s.Calls[place].until()
		s.Calls = slices.Delete(s.Calls, place, place+1)
	}
	var before []instant
	for i, c := range s.Calls {
		switch {
		case c.Goes:
			before = append(before, now)
		case !c.waiting():
			before = append(before, c.At)
		case c.until() < given || c.until() == given && i < place:
			before = append(before, max(now, c.until()))
		}
	}
	at := max(now, s.Pause.until())
	if place >= 0 {
		at = max(at, given)
	}
	if n := len(before) - limit.Messages; limit.Messages > 0 && n >= 0 {
		slices.Sort(before)
		at = max(at, before[n]+instant(limit.Per))
	}
	return at
}

// end is when nothing of it is under way or waits any more.
func (s *state) end() instant {
	end := s.Pause.until()
	for _, c := range s.Calls {
		end = max(end, c.until())
	}
	return end
}
