package soak_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/soak"
)

// at is a time of the logs below.
func at(ms int) time.Time { return time.UnixMilli(1_800_000_000_000 + int64(ms)) }

const robot, hook = "robot", "hook"

// A script makes a log: each post is accepted within ten milliseconds and told five later, unless a test says otherwise.
type script struct{ soak.Log }

func newScript() *script {
	return &script{soak.Log{
		Destinations: func(int) []string { return []string{robot, hook} },
		Limits:       map[string]soak.Limit{robot: {Calls: 3, Per: time.Second}},
		Unsettled:    2,
		Window:       5 * time.Second,
	}}
}

func firing(alert int) soak.Fact { return soak.Fact{Group: 1, Alert: alert, Start: 1} }

func resolved(alert int) soak.Fact {
	return soak.Fact{Group: 1, Alert: alert, Start: 1, Resolved: true}
}

// post adds an attempt of a state of group 1.
func (s *script) post(ms, state int, verdict soak.Verdict, facts ...soak.Fact) *soak.Attempt {
	s.Attempts = append(s.Attempts, soak.Attempt{
		Post: soak.Post{Group: 1, State: state, Node: 1}, Facts: facts,
		Sent: at(ms), Answered: at(ms + 10), Verdict: verdict, ID: "id" + string(rune('0'+state)),
	})
	return &s.Attempts[len(s.Attempts)-1]
}

// tell adds a message about a state, with its call.
func (s *script) tell(ms int, destination string, state int, facts ...soak.Fact) *soak.Telling {
	t := soak.Telling{At: at(ms), Destination: destination, Limiter: destination, Marks: marks(state, facts...)}
	s.Tellings = append(s.Tellings, t)
	s.Calls = append(s.Calls, soak.Call{At: t.At, Limiter: destination})
	return &s.Tellings[len(s.Tellings)-1]
}

// history is a group's life: it fires, another alert joins, both are resolved; all of it told.
func history() *script {
	s := newScript()
	s.post(0, 1, soak.Accepted, firing(1))
	s.post(1000, 2, soak.Accepted, firing(1), firing(2))
	s.post(2000, 3, soak.Accepted, resolved(1), resolved(2))
	for _, destination := range []string{robot, hook} {
		s.tell(15, destination, 1, firing(1))
		s.tell(1015, destination, 2, firing(1), firing(2))
		s.tell(2015, destination, 3, resolved(1), resolved(2))
	}
	return s
}

func marks(state int, facts ...soak.Fact) []soak.Mark {
	var list []soak.Mark
	for _, f := range facts {
		list = append(list, soak.Mark{Post: soak.Post{Group: f.Group, State: state, Node: 1}, Fact: f})
	}
	return list
}

// die takes back what hook was told of a state, and puts it into the dead letters of a destination.
func (s *script) die(destination string, state int, facts ...soak.Fact) {
	s.forget(hook, state)
	s.Dead = append(s.Dead, soak.Dead{ID: "dead", Destination: destination, Marks: marks(state, facts...)})
}

