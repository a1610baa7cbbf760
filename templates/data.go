package templates

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/template"

	"github.com/alertrelay/relay"
)

// Data is the dot of every template: all that Alertmanager's templates know, under the same names, and more. One
// execution owns it.
//
// Its fields stand in the struct itself, not in an embedded one: reflection finds them several times faster.
type Data struct {
	Receiver string `json:"receiver"`
	Status   string `json:"status"`
	// Alerts are the alerts that this message shows: all of the notification, or those of one part.
	Alerts Alerts `json:"alerts"`

	NotificationReason string `json:"notification_reason"`

	GroupLabels       template.KV `json:"groupLabels"`
	CommonLabels      template.KV `json:"commonLabels"`
	CommonAnnotations template.KV `json:"commonAnnotations"`
	RouteLabels       template.KV `json:"routeLabels"`

	ExternalURL string `json:"externalURL"`

	// What follows is not in Alertmanager's data.

	GroupKey        string `json:"groupKey"`
	TruncatedAlerts uint64 `json:"truncatedAlerts"`
	// ID is the notification's, Room its routing room; empty when it is not bound to one.
	ID   string `json:"relayID,omitempty"`
	Room string `json:"relayRoom,omitempty"`
	// Part counts from 1 to Parts; both are zero when the notification fits into one message.
	Part  int `json:"-"`
	Parts int `json:"-"`
	// Merged counts the earlier notifications that this one stands for, Since is when the oldest of them came.
	Merged int       `json:"-"`
	Since  time.Time `json:"-"`
	// LastTold is when this destination was last told about the group, LastFiring how many alerts fired then; zero when it
	// was told nothing yet.
	LastTold   time.Time `json:"-"`
	LastFiring int       `json:"-"`
	// Late says that a person brought it back from the dead letters: it is from Since, and may be old news.
	Late bool `json:"-"`
	// InsteadOf is the integration that could not be told this, so that it came to the fallback receiver; else empty.
	InsteadOf string `json:"relayInsteadOf,omitempty"`
	// Mentions are the people to mention, as the channel writes them.
	Mentions []string `json:"-"`
	// Now is the time of rendering.
	Now time.Time `json:"-"`
	// RelayURL is where people reach the relay; empty when not configured.
	RelayURL string `json:"-"`

	words        words // of the language that it is told in; may be nil
	notification *relay.Notification
	shown        relay.Alerts // what Alerts are made of
	omitted      relay.Alerts
	common       *common
	items        []*Item
}

// Alerts is a list of alerts, in Alertmanager's order.
type Alerts []Alert

// An Alert is one alert of a Data: Alertmanager's, with the context of the request behind it.
type Alert struct {
	Status       string      `json:"status"`
	Labels       template.KV `json:"labels"`
	Annotations  template.KV `json:"annotations"`
	StartsAt     time.Time   `json:"startsAt"`
	EndsAt       time.Time   `json:"endsAt"`
	GeneratorURL string      `json:"generatorURL"`
	Fingerprint  string      `json:"fingerprint"`

	// Snapshot is the context of the request that suffered; zero when nothing is known.
	Snapshot relay.Snapshot `json:"relaySnapshot,omitzero"`
	// Room is the routing room.
	Room string `json:"relayRoom,omitempty"`
	// Change is new, still or resolved, against what this destination was last told, or gone: it fired, was never told, and
	// is no longer reported. Empty when nobody knows.
	Change string `json:"-"`
	// Duration is how long the alert has been firing, or fired until it was resolved. Never negative.
	Duration time.Duration `json:"-"`
	// Severity is the label severity, else level; empty when the alert has neither.
	Severity string `json:"-"`
	// Runbook is the annotation runbook_url, else runbook; empty when the alert has neither.
	Runbook string `json:"-"`
}

// Firing returns the alerts that fire, in order.
func (as Alerts) Firing() Alerts { return as.with(relay.StatusFiring) }

// Resolved returns the alerts that are resolved, in order.
func (as Alerts) Resolved() Alerts { return as.with(relay.StatusResolved) }

