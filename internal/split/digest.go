package split

import (
	"slices"

	"github.com/alertrelay/relay"
)

// digest makes the only message of a delivery that tells several notifications: a compact part over the alerts of all of
// them, so that it takes one send slot.
func (s *splitter[T]) digest() ([]T, error) {
	together := merge(s.view.Delivery.Tellings)
	d := *s.view.Delivery
	d.Tellings = []relay.Telling{together}
	s.view.Delivery, s.view.Telling = &d, 0
	p, err := s.compact(together.Notification.Alerts, 0, 0)
	return []T{p.message}, err
}

// merge makes one notification of several. It has no ID. Its first alerts are the first of each of them, so that each has
// a line of its own before any has two. What is late, or could not be told elsewhere, its alerts say.
func merge(tellings []relay.Telling) relay.Telling {
	n := *tellings[0].Notification
	n.ID, n.GroupKey, n.Alerts, n.TruncatedAlerts, n.InsteadOf = "", "", nil, 0, ""
	together := relay.Telling{Notification: &n, Since: tellings[0].Since}
	var rest relay.Alerts
	for _, t := range tellings {
		together.Merged += t.Merged
		if t.Since.Before(together.Since) {
			together.Since = t.Since
		}
		alerts := firingFirst(t.Notification.Alerts)
		for i := range alerts { // a copy: the notification stays as it is
			alerts[i].InsteadOf = t.Notification.InsteadOf
			if t.Late {
				alerts[i].LateSince = t.Since
			}
		}
		if len(alerts) > 0 {
			n.Alerts, rest = append(n.Alerts, alerts[0]), append(rest, alerts[1:]...)
		}
		n.TruncatedAlerts += t.Notification.TruncatedAlerts
		n.GroupLabels = agreed(n.GroupLabels, t.Notification.GroupLabels)
		n.CommonLabels = agreed(n.CommonLabels, t.Notification.CommonLabels)
		n.CommonAnnotations = agreed(n.CommonAnnotations, t.Notification.CommonAnnotations)
	}
	n.Alerts = slices.Concat(firingFirst(n.Alerts), firingFirst(rest))
	n.Status = n.Alerts.Status()
	return together
}

// agreed is what a and b have in common.
func agreed[M ~map[string]string](a, b M) M {
	both := M{}
	for name, value := range a {
		if other, ok := b[name]; ok && other == value {
			both[name] = value
		}
	}
	return both
}
