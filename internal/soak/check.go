package soak

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// A Report is what Check found.
type Report struct {
	// Problems are the promises broken, one line each, at most maxProblems. Broken counts all of them.
	Problems []string
	// First is where the first problem in a lane was found, for Log.History.
	First struct {
		Group       int
		Destination string
		At          time.Time
	}
	Broken int

	Accepted, Duplicates, Refused, Unanswered int // attempts
	Kills, Stalls                             int
	Tellings                                  int
	Dead                                      int // dead letters
	Merged                                    int // accepted posts that were told within a newer one
	Digests                                   int // tellings of several groups
	Repeats                                   int // tellings of a group that said nothing new
	Counted                                   int // facts that a message only counted
	// Worst is the fullest window of all limiters, against its limit.
	Worst Window
}

// A Window is how many calls a limiter made within one window of its limit.
type Window struct {
	Limiter string
	Calls   int
	Limit   Limit
}

// String is the report in one line.
func (r Report) String() string {
	return fmt.Sprintf("accepted=%d duplicates=%d refused=%d unanswered=%d kills=%d stalls=%d messages=%d merged=%d digests=%d "+
		"dead=%d counted=%d repeats=%d worst_window=%d/%d per %s broken=%d", r.Accepted, r.Duplicates, r.Refused, r.Unanswered,
		r.Kills, r.Stalls, r.Tellings, r.Merged, r.Digests, r.Dead, r.Counted, r.Repeats, r.Worst.Calls, r.Worst.Limit.Calls,
		r.Worst.Limit.Per, r.Broken)
}

// maxProblems bounds what a report says in words.
const maxProblems = 50

// Check compares what was posted with what was told.
func Check(l *Log) Report {
	c := &checker{log: l, posts: map[Post]*posted{}, groups: map[int][]*Attempt{}, lanes: map[lane]*told{}}
	c.report.Tellings, c.report.Dead = len(l.Tellings), len(l.Dead)
	for _, k := range l.Kills {
		if k.Stall {
			c.report.Stalls++
		} else {
			c.report.Kills++
		}
	}
	c.readAttempts()
	c.checkAnswers()
	c.readTellings()
	c.readDead()
	c.checkShown()
	c.checkWindows()
	c.checkRest()
	return c.report
}

// A checker holds what Check works on.
type checker struct {
	log    *Log
	report Report
	posts  map[Post]*posted
	groups map[int][]*Attempt // by the time they were sent
	lanes  map[lane]*told
	spare  []*counting // messages that count, oldest first
}

// posted is what is known of a post from its attempts.
type posted struct {
	facts map[Fact]bool
	// accepts is how often it may have been accepted: never for certain more than once, when an answer was lost.
	accepts int
	// from and until are the earliest and the latest time at which it was accepted.
	from, until time.Time
}

// never is later than any time in a log.
var never = time.Unix(1<<40, 0) //nolint:gochecknoglobals // a constant

func (c *checker) problem(format string, args ...any) {
	c.report.Broken++
	if len(c.report.Problems) < maxProblems {
		c.report.Problems = append(c.report.Problems, fmt.Sprintf(format, args...))
	}
}

// point notes where the first problem is.
func (c *checker) point(group int, destination string, at time.Time) {
	if first := &c.report.First; first.Destination == "" {
		first.Group, first.Destination, first.At = group, destination, at
	}
}

func (c *checker) readAttempts() {
	for i := range c.log.Attempts {
		a := &c.log.Attempts[i]
		c.groups[a.Group] = append(c.groups[a.Group], a)
		switch a.Verdict {
		case Accepted:
			c.report.Accepted++
		case Duplicate:
			c.report.Duplicates++
		case Refused:
			c.report.Refused++
		case Unknown:
			c.report.Unanswered++
		}
	}
	for _, attempts := range c.groups {
		slices.SortStableFunc(attempts, func(a, b *Attempt) int { return a.Sent.Compare(b.Sent) })
		for _, a := range attempts {
			c.posted(a)
		}
	}
}

func (c *checker) posted(a *Attempt) {
	p := c.posts[a.Post]
	if p == nil {
		p = &posted{facts: map[Fact]bool{}}
		c.posts[a.Post] = p
		for _, f := range a.Facts {
			p.facts[f] = true
		}
	}
	switch a.Verdict {
	case Accepted, Unknown:
		if p.accepts == 0 {
			p.from = a.Sent
		}
		p.accepts++
		p.until = a.Answered
		if a.Verdict == Unknown {
			p.until = never
		}
	case Duplicate:
		p.until = a.Answered
	case Refused:
	}
}