// with returns the part of as in one status: as itself when all of it is.
func (as Alerts) with(status string) Alerts {
	n := 0
	for i := range as {
		if as[i].Status == status {
			n++
		}
	}
	if n == len(as) {
		return as
	}
	out := make(Alerts, 0, n)
	for i := range as {
		if as[i].Status == status {
			out = append(out, as[i])
		}
	}
	return out
}

// newData makes the dot for a view.
func newData(v relay.View, relayURL string) *Data {
	t := v.Delivery.Tellings[v.Telling]
	n := t.Notification
	shown := v.Alerts
	if shown == nil {
		shown = n.Alerts
	}
	return &Data{
		Receiver:           n.Receiver,
		Status:             n.Status,
		Alerts:             alertsAt(shown, v.Delivery.Now),
		NotificationReason: n.NotificationReason,
		GroupLabels:        n.GroupLabels,
		CommonLabels:       n.CommonLabels,
		CommonAnnotations:  n.CommonAnnotations,
		RouteLabels:        n.RouteLabels,
		ExternalURL:        n.ExternalURL,
		GroupKey:           n.GroupKey,
		TruncatedAlerts:    n.TruncatedAlerts,
		ID:                 n.ID,
		Room:               n.Room,
		Part:               v.Part,
		Parts:              v.Parts,
		Merged:             t.Merged,
		Since:              t.Since,
		LastTold:           t.LastTold,
		LastFiring:         t.LastFiring,
		Late:               t.Late,
		InsteadOf:          n.InsteadOf,
		Mentions:           v.Mentions,
		Now:                v.Delivery.Now,
		RelayURL:           relayURL,
		notification:       n,
		shown:              shown,
		omitted:            v.Omitted,
	}
}

// alertsAt are alerts as templates see them at a time.
func alertsAt(alerts relay.Alerts, now time.Time) Alerts {
	out := make(Alerts, len(alerts))
	for i := range alerts {
		a := &alerts[i]
		out[i] = Alert{
			Status:       a.Status,
			Labels:       a.Labels,
			Annotations:  a.Annotations,
			StartsAt:     a.StartsAt,
			EndsAt:       a.EndsAt,
			GeneratorURL: a.GeneratorURL,
			Fingerprint:  a.Fingerprint,
			Snapshot:     a.Snapshot,
			Room:         a.Room,
			Change:       string(a.Change),
			Duration:     durationAt(a, now),
			Severity:     a.Severity(),
			Runbook:      a.Runbook(),
		}
	}
	return out
}

// durationAt is the alert's duration as it was set when the delivery was put together, else as of now.
func durationAt(a *relay.Alert, now time.Time) time.Duration {
	if a.Duration != 0 {
		return a.Duration
	}
	if a.Status == relay.StatusResolved && !a.EndsAt.IsZero() {
		now = a.EndsAt
	}
	return max(0, now.Sub(a.StartsAt))
}

// ReceiverName is the receiver's name as configured in Alertmanager; Receiver is the quoted regular expression that
// Alertmanager sends.
func (d *Data) ReceiverName() string { return d.notification.ReceiverName() }

// Runbook is the runbook link all alerts have in common; empty when they have none, or it may not be followed.
func (d *Data) Runbook() string { return d.agreed().runbook }

// Silence links to Alertmanager's page for a new silence over the labels of the group.
func (d *Data) Silence() string { return httpURL(d.notification.Silence()) }

// SilenceAlert links to Alertmanager's page for a new silence over one alert's labels.
func (d *Data) SilenceAlert(a Alert) string {
	return httpURL(d.notification.SilenceAlert(relay.Alert{Alert: template.Alert{Labels: a.Labels}}))
}

// IsReminder reports whether nothing is new: Alertmanager's repeat_interval has passed (0.32 and later say so).
func (d *Data) IsReminder() bool { return d.NotificationReason == relay.ReasonRepeat }

// FiringCount is how many alerts of the whole notification fire.
func (d *Data) FiringCount() int { return d.agreed().firing }

