package deliver

import (
	"slices"

	"github.com/prometheus/alertmanager/template"

	"github.com/alertrelay/relay"
)

// merge makes one notification of those that wait in a lane, oldest first. It is the newest, plus every alert that an
// earlier one showed and the newest lacks: nobody was told of it yet, and nobody will be told again. What was resolved is
// shown as resolved, also when a late copy of its firing came after it. What fired and then went without a word is shown
// as gone. To merge some of them first, and the rest with the result, comes to the same.
func merge(waiting []*relay.Notification) *relay.Notification {
	newest := waiting[len(waiting)-1]
	if len(waiting) == 1 {
		return newest
	}
	alerts := slices.Clone(newest.Alerts)
	shown := make(map[relay.AlertKey]string, len(alerts)) // the status shown of each firing of an alert
	gone := map[relay.AlertKey]int{}                      // the place of what went without a word, as far as is known
	for i, a := range alerts {
		shown[a.Key()] = a.Status
		if a.Change == relay.ChangeGone {
			gone[a.Key()] = i
		}
	}
	for _, earlier := range slices.Backward(waiting[:len(waiting)-1]) {
		for _, a := range earlier.Alerts {
			fired := a.Status == relay.StatusFiring || a.Change == relay.ChangeGone
			if place, ok := gone[a.Key()]; ok && !fired {
				alerts[place] = a
				delete(gone, a.Key())
				continue
			}
			status, ok := shown[a.Key()]
			if ok && (status == relay.StatusResolved || fired) {
				continue // its end, or a state at least as new, is shown
			}
			if fired {
				a.Change, a.Status = relay.ChangeGone, relay.StatusResolved
				gone[a.Key()] = len(alerts)
			}
			shown[a.Key()] = relay.StatusResolved
			alerts = append(alerts, a)
		}
	}
	merged := *newest
	merged.Alerts = alerts
	for _, a := range alerts[len(newest.Alerts):] {
		merged.CommonLabels = agreed(merged.CommonLabels, a.Labels)
		merged.CommonAnnotations = agreed(merged.CommonAnnotations, a.Annotations)
	}
	return &merged
}

// agreed returns the pairs of common that other has as well.
func agreed(common, other template.KV) template.KV {
	out := make(template.KV, len(common))
	for name, value := range common {
		if v, ok := other[name]; ok && v == value {
			out[name] = value
		}
	}
	return out
}