// readDead takes what is in a dead letter for shown when it was accepted: a person can see it there.
func (c *checker) readDead() {
	for _, d := range c.log.Dead {
		if len(d.Marks) == 0 {
			c.problem("the dead letter %s of %s says nothing", d.ID, d.Destination)
		}
		for _, m := range d.Marks {
			p := c.posts[m.Post]
			if p == nil || p.accepts == 0 || !p.facts[m.Fact] {
				c.problem("the dead letter %s of %s says that %s: %s, which was never accepted", d.ID, d.Destination, m.Fact, m.Post)
				continue
			}
			lane := c.lane(d.Destination, m.Group)
			lane.dead[m] = true
			if p.until.After(lane.shown[m.Fact]) {
				lane.shown[m.Fact] = p.until
			}
		}
	}
}

// A lane is what order is promised in.
type lane struct {
	destination string
	group       int
}

// told is what was told in a lane so far.
type told struct {
	last   map[Mark]*Telling
	shown  map[Fact]time.Time // when it was shown last
	newest time.Time          // the newest state told was accepted after this
	by     Post
	again  map[Post]int // repetitions explained by a second accept
	dead   map[Mark]bool
}

func (c *checker) readTellings() {
	slots := map[killed]map[*Telling]bool{}
	for i := range c.log.Tellings {
		t := &c.log.Tellings[i]
		c.report.Counted += t.Counted
		if t.Counted > 0 {
			c.spare = append(c.spare, &counting{t, t.Counted})
		}
		if len(t.Marks) == 0 && t.Counted == 0 {
			c.problem("%s was sent a message that tells nothing at %s", t.Destination, clock(t.At))
		}
		groups := byGroup(t.Marks)
		if len(groups) > 1 {
			c.report.Digests++
		}
		for _, group := range slices.Sorted(maps.Keys(groups)) {
			c.telling(t, group, groups[group], slots)
		}
	}
}

func byGroup(marks []Mark) map[int][]Mark {
	groups := map[int][]Mark{}
	for _, m := range marks {
		groups[m.Group] = append(groups[m.Group], m)
	}
	return groups
}

// telling reads what a message says about one group.
func (c *checker) telling(t *Telling, group int, marks []Mark, slots map[killed]map[*Telling]bool) {
	if !slices.Contains(c.log.Destinations(group), t.Destination) {
		c.problem("%s was told about group %d, which is not for it", t.Destination, group)
	}
	before := c.lane(t.Destination, group)
	if !c.genuine(t, marks) {
		return
	}
	c.inOrder(t, marks, before)
	c.explained(t, marks, before, slots)
	posts := map[Post]bool{}
	for _, m := range marks {
		before.last[m] = t
		before.shown[m.Fact] = t.At
		posts[m.Post] = true
	}
	c.report.Merged += len(posts) - 1
	if c.each(t.Destination) && (len(posts) > 1 || len(byGroup(t.Marks)) > 1) {
		c.problem("%s was told several notifications in one message at %s", t.Destination, clock(t.At))
	}
}

func (c *checker) each(destination string) bool { return c.log.Each != nil && c.log.Each(destination) }

func (c *checker) lane(destination string, group int) *told {
	key := lane{destination, group}
	if c.lanes[key] == nil {
		c.lanes[key] = &told{last: map[Mark]*Telling{}, shown: map[Fact]time.Time{}, again: map[Post]int{}, dead: map[Mark]bool{}}
	}
	return c.lanes[key]
}

// genuine checks that what is told was accepted.
func (c *checker) genuine(t *Telling, marks []Mark) bool {
	for _, m := range marks {
		p := c.posts[m.Post]
		switch {
		case p == nil:
			c.problem("%s was told %s, which was never posted", t.Destination, m.Post)
			return false
		case p.accepts == 0:
			c.problem("%s was told %s, which was never accepted", t.Destination, m.Post)
			return false
		case !p.facts[m.Fact]:
			c.problem("%s was told %s in %s, which does not say so", t.Destination, m.Fact, m.Post)
			return false
		}
	}
	return true
}

