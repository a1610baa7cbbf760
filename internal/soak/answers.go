package soak

import (
	"maps"
	"slices"
)

// checkAnswers checks that a duplicate was answered as such, and nothing else was.
func (c *checker) checkAnswers() {
	ids := map[string]Post{}
	for _, group := range slices.Sorted(maps.Keys(c.groups)) {
		attempts := c.groups[group]
		for i, a := range attempts {
			switch a.Verdict {
			case Accepted:
				if other, used := ids[a.ID]; used {
					c.problem("%s and %s were accepted under one id", other, a.Post)
				}
				ids[a.ID] = a.Post
				if original := c.mustBeDuplicate(attempts, i); original != nil {
					c.problem("%s was accepted at %s, although it is a copy of %s", a.Post, clock(a.Answered), original.Post)
				}
			case Duplicate:
				if !c.mayBeDuplicate(attempts, i) {
					c.problem("%s was answered as a duplicate of %s at %s, but nothing like it was accepted last",
						a.Post, a.ID, clock(a.Answered))
				}
			case Unknown, Refused:
			}
		}
	}
}

// mayBeDuplicate tells whether some attempt may have been the last one accepted before this one, with the same state and
// the id answered.
func (c *checker) mayBeDuplicate(attempts []*Attempt, i int) bool {
	a := attempts[i]
	return slices.ContainsFunc(attempts, func(first *Attempt) bool {
		return first != a && mayAccept(first) && sameState(first, a) && first.Sent.Before(a.Answered) &&
			(first.Verdict == Unknown || first.ID == a.ID) &&
			a.Sent.Sub(latest(first)) < c.log.Window && !separated(attempts, first, a, sameState)
	})
}

// mustBeDuplicate returns an earlier attempt that was accepted with the same state, within the window, when nothing else
// can have been accepted in between: of the two, one is a copy, also when they came at the same time.
func (c *checker) mustBeDuplicate(attempts []*Attempt, i int) *Attempt {
	a := attempts[i]
	for _, first := range attempts[:i] {
		if first.Verdict != Accepted || !sameState(first, a) || a.Answered.Sub(first.Sent) >= c.log.Window {
			continue
		}
		if !slices.ContainsFunc(attempts, func(between *Attempt) bool {
			return mayAccept(between) && !sameState(between, a) && latest(between).After(first.Sent) &&
				(between.Sent.Before(a.Answered) || between.Sent.Before(first.Answered))
		}) {
			return first
		}
	}
	return nil
}

func mayAccept(a *Attempt) bool { return a.Verdict == Accepted || a.Verdict == Unknown }

func sameFacts(a, b *Attempt) bool { return slices.Equal(a.Facts, b.Facts) }

func sameState(a, b *Attempt) bool { return a.Reminder == b.Reminder && sameFacts(a, b) }
