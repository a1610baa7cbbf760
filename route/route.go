// Package route decides which receivers a notification goes to. It is the fourth stage on the path: enriched alerts come
// in, parts of the notification go out, one for each receiver.
//
// The tree has Alertmanager's keys and its rules: depth first, left to right, the deepest match wins, continue goes on to
// the next sibling. Each alert takes its own way; the alerts of one receiver are put together again as Alertmanager
// would have grouped them. Promise: every alert is in the part of each receiver that the tree gives it, and in no other.
package route

import (
	"fmt"
	"slices"

	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
)

// RoomLabel is the name under which matchers see the routing room.
const RoomLabel = "room_id"

// A Part is what a notification means for one receiver.
type Part struct {
	Receiver string
	// Notification is shared with the whole when the part has all its alerts: nobody may change it.
	Notification *relay.Notification
}

// A Tree is a compiled routing tree. It is safe for concurrent use.
type Tree struct {
	root *node
	// receivers are the names in the tree, in its order; nodes refer to them by index.
	receivers []string
}

type node struct {
	receiver int
	matchers labels.Matchers
	proceed  bool // continue
	children []*node
}

// New compiles a tree that Validate found no fault with. Errors name the key.
func New(cfg Config) (*Tree, error) {
	t := &Tree{}
	var err error
	t.root, err = t.compile(cfg, "")
	return t, err
}

func (t *Tree) compile(cfg Config, inherited string) (*node, error) {
	if cfg.Receiver == "" {
		cfg.Receiver = inherited
	}
	matchers, err := cfg.matchers()
	if err != nil {
		return nil, err
	}
	n := &node{receiver: t.index(cfg.Receiver), matchers: matchers, proceed: cfg.Continue}
	for i, child := range cfg.Routes {
		c, err := t.compile(child, cfg.Receiver)
		if err != nil {
			return nil, fault.At(fmt.Sprintf("routes[%d]", i), err)
		}
		n.children = append(n.children, c)
	}
	return n, nil
}

func (t *Tree) index(receiver string) int {
	if i := slices.Index(t.receivers, receiver); i >= 0 {
		return i
	}
	t.receivers = append(t.receivers, receiver)
	return len(t.receivers) - 1
}

// Receivers returns where the tree sends an alert, in the order in which it finds them, each once.
func (t *Tree) Receivers(a relay.Alert) []string {
	var found []string
	t.root.match(&a, func(receiver int) {
		if name := t.receivers[receiver]; !slices.Contains(found, name) {
			found = append(found, name)
		}
	})
	return found
}

// Cut returns the parts of n, in the order of the tree. It does not change n.
func (t *Tree) Cut(n *relay.Notification) []Part {
	taken := make([][]int, len(t.receivers)) // for each receiver, the indexes of its alerts
	for i := range n.Alerts {
		t.root.match(&n.Alerts[i], func(receiver int) {
			if of := taken[receiver]; len(of) == 0 || of[len(of)-1] != i { // two ways may end at one receiver
				taken[receiver] = append(of, i)
			}
		})
	}
	var parts []Part
	for receiver, of := range taken {
		if len(of) > 0 {
			parts = append(parts, Part{t.receivers[receiver], pick(n, of)})
		}
	}
	return parts
}

// Straight returns n whole for one receiver, past the tree.
func Straight(n *relay.Notification, receiver string) Part { return Part{receiver, n} }

// match calls visit with the receiver of each node that takes a. It reports whether any does.
func (n *node) match(a *relay.Alert, visit func(receiver int)) bool {
	if !fit(n.matchers, a) {
		return false
	}
	taken := false
	for _, child := range n.children {
		if child.match(a, visit) {
			taken = true
			if !child.proceed {
				break
			}
		}
	}
	if !taken {
		visit(n.receiver)
	}
	return true
}

// fit reports whether an alert fits all matchers.
func fit(matchers labels.Matchers, a *relay.Alert) bool {
	for _, m := range matchers {
		if !m.Matches(label(a, m.Name)) {
			return false
		}
	}
	return true
}

// label is what matchers see under name. An alert without a routing room may still have a label of that name.
func label(a *relay.Alert, name string) string {
	if name == RoomLabel && a.Room != "" {
		return a.Room
	}
	return a.Labels[name]
}
