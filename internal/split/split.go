// Package split puts the alerts of a notification into messages, at alert borders, by the size of the request as it is
// really encoded. Every integration renders through it, so that nothing is lost on the way: each alert is shown in
// exactly one part, or it is among those the last part lists and counts.
//
// The promise, in order of preference:
//
//  1. One message, when all alerts fit into it, in Alertmanager's order.
//  2. Numbered parts, each as full as it gets. Firing alerts come before resolved ones.
//  3. Beyond the allowed number of parts, the last part is compact: a line for an alert, counts for the rest.
//  4. An alert too large for a part of its own is shown with its long values visibly cut.
package split

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/alertrelay/relay"
)

// ErrNoRoom says that not even the compact form of a part fits: the limit is too small, or the template writes too much
// whatever it is given.
var ErrNoRoom = errors.New("message does not fit the vendor's limit, even without alerts")

// A Part is what one message shows.
type Part struct {
	// View is what to execute the templates with. Its Alerts are those to show in full; its Part and Parts are zero when
	// there is only one message.
	//
	// When its Omitted is not empty, the part is compact and Alerts is empty: instead of the text template the caller
	// renders Omitted by relay.Renderer's Compact, in at most Room bytes.
	relay.View
	// Room is the limit for the compact text, in bytes; 0 in a part that is not compact.
	Room int
}

// Compact reports whether the part lists and counts its alerts instead of showing them in full.
func (p Part) Compact() bool { return len(p.Omitted) > 0 }

// Head is the view for what stands above the lines of a compact part: no alerts, no mentions.
func (p Part) Head() relay.View {
	v := p.View
	v.Alerts, v.Omitted, v.Mentions = relay.Alerts{}, nil, nil
	return v
}

// Join is the text of a compact part: its title, with the number of the part if that is not in it, the compact text, and
// a link to where the relay tells the notification in full (a digest: to all of them), when relayURL says where people
// reach it.
func (p Part) Join(title, list, relayURL string) string {
	number := fmt.Sprintf("(%d/%d)", p.Part, p.Parts)
	if p.Parts > 0 && !strings.Contains(title, number) {
		title = strings.TrimSpace(title + " " + number)
	}
	lines := []string{title, list}
	if relayURL != "" {
		link := strings.TrimSuffix(relayURL, "/") + "/api/v1/notifications"
		if id := p.Notification().ID; id != "" {
			link += "/" + id
		}
		lines = append(lines, link)
	}
	return strings.Join(lines, "\n")
}

// Limits bound the messages of one notification.
type Limits struct {
	// Parts is the number of messages allowed; at least 1.
	Parts int
	// Room is how much a message holds, in bytes or whatever the vendor counts. The search for what fits starts from it;
	// what fits in the end, the render function decides.
	Room int
}

// Render makes the messages of the notification that v shows, all of its alerts or those of v.Alerts. It calls render
// for candidate parts, which encodes the message and says how much room is left up to the vendor's limit, in the unit of
// Limits.Room; less than 0 when it is too long. The answer for a part must depend on nothing else. It returns the messages in order, or the first error of render.
//
// A delivery of several notifications becomes one compact message over all of them, whatever v.Telling is; the
// notification that render sees then stands for all.
func Render[T any](v relay.View, limits Limits, render func(Part) (T, int, error)) ([]T, error) {
	alerts := v.Alerts
	if alerts == nil {
		alerts = v.Notification().Alerts
	}
	s := &splitter[T]{view: v, limits: limits, render: render}
	s.view.Part, s.view.Parts, s.view.Omitted = 0, 0, nil
	if len(v.Delivery.Tellings) > 1 {
		return s.digest()
	}
	return s.messages(alerts)
}

// firingFirst moves resolved alerts behind those that fire, so that a long message runs out of room for the former.
func firingFirst(alerts relay.Alerts) relay.Alerts {
	sorted := slices.Clone(alerts)
	slices.SortStableFunc(sorted, func(a, b relay.Alert) int { return rank(a) - rank(b) })
	return sorted
}

func rank(a relay.Alert) int {
	if a.Status == relay.StatusResolved {
		return 1
	}
	return 0
}

// splitter holds what one call of Render works on.
type splitter[T any] struct {
	view   relay.View
	limits Limits
	render func(Part) (T, int, error)
}

// packed is a part with its message.
type packed[T any] struct {
	part    Part
	message T
}

// What an alert takes of a message, in bytes. Only the work depends on it, never the result.
const (
	leastAlert  = 64  // a message of Room bytes holds no more than Room/leastAlert alerts: more are not even tried
	commonAlert = 256 // where the search for a full part begins
)

func (s *splitter[T]) messages(alerts relay.Alerts) ([]T, error) {
	if len(alerts) <= s.limits.Room/leastAlert {
		message, spare, err := s.try(alerts, 0, 0)
		if err != nil || spare >= 0 {
			return []T{message}, err
		}
	}
	alerts = firingFirst(alerts)
	// The total is not known before the end. It is taken for what the parts before suggest; those that it turns out to be
	// wrong for are rendered again.
	var parts []packed[T]
	total, guess := s.mostParts(), s.limits.Room/commonAlert
	for rest := alerts; len(rest) > 0; {
		p, err := s.next(rest, len(parts)+1, total, guess)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
		rest = rest[len(p.part.Alerts)+len(p.part.Omitted):]
		guess = max(1, len(p.part.Alerts))
		total = s.likelyTotal(len(parts) + (len(rest)+guess-1)/guess)
	}
	return s.numbered(parts)
}

