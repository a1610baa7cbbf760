package slack

import (
	"time"

	"github.com/prometheus/alertmanager/template"

	"github.com/alertrelay/relay"
)

// checkTemplate tries a template of blocks on a notification such as there will be, so that what Slack would refuse is
// found when the configuration is loaded. That the template fails on this one, perhaps for the want of a label, says
// nothing.
func checkTemplate(t relay.Template) error {
	for _, n := range []*relay.Notification{sample(relay.StatusFiring), sample(relay.StatusResolved)} {
		d := relay.Delivery{Tellings: []relay.Telling{{Notification: n, Since: n.ReceivedAt}}, Now: n.ReceivedAt}
		text, err := t.Execute(relay.View{Delivery: &d})
		if err != nil {
			continue
		}
		if _, err := readBlocks(text); err != nil {
			return err
		}
	}
	return nil
}

// sample has two alerts, with the signs in their texts that a template must not take for its own: quotes, a backslash, a
// new line.
func sample(status string) *relay.Notification {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	n := &relay.Notification{GroupKey: `{}:{alertname="Sample"}`, Version: "4", ID: "sample", ReceivedAt: now}
	n.Receiver, n.Status, n.ExternalURL = "sample", status, "http://alertmanager.example.com"
	n.GroupLabels = template.KV{"alertname": "Sample"}
	n.CommonLabels = template.KV{"alertname": "Sample", "severity": "critical"}
	n.CommonAnnotations = template.KV{"runbook_url": "http://example.com/runbook"}
	for _, instance := range []string{`"db\1"`, "db-2"} {
		a := template.Alert{
			Status: status, StartsAt: now.Add(-time.Hour), Fingerprint: instance, GeneratorURL: "http://prometheus.example.com",
			Labels:      template.KV{"alertname": "Sample", "severity": "critical", "instance": instance},
			Annotations: template.KV{"summary": `"full"`, "description": "first\n\"second\"", "runbook_url": "http://example.com/runbook"},
		}
		if status == relay.StatusResolved {
			a.EndsAt = now
		}
		n.Alerts = append(n.Alerts, relay.Alert{Alert: a, Change: relay.ChangeNew, Duration: time.Hour})
	}
	return n
}
