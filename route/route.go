// Package route decides which receivers a notification goes to. It is the fourth stage on the path: enriched alerts come
// in, parts of the notification go out, one for each receiver.
//
// A room is a receiver of its own, ahead of the tree: it takes the alerts with its routing room, and the tree gets them as
// well when the room says continue.
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
	// receivers are the names of the rooms and in the tree, in that order; rooms and nodes refer to them by index.
	receivers []string
	rooms     map[string]room // by routing room
}

// A Room takes the alerts with one routing room.
type Room struct {
	ID       string
	Receiver string // no other room has it, nor the tree
	Continue bool   // the tree gets them as well
}

type room struct {
	receiver int
	proceed  bool
}

type node struct {
	receiver int
	matchers labels.Matchers
	proceed  bool // continue
	children []*node
}

// New compiles a tree that Validate found no fault with. Errors name the key.
func New(cfg Config, rooms []Room) (*Tree, error) {
	t := &Tree{rooms: make(map[string]room, len(rooms))}
	for _, r := range rooms {
		t.rooms[r.ID] = room{t.index(r.Receiver), r.Continue}
	}
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

// Receivers returns where an alert goes, in the order in which that is found, each once.
func (t *Tree) Receivers(a relay.Alert) []string {
	var found []string
	t.match(&a, func(receiver int) {
		if name := t.receivers[receiver]; !slices.Contains(found, name) {
			found = append(found, name)
		}
	})
	return found
}

// Cut returns the parts of n, rooms first, in the order of the configuration. It does not change n.
func (t *Tree) Cut(n *relay.Notification) []Part {
	taken := make([][]int, len(t.receivers)) // for each receiver, the indexes of its alerts
	for i := range n.Alerts {
		t.match(&n.Alerts[i], func(receiver int) {
			if of := taken[receiver]; len(of) == 0 || of[len(of)-1] != i { // two ways may end at one receiver
				taken[receiver] = append(of, i)
			}
		})
	}
	var parts []Part
	for receiver, of := range taken {
		if len(of) == 0 {
			continue
		}
		part := pick(n, of)
		if receiver < len(t.rooms) {
			part = inRoom(part, part.Alerts[0].Room)
		}
		parts = append(parts, Part{t.receivers[receiver], part})
	}
	return parts
}

// Straight returns n whole for one receiver, past the tree.
func Straight(n *relay.Notification, receiver string) Part { return Part{receiver, n} }

// match calls visit with each receiver that takes a: its room's, and those of the tree.
func (t *Tree) match(a *relay.Alert, visit func(receiver int)) {
	if r, ok := t.rooms[a.Room]; ok {
		visit(r.receiver)
		if !r.proceed {
			return
		}
	}
	t.root.match(a, visit)
}

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
