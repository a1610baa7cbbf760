package relay

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/template"
)

// A Notification is one webhook about one alert group: Alertmanager's template data under Alertmanager's names, and what
// the relay adds. After enrichment nobody changes it; stages that need another view make a copy.
//
// The JSON form is Alertmanager's webhook body, version 4, with the relay's own fields beside it. The way in overwrites
// the relay's own fields, so that a sender cannot set them.
type Notification struct {
	// Data has Alertmanager's fields and methods. Its Alerts are shadowed by ours and stay empty.
	template.Data

	Alerts          Alerts `json:"alerts"`
	Version         string `json:"version"`
	GroupKey        string `json:"groupKey"`
	TruncatedAlerts uint64 `json:"truncatedAlerts"`

	// ID is the relay's own: a ULID, given at the way in. It sorts by time of arrival.
	ID string `json:"relayID,omitempty"`
	// ReceivedAt is when the webhook arrived.
	ReceivedAt time.Time `json:"relayReceivedAt,omitzero"`
	// Room is the routing room this part of the notification is for; empty when it is not bound to one.
	Room string `json:"relayRoom,omitempty"`
	// InsteadOf is the integration that could not be told this, when it goes to the fallback receiver; else empty.
	InsteadOf string `json:"relayInsteadOf,omitempty"`
}

// Alerts is a list of alerts, in Alertmanager's order.
type Alerts []Alert

// An Alert is Alertmanager's alert with the context of the request behind it.
type Alert struct {
	template.Alert

	// Snapshot is the context of the request that suffered; zero when nothing is known.
	Snapshot Snapshot `json:"relaySnapshot,omitzero"`
	// Room is the routing room, pinned when the alert was first accepted; empty when it has none.
	Room string `json:"relayRoom,omitempty"`

	// Change and Duration belong to one delivery. They are set when the delivery is put together; of a Change only gone is
	// stored, when what waits was folded.
	// Change tells what is new since the last delivery of this group to the same destination.
	Change Change `json:"relayChange,omitempty"`
	// Duration is how long the alert has been firing, or fired until it was resolved. Never negative.
	Duration time.Duration `json:"-"`

	// LateSince and InsteadOf are set in a digest alone, whose notifications differ in them: when the alert was received,
	// if a person brought it back from the dead letters, and the integration that could not be told of it.
	LateSince time.Time `json:"-"`
	InsteadOf string    `json:"-"`
}

// A Change tells how an alert stands against the last delivery of its group to the same destination.
type Change string

// The changes an alert can go through.
const (
	ChangeNew      Change = "new"      // not told before, or firing again
	ChangeStill    Change = "still"    // told before and unchanged
	ChangeResolved Change = "resolved" // resolved since it was last told
	// ChangeGone is an alert of an earlier notification that waited in the lane: it fired then, was never told, and the
	// newest notification does not report it any more. Its Status is resolved, so that no text calls it firing.
	ChangeGone Change = "gone"
)

// Alertmanager's two states of an alert and of a notification.
const (
	StatusFiring   = "firing"
	StatusResolved = "resolved"
)

// ReasonRepeat is Alertmanager's notification_reason of a reminder (0.32 and later; older versions give none).
const ReasonRepeat = "repeat interval elapsed"

// Firing returns the alerts that fire, in order.
func (as Alerts) Firing() Alerts { return as.with(StatusFiring) }

// Resolved returns the alerts that are resolved, in order.
func (as Alerts) Resolved() Alerts { return as.with(StatusResolved) }

func (as Alerts) with(status string) Alerts {
	var out Alerts
	for _, a := range as {
		if a.Status == status {
			out = append(out, a)
		}
	}
	return out
}

// Status is firing when any of the alerts fires, else resolved, as Alertmanager computes it.
func (as Alerts) Status() string {
	if slices.ContainsFunc(as, func(a Alert) bool { return a.Status == StatusFiring }) {
		return StatusFiring
	}
	return StatusResolved
}

// Severity is the label severity, else level; empty when the alert has neither.
func (a Alert) Severity() string {
	if s := a.Labels["severity"]; s != "" {
		return s
	}
	return a.Labels["level"]
}

// Runbook is the annotation runbook_url, else runbook; empty when the alert has neither.
func (a Alert) Runbook() string { return runbook(a.Annotations) }

// ReceiverName is the receiver's name as configured in Alertmanager. Alertmanager sends it as a quoted regular
// expression (its template.Data, since 0.8); Receiver keeps that form, because its templates expect it. A text that
// quoting cannot have made is taken as it is.
func (n *Notification) ReceiverName() string {
	var name []byte
	for i := 0; i < len(n.Receiver); i++ {
		c := n.Receiver[i]
		if c == '\\' && i+1 < len(n.Receiver) && special(n.Receiver[i+1]) {
			i++
			c = n.Receiver[i]
		} else if special(c) {
			return n.Receiver
		}
		name = append(name, c)
	}
	return string(name)
}

// special reports whether regexp.QuoteMeta puts a backslash before c.
func special(c byte) bool { return strings.IndexByte(`\.+*?()|[]{}^$`, c) >= 0 }

// Runbook is the runbook link all alerts have in common; empty when they have none.
func (n *Notification) Runbook() string { return runbook(n.CommonAnnotations) }

// Silence links to Alertmanager's page for a new silence over the labels of the group; empty without an external URL.
func (n *Notification) Silence() string { return n.silence(n.GroupLabels) }

// SilenceAlert links to Alertmanager's page for a new silence over one alert's labels; empty without an external URL.
func (n *Notification) SilenceAlert(a Alert) string { return n.silence(a.Labels) }

func (n *Notification) silence(labels template.KV) string {
	if n.ExternalURL == "" || len(labels) == 0 {
		return ""
	}
	var matchers []string
	for _, p := range labels.SortedPairs() {
		matchers = append(matchers, p.Name+`="`+quoted(p.Value)+`"`)
	}
	filter := url.QueryEscape("{" + strings.Join(matchers, ", ") + "}")
	return strings.TrimSuffix(n.ExternalURL, "/") + "/#/silences/new?filter=" + strings.ReplaceAll(filter, "+", "%20")
}

// quoted returns a value as a matcher needs it between quotes.
func quoted(value string) string {
	if !strings.ContainsAny(value, "\\\"\n") { // a replacer costs more than all the rest of the link
		return value
	}
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(value)
}

// Snapshot is the context that all alerts of the notification agree on, field by field.
func (n *Notification) Snapshot() Snapshot {
	var common Snapshot
	for i, a := range n.Alerts {
		if i == 0 {
			common = a.Snapshot
			continue
		}
		common = common.intersect(a.Snapshot)
	}
	return common
}

// Routed returns the notification as a destination is to be computed from it: each alert shows its routing room. What a
// look-up found decides where an alert goes only as far as the routing room says so.
func (n *Notification) Routed() *Notification {
	if !slices.ContainsFunc(n.Alerts, func(a Alert) bool { return a.Snapshot.RoomID != a.Room }) {
		return n
	}
	routed := *n
	routed.Alerts = slices.Clone(n.Alerts)
	for i := range routed.Alerts {
		routed.Alerts[i].Snapshot.RoomID = routed.Alerts[i].Room
	}
	return &routed
}

func runbook(annotations template.KV) string {
	if u := annotations["runbook_url"]; u != "" {
		return u
	}
	return annotations["runbook"]
}
