package deliver

import (
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

// targets is what one configuration says about its integrations. It never changes; a reload makes another.
type targets struct {
	all   map[relay.IntegrationID]*target
	terms map[relay.IntegrationID]outbox.Terms
	lease time.Duration
}

// A target is an integration as this package uses it.
type target struct {
	relay.Setup
	send    sender
	metrics *targetMetrics
}

func (d *Deliverer) newTargets(setups []relay.Setup) *targets {
	t := &targets{
		all:   make(map[relay.IntegrationID]*target, len(setups)),
		terms: make(map[relay.IntegrationID]outbox.Terms, len(setups)),
		lease: d.lease,
	}
	shared := sharedTerms(setups)
	for _, s := range setups {
		m := d.metrics.of(s)
		t.all[s.ID] = &target{Setup: s, send: d.stack(s, m), metrics: m}
		t.terms[s.ID] = termsOf(s, shared)
		// A stale token makes two sends of one claim.
		t.lease = max(t.lease, 2*(s.Timeout+sendMargin)+sendMargin)
	}
	return t
}

// sharedTerms returns what holds for each limiter: where integrations share one, the smallest of their bounds.
func sharedTerms(setups []relay.Setup) map[relay.LimiterID]outbox.Terms {
	shared := make(map[relay.LimiterID]outbox.Terms)
	for _, s := range setups {
		for _, id := range s.Limiters {
			terms, ok := shared[id]
			if !ok {
				terms = outbox.Terms{Limit: s.Limit, MaxInFlight: s.MaxInFlight}
			}
			shared[id] = stricter(terms, outbox.Terms{Limit: s.Limit, MaxInFlight: s.MaxInFlight})
		}
	}
	return shared
}

// digestLanes is how many groups one message tells when a vendor's limit leaves no room for one message each.
const digestLanes = 20

func termsOf(s relay.Setup, shared map[relay.LimiterID]outbox.Terms) outbox.Terms {
	terms := outbox.Terms{Limit: s.Limit, MaxInFlight: s.MaxInFlight}
	for _, id := range s.Limiters {
		terms = stricter(terms, shared[id])
	}
	terms.Backlog, terms.Limiters = s.Backlog, s.Limiters
	if s.Backlog == relay.BacklogMerge && terms.Limit.Messages > 0 && !s.Apart {
		terms.Digest = digestLanes
	}
	return terms
}

func stricter(a, b outbox.Terms) outbox.Terms {
	if b.Limit.Messages > 0 && (a.Limit.Messages == 0 || rate(b.Limit) < rate(a.Limit)) {
		a.Limit = b.Limit
	}
	if b.MaxInFlight > 0 && (a.MaxInFlight == 0 || b.MaxInFlight < a.MaxInFlight) {
		a.MaxInFlight = b.MaxInFlight
	}
	return a
}

// rate is a limit's messages per second.
func rate(l relay.Limit) float64 { return float64(l.Messages) / l.Per.Seconds() }