func (s *splitter[T]) mostParts() int { return max(1, s.limits.Parts) }

// likelyTotal is n, unless that is more than is allowed or takes fewer digits than the total may take in the end: then
// what fits now might not fit then.
func (s *splitter[T]) likelyTotal(n int) int {
	most := s.mostParts()
	if n > most || len(strconv.Itoa(n)) < len(strconv.Itoa(most)) {
		return most
	}
	return n
}

// numbered returns the messages of parts, with their real total: rendered again where it is another than was assumed.
func (s *splitter[T]) numbered(parts []packed[T]) ([]T, error) {
	total := len(parts)
	if total == 1 {
		total = 0
	}
	messages := make([]T, len(parts))
	for i, p := range parts {
		if p.part.Parts != total {
			p.part.Part, p.part.Parts = min(i+1, total), total
			message, spare, err := s.render(p.part)
			if err != nil {
				return nil, err
			}
			if spare < 0 {
				return nil, ErrNoRoom
			}
			p.message = message
		}
		messages[i] = p.message
	}
	return messages, nil
}

// next packs part number of total from the head of rest. The guess is how many alerts the part before it took.
func (s *splitter[T]) next(rest relay.Alerts, number, total, guess int) (packed[T], error) {
	if number == s.mostParts() {
		if len(rest) <= max(1, 2*guess) { // else it is hopeless
			message, spare, err := s.try(rest, number, total)
			if err != nil || spare >= 0 {
				return packed[T]{s.part(rest, number, total), message}, err
			}
		}
		if len(rest) > 1 {
			return s.compact(rest, number, total)
		}
		return s.cut(rest, number, total)
	}
	var best T
	n, err := s.largest(len(rest), guess, func(n int) (int, error) {
		message, spare, err := s.try(rest[:n], number, total)
		if spare >= 0 {
			best = message
		}
		return spare, err
	})
	if err != nil {
		return packed[T]{}, err
	}
	if n == 0 {
		return s.cut(rest[:1], number, total)
	}
	return packed[T]{s.part(rest[:n], number, total), best}, nil
}

// try renders alerts in full.
func (s *splitter[T]) try(alerts relay.Alerts, number, total int) (T, int, error) {
	return s.render(s.part(alerts, number, total))
}

func (s *splitter[T]) part(alerts relay.Alerts, number, total int) Part {
	p := Part{View: s.view}
	p.Alerts, p.Part, p.Parts = alerts, number, total
	return p
}

// compact packs alerts as lines and counts, with as much room as fits.
func (s *splitter[T]) compact(alerts relay.Alerts, number, total int) (packed[T], error) {
	for _, view := range []relay.View{s.view, cutView(s.view, shortestValue)} {
		p := Part{View: view}
		p.Alerts, p.Omitted, p.Part, p.Parts = relay.Alerts{}, alerts, number, total
		var best packed[T]
		room, err := s.largest(roomSteps, roomSteps, func(step int) (int, error) {
			p.Room = s.limits.Room * step / roomSteps
			message, spare, err := s.render(p)
			if spare >= 0 {
				best = packed[T]{p, message}
			}
			return spare, err
		})
		if err != nil || room > 0 {
			return best, err
		}
	}
	return packed[T]{}, ErrNoRoom
}

// roomSteps is how finely the room for a compact text is searched.
const roomSteps = 32

// cut packs one alert that is too large, with its long values shortened as little as need be; compact, when even that
// does not help.
func (s *splitter[T]) cut(alert relay.Alerts, number, total int) (packed[T], error) {
	var best packed[T]
	_, err := s.largest(cutSteps, cutSteps/2, func(step int) (int, error) {
		length := max(shortestValue, s.limits.Room*step/cutSteps)
		p := Part{View: cutView(s.view, length)}
		p.Alerts, p.Part, p.Parts = relay.Alerts{cutAlert(alert[0], length)}, number, total
		message, spare, err := s.render(p)
		if spare >= 0 {
			best = packed[T]{p, message}
		}
		return spare, err
	})
	if err != nil {
		return best, err
	}
	if len(best.part.Alerts) == 0 {
		return s.compact(alert, number, total)
	}
	return best, nil
}

// cutSteps is how finely the length of cut values is searched.
const cutSteps = 64

// largest returns the largest n of [1, most] that leaves no less than no room to spare, or 0 when there is none. It asks
// about guess first, and then where the answers so far point to, as if all items were of one size: a few calls, for most
// lists. The last call that fitted is the one for its result.
func (s *splitter[T]) largest(most, guess int, spare func(n int) (int, error)) (int, error) {
	fits, over := 0, most+1 // the bounds found so far
	var left, missing int   // the room at these bounds
	n := min(max(1, guess), most)
	for calls := 1; over-fits > 1; calls++ {
		room, err := spare(n)
		if err != nil {
			return 0, err
		}
		if room >= 0 {
			fits, left = n, room
		} else {
			over, missing = n, -room
		}
		switch {
		case calls >= maxPointed:
			n = (fits + over) / 2
		case over > most: // nothing too large yet
			n = fits + left*fits/max(1, s.limits.Room-left)
		case fits == 0: // nothing fits yet
			n = over - 1 - missing*over/(s.limits.Room+missing)
		default:
			n = fits + (over-fits)*left/(left+missing)
		}
		n = min(max(n, fits+1), over-1)
	}
	return fits, nil
}

// maxPointed is after how many calls the search halves instead: the items are of very different sizes.
const maxPointed = 6
