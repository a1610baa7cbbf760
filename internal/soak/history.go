package soak

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// History is what a log says about one group at one destination around a time, a line for each attempt and each telling:
// to find out what came before a problem.
func (l *Log) History(group int, destination string, around time.Time) string {
	type line struct {
		at   time.Time
		text string
	}
	var lines []line
	for _, a := range l.Attempts {
		if a.Group == group {
			lines = append(lines, line{a.Sent, fmt.Sprintf("to %s posted state %d node %d: %s %s %s reminder=%t",
				clock(a.Answered), a.State, a.Node, list(a.Facts), verdicts()[a.Verdict], a.ID, a.Reminder)})
		}
	}
	for _, t := range l.Tellings {
		if marks := byGroup(t.Marks)[group]; t.Destination == destination && len(marks) > 0 {
			var text strings.Builder
			fmt.Fprintf(&text, "told part=%d counted=%d answer_lost=%t", t.Part, t.Counted, t.AnswerLost)
			for _, m := range marks {
				fmt.Fprintf(&text, " s%dn%d:%s", m.State, m.Node, list([]Fact{m.Fact}))
			}
			lines = append(lines, line{t.At, text.String()})
		}
	}
	for _, k := range l.Kills {
		lines = append(lines, line{k.At, "killed, back at " + clock(k.Back)})
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	var b strings.Builder
	for _, each := range lines {
		if each.at.Sub(around).Abs() < 20*time.Second {
			fmt.Fprintf(&b, "%s %s\n", clock(each.at), each.text)
		}
	}
	return b.String()
}

// list writes facts short: a2b3f is alert 2, firing for the third time.
func list(facts []Fact) string {
	words := make([]string, len(facts))
	for i, f := range facts {
		words[i] = fmt.Sprintf("a%db%d%c", f.Alert, f.Start, "fr"[btoi(f.Resolved)])
	}
	return strings.Join(words, ",")
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func verdicts() [4]string { return [...]string{"unknown", "accepted", "duplicate", "refused"} }