// inOrder checks that the newest of what is told is not older than what was told before. The parts after the first belong
// to the same telling, and may hold only what is older.
func (c *checker) inOrder(t *Telling, marks []Mark, before *told) {
	if t.Part > 1 {
		return
	}
	var until, from time.Time
	var by Post
	for _, m := range marks {
		p := c.posts[m.Post]
		if p.until.After(until) {
			until = p.until
		}
		if p.from.After(from) {
			from, by = p.from, m.Post
		}
	}
	if until.Before(before.newest) {
		c.point(by.Group, t.Destination, t.At)
		c.problem("%s was told %s at %s, after %s", t.Destination, by, clock(t.At), before.by)
	}
	if from.After(before.newest) {
		before.newest, before.by = from, by
	}
}

// killed is one limiter at one kill.
type killed struct {
	kill    int
	limiter string
}

// settling is how long it may take to make the end of a send durable, on a machine that has much to do.
const settling = 3 * time.Second

// explained checks that a telling that says nothing new has a reason: the answer to the one before was lost, the program
// was killed before it could note that answer, or the post was accepted twice. A kill explains as many as it
// can have made the program forget.
func (c *checker) explained(t *Telling, marks []Mark, before *told, slots map[killed]map[*Telling]bool) {
	var earlier *Telling
	for _, m := range marks {
		last := before.last[m]
		if last == nil {
			return
		}
		if earlier == nil || last.At.After(earlier.At) {
			earlier = last
		}
	}
	c.report.Repeats++
	if earlier.AnswerLost {
		return
	}
	for i, kill := range c.log.Kills {
		if earlier.At.After(kill.Back) || earlier.At.Before(kill.At.Add(-settling)) || t.At.Before(kill.At) {
			continue
		}
		at := killed{i, t.Limiter}
		if slots[at] == nil {
			slots[at] = map[*Telling]bool{}
		}
		slots[at][earlier] = true
		if len(slots[at]) <= c.log.Unsettled {
			return
		}
	}
	post := marks[0].Post
	if before.again[post]++; before.again[post] < c.posts[post].accepts {
		return
	}
	c.point(post.Group, t.Destination, t.At)
	c.problem("%s was told %s at %s and again at %s without a reason", t.Destination, post, clock(earlier.At), clock(t.At))
}

// counting is a message that only counts some of its alerts.
type counting struct {
	*Telling

	left int
}

// checkShown checks that all that was answered 200 was shown. It looks at the newest first: what a message counts stands for
// all that was accepted of an alert until then.
func (c *checker) checkShown() {
	for _, group := range slices.Sorted(maps.Keys(c.groups)) {
		attempts := c.groups[group]
		for i, a := range slices.Backward(attempts) {
			if a.Verdict != Accepted && a.Verdict != Duplicate {
				continue
			}
			from, anew := since(attempts, i)
			for _, destination := range c.log.Destinations(group) {
				if anew && a.Verdict == Accepted && c.each(destination) {
					c.alone(a, destination)
				}
				c.shown(a, destination, from)
			}
		}
	}
}

// since is from when on the facts of an attempt must have been shown: from its own time on, and in a telling of its own
// or of something newer, unless the state accepted before it may have had the same facts. Then a reader may know them from
// there, and must not be told them again; but what repeats itself, as a reminder does, must be told anew.
func since(attempts []*Attempt, i int) (from time.Time, anew bool) {
	a := attempts[i]
	from, anew = a.Sent, true
	if a.Verdict == Accepted && (a.Reminder || repeats(attempts, i)) {
		return from, anew
	}
	for _, b := range attempts {
		if b == a || !mayAccept(b) || !sameFacts(a, b) || b.Sent.After(a.Answered) || separated(attempts, b, a, sameFacts) {
			continue
		}
		anew = false
		if b.Sent.Before(from) {
			from = b.Sent
		}
	}
	return from, anew
}

// separated tells whether something else was accepted between two attempts, for certain.
func separated(attempts []*Attempt, first, second *Attempt, same func(a, b *Attempt) bool) bool {
	return slices.ContainsFunc(attempts, func(between *Attempt) bool {
		return between.Verdict == Accepted && !same(between, second) &&
			between.Sent.After(latest(first)) && between.Answered.Before(second.Sent)
	})
}

// repeats tells whether the state accepted before this attempt was the same, for certain.
func repeats(attempts []*Attempt, i int) bool {
	a, same := attempts[i], false
	for j, b := range attempts {
		if j == i || !mayAccept(b) {
			continue
		}
		if b.Sent.Before(a.Answered) && latest(b).After(a.Sent) {
			return false
		}
		if j < i {
			same = sameState(a, b)
		}
	}
	return same
}

