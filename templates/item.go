package templates

import (
	"maps"
	"time"

	"github.com/prometheus/alertmanager/template"

	"github.com/alertrelay/relay"
)

// An Item is one alert as the default texts show it: it leaves out what the message says once for all alerts.
type Item struct {
	// Mark is the sign that is seen before a word is read.
	Mark     string
	Status   string
	Severity string
	// Name is the alert's name; empty when it stands in the title.
	Name string
	// Where are the labels that tell this alert from the others.
	Where template.Pairs
	// Summary is the annotation summary, else description or message.
	Summary string
	// Description is the annotation description, else message, when it says more than the summary.
	Description string
	// Own is the part of the alert's snapshot that not all alerts agree on; nil when there is none.
	Own *relay.Snapshot
	// Runbook and Source are links, or empty.
	Runbook, Source  string
	StartsAt, EndsAt time.Time
	Duration         time.Duration
	Change           string

	// Alert has all of the alert, Group is the dot of the whole template.
	Alert *Alert
	Group *Data

	alert *relay.Alert
}

// Items are the alerts that this message shows, those that fire first.
func (d *Data) Items() []*Item {
	if d.items == nil {
		d.items = append(d.itemsWith(relay.StatusFiring), d.itemsWith(relay.StatusResolved)...)
	}
	return d.items
}

func (d *Data) itemsWith(status string) []*Item {
	var items []*Item
	for i := range d.Alerts {
		if a := &d.Alerts[i]; a.Status == status {
			items = append(items, newItem(d, a, &d.shown[i]))
		}
	}
	return items
}

func newItem(d *Data, a *Alert, original *relay.Alert) *Item {
	common := d.agreed()
	i := &Item{
		Mark:        markOf(original),
		Status:      a.Status,
		Severity:    a.Severity,
		Name:        unless(common.name, a.Labels["alertname"]),
		Where:       telling(a.Labels, d.CommonLabels, &a.Snapshot),
		Summary:     unless(common.summary, summary(a.Annotations)),
		Description: unless(common.description, description(a.Annotations)),
		Own:         ownSnapshot(&a.Snapshot, &common.snapshot),
		Runbook:     unless(d.Runbook(), httpURL(a.Runbook)),
		StartsAt:    a.StartsAt,
		EndsAt:      a.EndsAt,
		Duration:    a.Duration,
		Change:      a.Change,
		Alert:       a,
		Group:       d,
		alert:       original,
	}
	if common.source == "" {
		i.Source = httpURL(a.GeneratorURL)
	}
	return i
}

// unless is own, or nothing when the message says the same for all alerts.
func unless(common, own string) string {
	if own == common {
		return ""
	}
	return own
}

// ownSnapshot is what a snapshot holds beyond what all have in common; nil when that is nothing.
func ownSnapshot(own, common *relay.Snapshot) *relay.Snapshot {
	s := relay.Snapshot{
		TraceID:   unless(common.TraceID, own.TraceID),
		RoomID:    unless(common.RoomID, own.RoomID),
		UserAgent: unless(common.UserAgent, own.UserAgent),
		Time:      own.Time,
		Sources:   own.Sources,
	}
	if s.TraceID != "" {
		s.TraceURL = own.TraceURL
	}
	if len(own.Extra) > len(common.Extra) {
		s.Extra = maps.Clone(own.Extra)
		maps.DeleteFunc(s.Extra, func(name, value string) bool {
			shared, ok := common.Extra[name]
			return ok && shared == value
		})
	}
	if s.IsZero() {
		return nil
	}
	return &s
}
