package webhook

import (
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The bounds of a page.
const (
	defaultLimit = 100
	maxLimit     = 1000
	maxParameter = 4096 // bytes of one value
)

// parameters reads the parameters of a query, each by its name. The first fault is kept, and what nobody asked for is one:
// a filter with a typing error would select everything.
type parameters struct {
	values url.Values
	asked  map[string]bool
	err    error
}

func readParameters(u *url.URL) *parameters {
	p := &parameters{asked: map[string]bool{}}
	if p.values, p.err = url.ParseQuery(u.RawQuery); p.err != nil {
		p.err = wrong("the query cannot be read")
	}
	return p
}

// end returns the first fault.
func (p *parameters) end() error {
	if p.err != nil {
		return p.err
	}
	for _, name := range slices.Sorted(maps.Keys(p.values)) {
		if !p.asked[name] {
			known := slices.Sorted(maps.Keys(p.asked))
			if len(known) == 0 {
				return wrong("parameter %.100q: this path takes none", name)
			}
			return wrong("parameter %.100q: unknown; this path takes %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}

func (p *parameters) fail(name, text string) {
	if p.err == nil {
		p.err = wrong("parameter %q: %s", name, text)
	}
}

func (p *parameters) text(name string) string {
	p.asked[name] = true
	values := p.values[name]
	if len(values) > 1 {
		p.fail(name, "give it once")
	}
	if len(values) == 0 {
		return ""
	}
	if len(values[0]) > maxParameter {
		p.fail(name, "it is too long")
	}
	return values[0]
}

func (p *parameters) oneOf(name string, allowed ...string) string {
	value := p.text(name)
	if value != "" && !slices.Contains(allowed, value) {
		p.fail(name, "it is one of "+strings.Join(allowed, ", "))
	}
	return value
}

// anyOf reads a parameter that may be given several times, or with commas.
func (p *parameters) anyOf(name string, allowed ...string) []string {
	p.asked[name] = true
	var chosen []string
	for _, values := range p.values[name] {
		for value := range strings.SplitSeq(values, ",") {
			if !slices.Contains(allowed, value) {
				p.fail(name, "it is one or several of "+strings.Join(allowed, ", "))
			} else if !slices.Contains(chosen, value) {
				chosen = append(chosen, value)
			}
		}
	}
	return chosen
}

// pairs reads a parameter that is given several times, each name=value.
func (p *parameters) pairs(name string) map[string]string {
	p.asked[name] = true
	pairs := map[string]string{}
	for _, pair := range p.values[name] {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" || len(pair) > maxParameter {
			p.fail(name, "it is a label and its value: service=pay")
		}
		pairs[key] = value
	}
	if len(pairs) == 0 {
		p.fail(name, "give at least one: service=pay")
	}
	return pairs
}

// time reads RFC 3339 or seconds since 1970, as Prometheus does.
func (p *parameters) time(name string) time.Time {
	value := p.text(name)
	if value == "" {
		return time.Time{}
	}
	if t, err := time.Parse(time.RFC3339Nano, value); err == nil {
		return t
	}
	seconds, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(seconds) || math.Abs(seconds) > 1<<40 {
		p.fail(name, "it is a time as 2026-11-20T08:00:00Z, or in seconds since 1970")
		return time.Time{}
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)).UTC()
}

func (p *parameters) page() Page {
	page := Page{Limit: defaultLimit, Cursor: p.text("cursor")}
	if value := p.text("limit"); value != "" {
		var err error
		if page.Limit, err = strconv.Atoi(value); err != nil || page.Limit < 1 || page.Limit > maxLimit {
			p.fail("limit", "it is a number from 1 to "+strconv.Itoa(maxLimit))
		}
	}
	return page
}

func (p *parameters) filter() Filter {
	return Filter{
		Receiver: p.text("receiver"), Integration: p.text("integration"), Destination: p.text("destination"),
		GroupKey: p.text("groupKey"), Notification: p.text("notification"), Since: p.time("since"), Until: p.time("until"),
	}
}
