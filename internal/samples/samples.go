// Package samples has Alertmanager webhook bodies to look at messages with, when there is no real one at hand.
package samples

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/common/model"

	"github.com/alertrelay/relay"
)

// Names are the samples there are, sorted.
func Names() []string { return slices.Sorted(maps.Keys(samples())) }

// Body is the webhook body of a sample whose alerts began minutes before now; nil when there is none of that name.
func Body(name string, now time.Time) []byte {
	make, ok := samples()[name]
	if !ok {
		return nil
	}
	return encode(make(now.UTC().Truncate(time.Second)))
}

// Labelled is the webhook body of one alert with the labels, which fires.
func Labelled(labels map[string]string, now time.Time) []byte {
	return encode(relay.Alerts{alert(now.UTC().Truncate(time.Second), template.KV(labels), template.KV{})})
}

// samples are the alerts of each, by its name.
func samples() map[string]func(now time.Time) relay.Alerts {
	return map[string]func(time.Time) relay.Alerts{
		"firing":   func(now time.Time) relay.Alerts { return relay.Alerts{errorRate(now, 1)} },
		"resolved": func(now time.Time) relay.Alerts { return relay.Alerts{over(errorRate(now, 1), now)} },
		"mixed": func(now time.Time) relay.Alerts {
			return relay.Alerts{errorRate(now, 1), errorRate(now, 2), over(errorRate(now, 3), now)}
		},
		"many":    many,
		"hostile": func(now time.Time) relay.Alerts { return relay.Alerts{hostile(now)} },
	}
}

// manyAlerts is more than any channel shows in one message.
const manyAlerts = 200

func many(now time.Time) relay.Alerts {
	var alerts relay.Alerts
	for n := range manyAlerts {
		alerts = append(alerts, errorRate(now, n+1))
	}
	return alerts
}

// errorRate is an alert with the context of a request, as the relay shows it.
func errorRate(now time.Time, shard int) relay.Alert {
	return alert(now.Add(-5*time.Minute), template.KV{
		"alertname": "RelayTest", "severity": "critical", "service": "order-api", "team": "pay",
		"instance": fmt.Sprintf("10.0.0.%d:8080", shard),
	}, template.KV{
		"summary":     "This is a test of the relay, not a real alert",
		"description": fmt.Sprintf("12.4%% of the requests to shard %d failed in the last 5 minutes.", shard),
		"runbook_url": "https://example.org/runbooks/relay-test",
		"trace_id":    "4bf92f3577b34da6a3ce929d0e0e4736",
		"room_id":     "10086",
		"user_agent":  "LiveApp/8.2.1 (iPhone17,2; iOS 26.1)",
	})
}

// hostile tries to be markup, a link, a mention, a second header. Shown as it is written, it does nothing.
func hostile(now time.Time) relay.Alert {
	const attack = "[click](https://evil.example) <https://evil.example|here> <a href=\"https://evil.example\">x</a> " +
		"@all <@all> <!channel> @13800000000 **bold** `code` # title\r\nBcc: victim@example.org \u202egnp.exe"
	return alert(now.Add(-time.Minute), template.KV{
		"alertname": "RelayTest " + attack, "severity": "warning", "instance": attack,
	}, template.KV{"summary": "A test: " + attack, "description": attack, "runbook_url": "javascript:alert(1)"})
}

func alert(start time.Time, labels, annotations template.KV) relay.Alert {
	set := model.LabelSet{}
	for name, value := range labels {
		set[model.LabelName(name)] = model.LabelValue(value)
	}
	return relay.Alert{Alert: template.Alert{
		Status: relay.StatusFiring, Labels: labels, Annotations: annotations, StartsAt: start,
		GeneratorURL: "http://prometheus.example.org:9090/graph?g0.expr=vector%281%29", Fingerprint: set.Fingerprint().String(),
	}}
}

func over(a relay.Alert, now time.Time) relay.Alert {
	a.Status, a.EndsAt = relay.StatusResolved, now
	return a
}

func encode(alerts relay.Alerts) []byte {
	n := relay.Notification{Alerts: alerts, Version: "4"}
	n.Receiver, n.Status, n.ExternalURL = "relay", alerts.Status(), "http://alertmanager.example.org:9093"
	n.GroupLabels = template.KV{"alertname": alerts[0].Labels["alertname"]}
	n.GroupKey = fmt.Sprintf("{}:{alertname=%q}", alerts[0].Labels["alertname"])
	n.CommonLabels = common(alerts, func(a relay.Alert) template.KV { return a.Labels })
	n.CommonAnnotations = common(alerts, func(a relay.Alert) template.KV { return a.Annotations })
	body, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		panic(err) // texts and times: nothing in it can fail
	}
	return body
}

func common(alerts relay.Alerts, of func(relay.Alert) template.KV) template.KV {
	shared := maps.Clone(of(alerts[0]))
	for _, a := range alerts[1:] {
		maps.DeleteFunc(shared, func(name, value string) bool { return of(a)[name] != value })
	}
	return shared
}
