package route

import (
	"maps"

	"github.com/prometheus/alertmanager/template"

	"github.com/alertrelay/relay"
)

// Firing restricts a part to its firing alerts, as send_resolved: false asks for. It reports false when none is left: the
// part has nothing to say.
func Firing(p Part) (Part, bool) {
	var firing []int
	for i := range p.Notification.Alerts {
		if p.Notification.Alerts[i].Status == relay.StatusFiring {
			firing = append(firing, i)
		}
	}
	return Part{p.Receiver, pick(p.Notification, firing)}, len(firing) > 0
}

// ByRoom cuts a part into one for each routing room of its alerts, no room among them, in the order in which they come: for
// a destination that is chosen by room. The part of a room stays as it is.
func ByRoom(p Part) []Part {
	if p.Notification.Room != "" {
		return []Part{p}
	}
	var rooms []string
	indexes := map[string][]int{}
	for i := range p.Notification.Alerts {
		room := p.Notification.Alerts[i].Room
		if indexes[room] == nil {
			rooms = append(rooms, room)
		}
		indexes[room] = append(indexes[room], i)
	}
	parts := make([]Part, len(rooms))
	for i, room := range rooms {
		parts[i] = Part{p.Receiver, inRoom(pick(p.Notification, indexes[room]), room)}
	}
	return parts
}

// inRoom returns n as a part that is for one room alone.
func inRoom(n *relay.Notification, room string) *relay.Notification {
	if n.Room == room {
		return n
	}
	part := *n
	part.Room = room
	return &part
}

// pick returns n with only the alerts at the given indexes, in order: n itself when that is all of them.
func pick(n *relay.Notification, indexes []int) *relay.Notification {
	if len(indexes) == len(n.Alerts) {
		return n
	}
	alerts := make(relay.Alerts, len(indexes))
	for i, index := range indexes {
		alerts[i] = n.Alerts[index]
	}
	return regroup(n, alerts)
}

// regroup returns n about other alerts, its summary computed as Alertmanager does. What belongs to the whole group (group
// key, group labels, how many alerts were cut away before) stays.
func regroup(n *relay.Notification, alerts relay.Alerts) *relay.Notification {
	part := *n
	part.Alerts = alerts
	part.Status = alerts.Status()
	part.CommonLabels = common(alerts, func(a *relay.Alert) template.KV { return a.Labels })
	part.CommonAnnotations = common(alerts, func(a *relay.Alert) template.KV { return a.Annotations })
	return &part
}

// common returns the pairs of the first alert that all the others have as well. A missing value equals an empty one, as
// in Alertmanager.
func common(alerts relay.Alerts, pairs func(*relay.Alert) template.KV) template.KV {
	if len(alerts) == 0 {
		return template.KV{}
	}
	shared := template.KV{}
	maps.Copy(shared, pairs(&alerts[0]))
	for i := range alerts[1:] {
		other := pairs(&alerts[1:][i])
		maps.DeleteFunc(shared, func(name, value string) bool { return other[name] != value })
	}
	return shared
}
