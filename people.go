package relay

import (
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"
)

// People is the directory people:, in the order of names. Nil is an empty one.
type People []Listed

// A Listed is somebody in the directory.
type Listed struct {
	Person

	// Match reports whether an alert is theirs; nil: none is.
	Match func(*Alert) bool
}

// Mention is what the key mention: of every integration takes. An integration embeds it inline in its own, which may name
// its vendor's users beside it.
type Mention struct {
	// People are names in the directory. Every message mentions them.
	People []string `yaml:"people,omitempty"`
	// Labels are labels or annotations that say who is mentioned while the alert fires: names in the directory, or mobile
	// numbers, addresses or ids, with commas or spaces between them.
	Labels []string `yaml:"labels,omitempty"`
	// Matching mentions those whose match: fits an alert, while it fires; default true.
	Matching *bool `yaml:"matching,omitempty"`
}

// Concerned prepares to find whom a delivery concerns, for Delivery.People. The error tells which names are not in the
// directory.
func (p People) Concerned(m Mention) (func(*Delivery) []Person, error) {
	var named []Person
	var errs []error
	for _, name := range m.People {
		i := slices.IndexFunc(p, func(l Listed) bool { return l.Name == name })
		if i < 0 {
			errs = append(errs, fmt.Errorf("people: has no %q", name))
			continue
		}
		named = append(named, p[i].Person)
	}
	matching := m.Matching == nil || *m.Matching
	return func(d *Delivery) []Person {
		var who crowd
		who.add(named...)
		for _, a := range firingOf(d) {
			for _, label := range m.Labels {
				who.add(p.called(a.Labels[label])...)
				who.add(p.called(a.Annotations[label])...)
			}
			if matching {
				who.add(p.of(a)...)
			}
		}
		return who
	}, errors.Join(errs...)
}

// firingOf are the alerts of a delivery that fire.
func firingOf(d *Delivery) []*Alert {
	var firing []*Alert
	for _, t := range d.Tellings {
		for i := range t.Notification.Alerts {
			if a := &t.Notification.Alerts[i]; a.Status == StatusFiring {
				firing = append(firing, a)
			}
		}
	}
	return firing
}

// of are those whose matchers fit an alert.
func (p People) of(a *Alert) []Person {
	var theirs []Person
	for _, l := range p {
		if l.Match != nil && l.Match(a) {
			theirs = append(theirs, l.Person)
		}
	}
	return theirs
}

// called are those whom the value of a label names. The value comes from outside: what is neither in the directory nor
// has the form of a mobile number or an address notifies nobody.
func (p People) called(value string) []Person {
	var called []Person
	for _, name := range strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(",;，；、 \t\r\n", r) }) {
		if i := slices.IndexFunc(p, func(l Listed) bool { return l.is(name) }); i >= 0 {
			called = append(called, p[i].Person)
		} else if isMobile(name) {
			called = append(called, Person{Mobile: name})
		} else if a, err := mail.ParseAddress(name); err == nil && a.Name == "" && a.Address == name {
			called = append(called, Person{Email: name})
		}
	}
	return called
}

// is tells whether name is one of the person's names.
func (p Person) is(name string) bool {
	return slices.ContainsFunc([]string{p.Name, p.Mobile, p.DingTalkUserID, p.WeComUserID, p.SlackID, p.Email},
		func(own string) bool { return own != "" && strings.EqualFold(own, name) })
}

// isMobile reports whether text has the form of a mobile number: 13800000000, or +8613800000000.
func isMobile(text string) bool {
	digits := strings.TrimPrefix(text, "+")
	return len(digits) >= 6 && len(digits) <= 15 && strings.Trim(digits, "0123456789") == ""
}

// A crowd is a list of people, each once.
type crowd []Person

func (c *crowd) add(people ...Person) {
	for _, p := range people {
		if !slices.Contains(*c, p) {
			*c = append(*c, p)
		}
	}
}
