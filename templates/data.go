package templates

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/template"

	"github.com/alertrelay/relay"
)

// Data is the dot of every template: all that Alertmanager's templates know (Receiver, Status, Alerts, GroupLabels,
// CommonLabels, CommonAnnotations, RouteLabels, ExternalURL, NotificationReason), under the same names, and more.
// One execution owns it.
type Data struct {
	// Notification has Alertmanager's fields, GroupKey and TruncatedAlerts, and the methods Silence, SilenceAlert,
	// Runbook and ReceiverName.
	*relay.Notification

	// Alerts are the alerts that this message shows: all of the notification, or those of one part.
	Alerts relay.Alerts `json:"alerts"`
	// Part counts from 1 to Parts; both are zero when the notification fits into one message.
	Part, Parts int
	// Omitted are alerts that this message only counts.
	Omitted relay.Alerts
	// Merged counts the earlier notifications that this one stands for, Since is when the oldest of them came.
	Merged int
	Since  time.Time
	// Mentions are the people to mention, as the channel writes them.
	Mentions []string
	// Now is the time of rendering.
	Now time.Time
	// RelayURL is where people reach the relay; empty when not configured.
	RelayURL string

	shared *shared
	items  []*Item
}

// shared is what all alerts of a notification agree on and the default texts therefore say once.
type shared struct {
	name, severity, summary, description, source string
	snapshot                                     relay.Snapshot
	firing, resolved                             int
}

func newData(v relay.View, relayURL string) *Data {
	t := v.Delivery.Tellings[v.Telling]
	d := &Data{
		Notification: t.Notification,
		Alerts:       v.Alerts,
		Part:         v.Part,
		Parts:        v.Parts,
		Omitted:      v.Omitted,
		Merged:       t.Merged,
		Since:        t.Since,
		Mentions:     v.Mentions,
		Now:          v.Delivery.Now,
		RelayURL:     relayURL,
	}
	if d.Alerts == nil {
		d.Alerts = t.Notification.Alerts
	}
	d.Alerts = withDuration(d.Alerts, d.Now)
	return d
}

// withDuration fills in the durations that nobody has set, in a copy.
func withDuration(alerts relay.Alerts, now time.Time) relay.Alerts {
	unset := func(a relay.Alert) bool { return a.Duration == 0 }
	if !slices.ContainsFunc(alerts, unset) {
		return alerts
	}
	alerts = slices.Clone(alerts)
	for i := range alerts {
		if a := &alerts[i]; unset(*a) {
			end := now
			if a.Status == relay.StatusResolved && !a.EndsAt.IsZero() {
				end = a.EndsAt
			}
			a.Duration = max(0, end.Sub(a.StartsAt))
		}
	}
	return alerts
}

// agreed looks once for what all alerts agree on.
func (d *Data) agreed() *shared {
	if d.shared != nil {
		return d.shared
	}
	n := d.Notification
	d.shared = &shared{name: nameOf(n), severity: worst(n.Alerts), snapshot: n.Snapshot()}
	for i := range n.Alerts {
		if n.Alerts[i].Status == relay.StatusResolved {
			d.shared.resolved++
		} else {
			d.shared.firing++
		}
	}
	d.shared.source = same(n.Alerts, func(a *relay.Alert) string { return a.GeneratorURL })
	if len(n.Alerts) > 1 {
		d.shared.summary = same(n.Alerts, func(a *relay.Alert) string { return summary(a.Annotations) })
		d.shared.description = same(n.Alerts, func(a *relay.Alert) string { return description(a.Annotations) })
	}
	return d.shared
}

// same is what read finds in every alert; empty when they differ.
func same(alerts relay.Alerts, read func(*relay.Alert) string) string {
	var first string
	for i := range alerts {
		if s := read(&alerts[i]); i == 0 {
			first = s
		} else if s != first {
			return ""
		}
	}
	return first
}

// worst is the worst severity of the alerts that fire, or of all when none fires.
func worst(alerts relay.Alerts) string {
	var worst string
	status := alerts.Status()
	for i := range alerts {
		if s := alerts[i].Severity(); alerts[i].Status == status && s != "" && (worst == "" || rank(s) > rank(worst)) {
			worst = s
		}
	}
	return worst
}

