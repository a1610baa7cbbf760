package deliver

import (
	"slices"

	"github.com/prometheus/alertmanager/template"

	"github.com/alertrelay/relay"
)

// merge makes one notification of those that wait in a lane, oldest first. It is the newest, plus every alert that an
// earlier one showed and the newest lacks: nobody was told of it yet, and nobody will be told again. What was resolved is
// shown as resolved, also when a late copy of its firing came after it. What fired and then went without a word is shown
// as gone.
func merge(waiting []*relay.Notification) *relay.Notification {
	newest := waiting[len(waiting)-1]
	if len(waiting) == 1 {
		return newest
	}
	shown := make(map[relay.AlertKey]string, len(newest.Alerts)) // the status shown of each firing of an alert
	for _, a := range newest.Alerts {
		shown[a.Key()] = a.Status
	}
	var missing relay.Alerts
	gone := map[relay.AlertKey]int{} // the place in missing of what went without a word, as far as is known
	for _, earlier := range slices.Backward(waiting[:len(waiting)-1]) {
		for _, a := range earlier.Alerts {
			if place, ok := gone[a.Key()]; ok && a.Status == relay.StatusResolved {
				missing[place] = a
				delete(gone, a.Key())
				continue
			}
			status, ok := shown[a.Key()]
			if ok && (status == relay.StatusResolved || a.Status == relay.StatusFiring) {
				continue // its end, or a state at least as new, is shown
			}
			if a.Status == relay.StatusFiring {
				a.Change, a.Status = relay.ChangeGone, relay.StatusResolved
				gone[a.Key()] = len(missing)
			}
			shown[a.Key()] = relay.StatusResolved
			missing = append(missing, a)
		}
	}
	if len(missing) == 0 {
		return newest
	}
	merged := *newest
	merged.Alerts = slices.Concat(newest.Alerts, missing)
	merged.CommonLabels = newest.CommonLabels
	merged.CommonAnnotations = newest.CommonAnnotations
	for _, a := range missing {
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
