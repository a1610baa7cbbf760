package soak

import (
	"fmt"
	"regexp"
	"strconv"
)

// A Post is one state of one alert group as one node of the pair posts it. States count from 1 in the order in which the
// group goes through them.
type Post struct{ Group, State, Node int }

func (p Post) String() string {
	return fmt.Sprintf("group %d state %d of node %d", p.Group, p.State, p.Node)
}

// A Fact is what a reader must learn: that an alert that began at Start fires or is resolved.
type Fact struct {
	Group, Alert int
	Start        int // which firing of the alert this is
	Resolved     bool
}

func (f Fact) String() string {
	status := "firing"
	if f.Resolved {
		status = "resolved"
	}
	return fmt.Sprintf("alert %d of group %d, %s for the %d. time", f.Alert, f.Group, status, f.Start)
}

// A Mark is a fact as one post brought it. Its text is one word of letters and digits, so that it survives the escaping
// of every channel and cannot be cut without being noticed.
type Mark struct {
	Post

	Fact Fact
}

// String is the word to put into an alert's summary.
func (m Mark) String() string {
	status := "f"
	if m.Fact.Resolved {
		status = "r"
	}
	return fmt.Sprintf("Mark%dg%ds%dn%da%db%sZ", m.Group, m.State, m.Node, m.Fact.Alert, m.Fact.Start, status)
}

var word = regexp.MustCompile(`Mark(\d+)g(\d+)s(\d+)n(\d+)a(\d+)b([fr])Z`)

// Marks finds the marks in a text, in their order, each once.
func Marks(text string) []Mark {
	var marks []Mark
	seen := map[Mark]bool{}
	for _, found := range word.FindAllStringSubmatch(text, -1) {
		var n [5]int
		for i := range n {
			n[i], _ = strconv.Atoi(found[i+1]) // digits, and few of them
		}
		m := Mark{
			Post: Post{Group: n[0], State: n[1], Node: n[2]},
			Fact: Fact{Group: n[0], Alert: n[3], Start: n[4], Resolved: found[6] == "r"},
		}
		if !seen[m] {
			seen[m] = true
			marks = append(marks, m)
		}
	}
	return marks
}