// ResolvedCount is how many alerts of the whole notification are resolved.
func (d *Data) ResolvedCount() int { return d.agreed().resolved }

// GoneCount is how many alerts of the whole notification fired, were never told, and are no longer reported.
func (d *Data) GoneCount() int { return d.agreed().gone }

// Severity is the worst severity of the alerts that fire, or of all when none fires; empty when none has one.
func (d *Data) Severity() string { return d.agreed().severity }

// Name is what the notification is about: the alert name all alerts share, else up to three of them.
func (d *Data) Name() string { return d.agreed().name }

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
func (d *Data) Where() template.Pairs { return telling(d.CommonLabels, nil, &d.agreed().snapshot) }

// Snapshot is the context that all alerts of the notification agree on, field by field.
func (d *Data) Snapshot() relay.Snapshot { return d.agreed().snapshot }

// Summary is the summary that all alerts share; empty when they differ, or there is only one.
func (d *Data) Summary() string { return d.agreed().summary }

// Description is the description that all alerts share; empty when they differ, or there is only one.
func (d *Data) Description() string { return d.agreed().description }

// Source is the link to the expression behind all alerts; empty when they differ, or it may not be followed.
func (d *Data) Source() string { return httpURL(d.agreed().source) }

// Omitted are the alerts that this message only counts.
func (d *Data) Omitted() Alerts { return alertsAt(d.omitted, d.Now) }

// OmittedCount is how many alerts this message only counts.
func (d *Data) OmittedCount() int { return len(d.omitted) }

// OmittedCounts says how many of them there are by alert name and severity, the most frequent first.
func (d *Data) OmittedCounts() string { return tallyOf(d.omitted).in(d.words) }

// common is what all alerts of a notification agree on and the default texts therefore say once.
type common struct {
	name, severity       string
	summary, description string
	runbook, source      string
	snapshot             relay.Snapshot
	firing               int
	resolved, gone       int
}

// agreed looks once for what all alerts agree on.
func (d *Data) agreed() *common {
	if d.common != nil {
		return d.common
	}
	n := d.notification
	d.common = &common{
		name: nameOf(n), severity: worst(n.Alerts), snapshot: n.Snapshot(), runbook: httpURL(n.Runbook()),
	}
	for i := range n.Alerts {
		switch a := &n.Alerts[i]; {
		case a.Change == relay.ChangeGone:
			d.common.gone++
		case a.Status == relay.StatusResolved:
			d.common.resolved++
		default:
			d.common.firing++
		}
	}
	d.common.source = same(n.Alerts, func(a *relay.Alert) string { return a.GeneratorURL })
	if len(n.Alerts) > 1 {
		d.common.summary = same(n.Alerts, func(a *relay.Alert) string { return summary(a.Annotations) })
		d.common.description = same(n.Alerts, func(a *relay.Alert) string { return description(a.Annotations) })
	}
	return d.common
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

// summary is the annotation summary, else description, else message.
func summary(annotations template.KV) string {
	return cmp.Or(annotations["summary"], annotations["description"], annotations["message"])
}

// description is the annotation description, else message, when it says more than the summary.
func description(annotations template.KV) string {
	if s := cmp.Or(annotations["description"], annotations["message"]); s != summary(annotations) {
		return s
	}
	return ""
}

// telling are the labels worth a reader's attention: not those in common, not what stands in the headline, not what the
// snapshot says.
func telling(labels, common template.KV, s *relay.Snapshot) template.Pairs {
	var pairs template.Pairs
	for name, value := range labels {
		shared, ok := common[name]
		known := value == s.TraceID || value == s.RoomID || value == s.UserAgent
		if !isHeadline(name) && !known && value != "" && (!ok || shared != value) {
			pairs = append(pairs, template.Pair{Name: name, Value: value})
		}
	}
	slices.SortFunc(pairs, func(a, b template.Pair) int { return cmp.Compare(a.Name, b.Name) })
	return pairs
}

// isHeadline reports whether the default texts show a label in their title.
func isHeadline(label string) bool {
	return label == "alertname" || label == "severity" || label == "level"
}