// nameOf is the alert name all alerts share, else up to maxNames of them.
func nameOf(n *relay.Notification) string {
	if name := cmp.Or(n.CommonLabels["alertname"], n.GroupLabels["alertname"]); name != "" {
		return name
	}
	var names []string
	for i := range n.Alerts {
		name := n.Alerts[i].Labels["alertname"]
		if name == "" || slices.Contains(names, name) {
			continue
		}
		if len(names) == maxNames {
			return strings.Join(names, ", ") + ", …"
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// maxNames bounds the alert names in a title.
const maxNames = 3

// FiringCount is how many alerts of the whole notification fire.
func (d *Data) FiringCount() int { return d.agreed().firing }

// ResolvedCount is how many alerts of the whole notification are resolved.
func (d *Data) ResolvedCount() int { return d.agreed().resolved }

// Severity is the worst severity of the alerts that fire, or of all when none fires; empty when none has one.
func (d *Data) Severity() string { return d.agreed().severity }

// Name is what the notification is about: the alert name all alerts share, else up to three of them.
func (d *Data) Name() string { return d.agreed().name }

// IsReminder reports whether nothing is new: Alertmanager's repeat_interval has passed (0.32 and later say so).
func (d *Data) IsReminder() bool { return d.NotificationReason == relay.ReasonRepeat }

// Place is where it happens: the values of the group's labels, without the alert's name and severity.
func (d *Data) Place() string {
	var values []string
	for _, p := range d.GroupLabels.SortedPairs() {
		if !isHeadline(p.Name) && len(values) < maxPlace {
			values = append(values, p.Value)
		}
	}
	return strings.Join(values, " ")
}

// maxPlace bounds the group label values in a title.
const maxPlace = 4

// Where are the labels that all alerts share and that stand nowhere else in the default texts.
func (d *Data) Where() template.Pairs {
	return telling(d.CommonLabels, nil, d.Snapshot())
}

// Snapshot is the context that all alerts of the notification agree on, field by field.
func (d *Data) Snapshot() relay.Snapshot { return d.agreed().snapshot }

// Summary is the summary that all alerts share; empty when they differ, or there is only one.
func (d *Data) Summary() string { return d.agreed().summary }

// Description is the description that all alerts share; empty when they differ, or there is only one.
func (d *Data) Description() string { return d.agreed().description }

// Source is the link to the expression behind all alerts; empty when they differ.
func (d *Data) Source() string { return d.agreed().source }

// OmittedCounts says what Omitted holds: how many by alert name and severity, the most first.
func (d *Data) OmittedCounts() string { return countsOf(d.Omitted) }

// Items are the alerts that this message shows, each with what tells it from the others: those that fire first.
func (d *Data) Items() []*Item {
	if d.items == nil {
		for _, status := range []string{relay.StatusFiring, relay.StatusResolved} {
			for i := range d.Alerts {
				if a := &d.Alerts[i]; a.Status == status {
					d.items = append(d.items, &Item{Alert: a, Group: d})
				}
			}
		}
	}
	return d.items
}

// FiringItems are the Items that fire.
func (d *Data) FiringItems() []*Item { return d.itemsWith(relay.StatusFiring) }

// ResolvedItems are the Items that are resolved.
func (d *Data) ResolvedItems() []*Item { return d.itemsWith(relay.StatusResolved) }

func (d *Data) itemsWith(status string) []*Item {
	var items []*Item
	for _, i := range d.Items() {
		if i.Status == status {
			items = append(items, i)
		}
	}
	return items
}

// An Item is one alert as the default texts show it. It has all of the alert; its own methods leave out what the
// message says once for all alerts.
type Item struct {
	*relay.Alert

	// Group is the dot of the whole template.
	Group *Data
}

// Name is the alert's name; empty when it stands in the title.
func (i *Item) Name() string {
	if name := i.Labels["alertname"]; name != i.Group.Name() {
		return name
	}
	return ""
}

// Where are the labels that tell this alert from the others.
func (i *Item) Where() template.Pairs {
	return telling(i.Labels, i.Group.CommonLabels, i.Snapshot)
}

// Own is the part of the alert's snapshot that not all alerts agree on.
func (i *Item) Own() relay.Snapshot {
	own, common := i.Snapshot, i.Group.Snapshot()
	if own.TraceID == common.TraceID {
		own.TraceID, own.TraceURL = "", ""
	}
	if own.RoomID == common.RoomID {
		own.RoomID = ""
	}
	if own.UserAgent == common.UserAgent {
		own.UserAgent = ""
	}
	own.Extra = maps.Clone(own.Extra)
	maps.DeleteFunc(own.Extra, func(name, value string) bool { return common.Extra[name] == value })
	return own
}

// Summary is the annotation summary, else description or message; empty when the message says it for all.
func (i *Item) Summary() string {
	if s := summary(i.Annotations); s != i.Group.Summary() {
		return s
	}
	return ""
}

// Description is the annotation description, else message; empty when it says no more than the summary, or the message
// says it for all.
func (i *Item) Description() string {
	if s := description(i.Annotations); s != i.Group.Description() {
		return s
	}
	return ""
}

// Runbook is the alert's runbook link; empty when all alerts share it.
func (i *Item) Runbook() string {
	if u := i.Alert.Runbook(); u != i.Group.Runbook() {
		return u
	}
	return ""
}

// Source is the link to the alert's expression; empty when all alerts share it.
func (i *Item) Source() string {
	if i.Group.Source() != "" {
		return ""
	}
	return i.GeneratorURL
}

func summary(annotations template.KV) string {
	return cmp.Or(annotations["summary"], annotations["description"], annotations["message"])
}

func description(annotations template.KV) string {
	if s := cmp.Or(annotations["description"], annotations["message"]); s != summary(annotations) {
		return s
	}
	return ""
}

// telling are the labels worth a reader's attention: not those in common, not what stands in the headline, not what the
// snapshot says.
func telling(labels, common template.KV, s relay.Snapshot) template.Pairs {
	var pairs template.Pairs
	for _, p := range labels.SortedPairs() {
		value, shared := common[p.Name]
		known := p.Value == s.TraceID || p.Value == s.RoomID || p.Value == s.UserAgent
		if !isHeadline(p.Name) && !known && p.Value != "" && (!shared || value != p.Value) {
			pairs = append(pairs, p)
		}
	}
	return pairs
}

// isHeadline reports whether the default texts show a label in their title.
func isHeadline(label string) bool {
	return label == "alertname" || label == "severity" || label == "level"
}

// countsOf counts alerts by name and severity, the most first: "HighErrors/critical 30, DiskFull/warning 7".
func countsOf(alerts relay.Alerts) string {
	counts := map[string]int{}
	for i := range alerts {
		a := &alerts[i]
		counts[strings.TrimSuffix(short(a.Labels["alertname"])+"/"+short(a.Severity()), "/")]++
	}
	kinds := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	var b strings.Builder
	for i, kind := range kinds {
		if i == maxKinds {
			b.WriteString(", …")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(kind + " " + strconv.Itoa(counts[kind]))
	}
	return b.String()
}

// maxKinds bounds the kinds of alerts that countsOf names.
const maxKinds = 8

// short bounds a value in a count.
func short(s string) string { return cut(60, oneLine(s)) }