func (s *script) forget(destination string, state int) {
	s.Tellings = slices.DeleteFunc(s.Tellings, func(t soak.Telling) bool {
		return t.Destination == destination && t.Marks[0].State == state
	})
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(s *script)
		want   string // what is found; empty: nothing
	}{
		"a group's life": {change: func(*script) {}},

		// What must be found.
		"a lost fact": {
			func(s *script) { s.forget(hook, 3) }, "hook was never told that alert 1 of group 1, resolved",
		},
		"a reminder that is not told": {
			func(s *script) { s.post(3000, 4, soak.Accepted, resolved(1), resolved(2)).Reminder = true },
			"was not told again",
		},
		"a repetition after the window that is not told": {
			func(s *script) { s.post(8000, 4, soak.Accepted, resolved(1), resolved(2)) }, "was not told again",
		},
		"a second firing with the same start that is not told": {
			func(s *script) { s.post(3000, 4, soak.Accepted, firing(1)) }, "was not told again that alert 1 of group 1, firing",
		},
		"a duplicate of something lost": {
			func(s *script) {
				s.post(3000, 4, soak.Unknown, firing(3))
				s.post(3100, 4, soak.Duplicate, firing(3))
			}, "was never told that alert 3",
		},
		"a fact in the dead letters of another destination": {
			func(s *script) { s.die(robot, 3, resolved(1), resolved(2)) }, "hook was never told that alert 1 of group 1, resolved",
		},
		"a dead letter of what was never accepted": {
			func(s *script) {
				s.post(3000, 9, soak.Refused, firing(3))
				s.Dead = []soak.Dead{{ID: "x", Destination: hook, Marks: marks(9, firing(3))}}
			}, "which was never accepted",
		},
		"a reminder that is not told, of what is in a dead letter": {
			func(s *script) {
				s.die(hook, 3, resolved(1), resolved(2))
				s.die(robot, 3, resolved(1), resolved(2))
				s.post(3000, 4, soak.Accepted, resolved(1), resolved(2)).Reminder = true
			}, "was not told again",
		},
		"a swap": {
			func(s *script) { s.Tellings[0].Marks, s.Tellings[1].Marks = s.Tellings[1].Marks, s.Tellings[0].Marks },
			"robot was told group 1 state 1 of node 1 at",
		},
		"an old state after a new one": {
			func(s *script) { s.tell(2100, robot, 2, firing(1), firing(2)).Limiter = hook }, "after group 1 state 3",
		},
		"a send of what was never posted": {
			func(s *script) { s.tell(3000, hook, 9, firing(1)) }, "which was never posted",
		},
		"a send of what was refused": {
			func(s *script) {
				s.post(3000, 9, soak.Refused, firing(3))
				s.tell(3015, hook, 9, firing(3))
			}, "which was never accepted",
		},
		"a send of another fact than was accepted": {
			func(s *script) { s.tell(3000, hook, 3, firing(2)) }, "which does not say so",
		},
		"a send to a stranger": {
			func(s *script) { s.tell(3000, "stranger", 3, resolved(1)) }, "which is not for it",
		},
		"a message without a fact": {
			func(s *script) { s.tell(3000, hook, 0) }, "tells nothing",
		},
		"a repetition without a reason": {
			func(s *script) { s.tell(2020, hook, 3, resolved(1), resolved(2)) }, "without a reason",
		},
		"a repetition long after a kill": {
			func(s *script) {
				s.Kills = []soak.Kill{{At: at(500), Back: at(600)}}
				s.tell(2020, hook, 3, resolved(1), resolved(2))
			}, "without a reason",
		},
		"a repetition of what was settled long before a kill": {
			func(s *script) {
				s.Kills = []soak.Kill{{At: at(9000), Back: at(9100)}}
				s.tell(9200, hook, 3, resolved(1), resolved(2))
			}, "without a reason",
		},
		"more calls than the limit in a window": {
			func(s *script) {
				s.Calls = append(s.Calls, soak.Call{At: at(1014), Limiter: robot}, soak.Call{At: at(1999), Limiter: robot},
					soak.Call{At: at(1013), Limiter: robot})
			}, "robot was called 4 times within 1s before",
		},
		"a refusal for the rate": {
			func(s *script) { s.Calls = append(s.Calls, soak.Call{At: at(2020), Limiter: robot, TooMany: true}) },
			"refused for its rate",
		},
		"a call in spite of a refusal": {
			func(s *script) {
				s.Calls = append(s.Calls, soak.Call{At: at(3000), Limiter: hook, Rest: time.Minute},
					soak.Call{At: at(3900), Limiter: hook}, soak.Call{At: at(5000), Limiter: robot},
					soak.Call{At: at(62000), Limiter: hook})
			}, "to rest for 1m0s",
		},
		"a merge where there is to be none": {
			func(s *script) {
				s.Each = func(destination string) bool { return destination == hook }
				s.post(3000, 4, soak.Accepted, firing(3))
				s.forget(hook, 3)
				merged := s.tell(3015, hook, 4, firing(3))
				merged.Marks = append(merged.Marks, marks(3, resolved(1), resolved(2))...)
				s.tell(3016, robot, 4, firing(3))
			}, "hook was told several notifications in one message",
		},
		"a notification left out where each is to be told": {
			func(s *script) {
				s.Each = func(destination string) bool { return destination == hook }
				s.forget(hook, 2)
				s.forget(hook, 1)
			}, "was not told group 1 state 1 of node 1 in a message of its own",
		},
		"a copy accepted": {
			func(s *script) {
				s.post(3000, 3, soak.Accepted, resolved(1), resolved(2)).ID = "other"
			}, "although it is a copy",
		},
		"two copies accepted at the same time": {
			func(s *script) { s.post(2005, 3, soak.Accepted, resolved(1), resolved(2)).ID = "other" }, "although it is a copy",
		},
		"a page taken for a duplicate": {
			func(s *script) { s.post(3000, 4, soak.Duplicate, firing(1), firing(2)).ID = "id2" }, "nothing like it was accepted last",
		},
		"a duplicate of another id": {
			func(s *script) { s.post(3000, 3, soak.Duplicate, resolved(1), resolved(2)).ID = "id1" }, "nothing like it was accepted last",
		},
		"a duplicate after the window": {
			func(s *script) { s.post(8000, 3, soak.Duplicate, resolved(1), resolved(2)) }, "nothing like it was accepted last",
		},
		"an id used twice": {
			func(s *script) {
				s.post(3000, 4, soak.Accepted, firing(3)).ID = "id3"
				s.tell(3015, robot, 4, firing(3))
				s.tell(3015, hook, 4, firing(3))
			}, "under one id",
		},

		// What is right.
		"a copy answered as such": {
			change: func(s *script) { s.post(3000, 3, soak.Duplicate, resolved(1), resolved(2)) },
		},
		"calls before and after a rest": {
			change: func(s *script) {
				s.Calls = append(s.Calls, soak.Call{At: at(3000), Limiter: hook, Rest: time.Minute},
					soak.Call{At: at(3900), Limiter: hook}, soak.Call{At: at(63000), Limiter: hook})
			},
		},
		"a rest forgotten in a kill": {
			change: func(s *script) {
				s.Kills = []soak.Kill{{At: at(3010), Back: at(3500)}}
				s.Calls = append(s.Calls, soak.Call{At: at(3000), Limiter: hook, Rest: time.Minute},
					soak.Call{At: at(9000), Limiter: hook})
			},
		},
		"a copy between a state and its reminder, which tells nothing new": {
			change: func(s *script) {
				s.Each = func(string) bool { return true }
				copied := s.post(3000, 3, soak.Accepted, resolved(1), resolved(2))
				copied.Node, copied.ID, copied.Answered = 2, "copy", at(3500)
				s.post(3100, 4, soak.Accepted, resolved(1), resolved(2)).Reminder = true
				s.tell(3115, robot, 4, resolved(1), resolved(2))
				s.tell(3115, hook, 4, resolved(1), resolved(2))
			},
		},
		"each told alone": {change: func(s *script) { s.Each = func(string) bool { return true } }},
		"a fact in the dead letters": {
			change: func(s *script) { s.die(hook, 3, resolved(1), resolved(2)) },
		},
		"states merged": {
			change: func(s *script) {
				s.forget(hook, 1)
				s.forget(hook, 2)
			},
		},
		"a merge that shows what the newest state lacks": {
			change: func(s *script) {
				s.post(3000, 4, soak.Accepted, firing(3))
				s.forget(hook, 3)
				merged := s.tell(3015, hook, 4, firing(3))
				merged.Marks = append(merged.Marks, soak.Mark{Post: soak.Post{Group: 1, State: 3, Node: 1}, Fact: resolved(1)},
					soak.Mark{Post: soak.Post{Group: 1, State: 3, Node: 1}, Fact: resolved(2)})
				s.tell(3016, robot, 4, firing(3))
			},
		},
		"parts, the older facts last": {
			change: func(s *script) {
				s.post(3000, 4, soak.Accepted, firing(3))
				s.forget(hook, 3)
				s.tell(3015, hook, 4, firing(3)).Part = 1
				s.tell(3016, hook, 3, resolved(1), resolved(2)).Part = 2
				s.tell(3016, robot, 4, firing(3))
			},
		},
		"a digest that counts": {
			change: func(s *script) {
				s.forget(hook, 3)
				s.tell(2015, hook, 3, resolved(1)).Counted = 1
			},
		},
		"a fact accepted twice and counted once": {
			change: func(s *script) {
				s.post(3000, 4, soak.Accepted, firing(3))
				s.post(3100, 5, soak.Accepted, firing(4))
				s.post(4500, 6, soak.Accepted, firing(3))
				s.tell(3015, robot, 4, firing(3))
				s.tell(3115, robot, 5, firing(4))
				s.tell(4515, robot, 6, firing(3))
				s.tell(3600, hook, 5).Counted = 1 // firing(4)
				s.tell(5000, hook, 6).Counted = 1
			},
		},
		"a fact counted, and later told": {
			change: func(s *script) {
				s.forget(hook, 3)
				s.tell(2015, hook, 3, resolved(1)).Counted = 1
				s.post(3000, 4, soak.Accepted, firing(2))
				for _, destination := range []string{robot, hook} {
					s.tell(3015, destination, 4, firing(2))
				}
			},
		},
		"a repetition after a lost answer": {
			change: func(s *script) {
				s.Tellings[5].AnswerLost = true
				s.tell(2020, hook, 3, resolved(1), resolved(2))
			},
		},
		"a repetition after a kill": {
			change: func(s *script) {
				s.Kills = []soak.Kill{{At: at(2016), Back: at(2020)}}
				s.tell(2020, hook, 3, resolved(1), resolved(2))
			},
		},
		"a late copy of an older state, accepted and told": {
			change: func(s *script) {
				s.post(3000, 2, soak.Accepted, firing(1), firing(2)).ID = "stale"
				s.tell(3015, robot, 2, firing(1), firing(2)).Limiter = hook
				s.tell(3015, hook, 2, firing(1), firing(2))
			},
		},
		"an answer lost, the retry a duplicate": {
			change: func(s *script) {
				s.post(3000, 4, soak.Unknown, firing(3))
				s.post(3100, 4, soak.Duplicate, firing(3))
				s.tell(3050, robot, 4, firing(3))
				s.tell(3050, hook, 4, firing(3))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := history()
			test.change(s)
			slices.SortStableFunc(s.Tellings, func(a, b soak.Telling) int { return a.At.Compare(b.At) })
			report := soak.Check(&s.Log)
			text := strings.Join(report.Problems, "\n")
			if test.want == "" {
				require.Zero(t, report.Broken, text)
				return
			}
			require.Contains(t, text, test.want)
		})
	}
}

