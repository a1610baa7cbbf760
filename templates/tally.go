package templates

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/alertrelay/relay"
)

// A tally counts alerts by name and severity.
type tally struct {
	counts map[kind]int
	total  int
}

type kind struct{ name, severity string }

func tallyOf(alerts relay.Alerts) *tally {
	t := &tally{counts: map[kind]int{}}
	for i := range alerts {
		t.add(&alerts[i])
	}
	return t
}

func (t *tally) add(a *relay.Alert) {
	t.counts[kind{a.Labels["alertname"], a.Severity()}]++
	t.total++
}

// in names the kinds, the most frequent first, with their severities in the words of a language: "HighErrors/critical 30,
// DiskFull/warning 7".
func (t *tally) in(w words) string {
	kinds := slices.SortedFunc(maps.Keys(t.counts), func(a, b kind) int {
		return cmp.Or(cmp.Compare(t.counts[b], t.counts[a]), cmp.Compare(a.name, b.name), cmp.Compare(a.severity, b.severity))
	})
	var parts []string
	for i, k := range kinds {
		if i == maxKinds {
			parts = append(parts, "…")
			break
		}
		name := strings.TrimSuffix(short(maxKindField, k.name)+"/"+short(maxKindField, w.severity(k.severity)), "/")
		parts = append(parts, name+" "+strconv.Itoa(t.counts[k]))
	}
	return strings.Join(parts, ", ")
}

// Bounds of a tally's text: the kinds it names, and the characters of a name or severity.
const (
	maxKinds     = 8
	maxKindField = 60
)