// latest is when an attempt had been accepted at the latest, if it was.
func latest(a *Attempt) time.Time {
	if a.Verdict == Unknown {
		return a.Answered.Add(settled)
	}
	return a.Answered
}

// settled is how long after its end an attempt without an answer may still be accepted: the program finishes what it
// began.
const settled = 10 * time.Second

// alone checks that a post was told itself, and not within a newer one.
func (c *checker) alone(a *Attempt, destination string) {
	told := c.lane(destination, a.Group)
	for _, f := range a.Facts {
		if m := (Mark{a.Post, f}); told.last[m] == nil && !told.dead[m] {
			c.point(a.Group, destination, a.Sent)
			c.problem("%s was not told %s in a message of its own", destination, a.Post)
			return
		}
	}
}

func (c *checker) shown(a *Attempt, destination string, since time.Time) {
	shown := c.lane(destination, a.Group).shown
	for _, f := range a.Facts {
		at, ok := shown[f]
		if !f.Resolved { // who learns of the end learns of the beginning
			ended := f
			ended.Resolved = true
			if end, known := shown[ended]; known && end.After(at) {
				at, ok = end, true
			}
		}
		if ok && !at.Before(since) {
			continue
		}
		switch counted := c.counted(destination, since); {
		case counted != nil: // with what else the message may say of this firing
			began, ended := f, f
			began.Resolved, ended.Resolved = false, true
			for _, fact := range []Fact{began, ended} {
				if counted.At.After(shown[fact]) {
					shown[fact] = counted.At
				}
			}
		case ok:
			c.point(a.Group, destination, a.Sent)
			c.problem("%s was not told again that %s: %s, accepted at %s", destination, f, a.Post, clock(a.Sent))
		default:
			c.point(a.Group, destination, a.Sent)
			c.problem("%s was never told that %s: %s, answered at %s", destination, f, a.Post, clock(a.Answered))
		}
	}
}

// counted takes one of the alerts that a message only counted; nil when there is none left.
func (c *checker) counted(destination string, since time.Time) *Telling {
	for _, s := range c.spare {
		if s.Destination == destination && s.left > 0 && !s.At.Before(since) {
			s.left--
			return s.Telling
		}
	}
	return nil
}

// checkWindows counts the calls in every window of each limiter.
func (c *checker) checkWindows() {
	times := map[string][]time.Time{}
	for _, call := range c.log.Calls {
		times[call.Limiter] = append(times[call.Limiter], call.At)
		if call.TooMany {
			c.problem("%s was refused for its rate at %s", call.Limiter, clock(call.At))
		}
	}
	for _, limiter := range slices.Sorted(maps.Keys(times)) {
		limit, ok := c.log.Limits[limiter]
		if !ok {
			continue
		}
		slices.SortFunc(times[limiter], time.Time.Compare)
		most, end := fullest(times[limiter], limit.Per)
		if most > limit.Calls {
			c.problem("%s was called %d times within %s before %s, not %d", limiter, most, limit.Per, clock(end), limit.Calls)
		}
		if c.report.Worst.Limit.Calls == 0 || most*c.report.Worst.Limit.Calls > c.report.Worst.Calls*limit.Calls {
			c.report.Worst = Window{limiter, most, limit}
		}
	}
}

// fullest returns the most times within any window, and the last of them.
func fullest(times []time.Time, per time.Duration) (most int, end time.Time) {
	first := 0
	for i, t := range times {
		for t.Sub(times[first]) >= per {
			first++
		}
		if n := i - first + 1; n > most {
			most, end = n, t
		}
	}
	return most, end
}

// underWay is how long calls may come after a refusal that were on their way before it.
const underWay = time.Second

// checkRest checks that a limiter rests when its vendor says so, unless the program was killed before it could note that.
func (c *checker) checkRest() {
	rests := map[string]Call{}
	for _, call := range c.log.Calls {
		if said, ok := rests[call.Limiter]; ok && call.At.Sub(said.At) > underWay && call.At.Sub(said.At) < said.Rest {
			c.problem("%s was called at %s, although it was told at %s to rest for %s", call.Limiter, clock(call.At),
				clock(said.At), said.Rest)
			delete(rests, call.Limiter)
		}
		forgotten := slices.ContainsFunc(c.log.Kills, func(k Kill) bool {
			return k.Back.After(call.At) && k.At.Before(call.At.Add(settling))
		})
		if call.Rest > 0 && !forgotten {
			rests[call.Limiter] = call
		}
	}
}

func clock(t time.Time) string { return t.Format("15:04:05.000000") }