// TestAKillExplainsWhatWasUnderWay: not more repetitions than sends that it can have made the program forget.
func TestAKillExplainsWhatWasUnderWay(t *testing.T) {
	t.Parallel()
	s := newScript()
	s.Kills = []soak.Kill{{At: at(20), Back: at(100)}}
	for group := 1; group <= 3; group++ {
		f := soak.Fact{Group: group, Alert: 1, Start: 1}
		s.Attempts = append(s.Attempts, soak.Attempt{
			Post: soak.Post{Group: group, State: 1, Node: 1}, Facts: []soak.Fact{f},
			Sent: at(0), Answered: at(10), Verdict: soak.Accepted, ID: string(rune('a' + group)),
		})
		for _, ms := range []int{15, 200} {
			s.tell(ms, hook, 1, f)
		}
		s.tell(16, robot, 1, f)
	}
	slices.SortStableFunc(s.Tellings, func(a, b soak.Telling) int { return a.At.Compare(b.At) })
	report := soak.Check(&s.Log)
	require.Equal(t, 3, report.Repeats)
	require.Equal(t, 1, report.Broken)
	require.Contains(t, report.Problems[0], "without a reason")
}

func TestMarks(t *testing.T) {
	t.Parallel()
	a := soak.Mark{Post: soak.Post{Group: 12, State: 3, Node: 2}, Fact: soak.Fact{Group: 12, Alert: 4, Start: 5}}
	b := a
	b.Fact.Resolved = true
	text := "**" + a.String() + "** and <b>" + b.String() + "</b>, again " + a.String() + ", cut " + a.String()[:12] + "…"
	require.Equal(t, []soak.Mark{a, b}, soak.Marks(text))
}
