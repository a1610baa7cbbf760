package webhook

import (
	"errors"
	"fmt"

	"github.com/prometheus/alertmanager/template"

	"github.com/alertrelay/relay"
)

// version is that of all webhook bodies since Alertmanager 0.6.
const version = "4"

// Decode reads a webhook body. It is tolerant about fields it does not know and about most that are missing, and strict
// about what the relay cannot do without: a group key, and alerts with fingerprint and status. The relay's own fields
// are empty, whatever the body says. The error is for the person who reads Alertmanager's log.
func Decode(body []byte) (*relay.Notification, error) {
	r := newReader(body)
	n := notification(r)
	if r.end(); r.err != nil {
		return nil, fmt.Errorf("not a webhook body: %w", r.err)
	}
	if err := check(n); err != nil {
		return nil, err
	}
	n.Status = n.Alerts.Status() // as Alertmanager computes it
	return n, nil
}

func check(n *relay.Notification) error {
	if n.Version != version {
		return fmt.Errorf("version is %.20q, expected %q: the relay reads Alertmanager's own webhook body, "+
			"not one made by payload: in its webhook_config", n.Version, version)
	}
	if n.GroupKey == "" {
		return errors.New("groupKey is missing")
	}
	if len(n.Alerts) == 0 {
		return errors.New("no alerts")
	}
	for i := range n.Alerts {
		a := &n.Alerts[i]
		if a.Fingerprint == "" {
			return fmt.Errorf("alerts[%d]: fingerprint is missing: Alertmanager sends it since 0.19", i)
		}
		if a.Status != relay.StatusFiring && a.Status != relay.StatusResolved {
			return fmt.Errorf("alerts[%d]: status is %.20q, expected firing or resolved", i, a.Status)
		}
	}
	return nil
}

func notification(r *reader) *relay.Notification {
	n := &relay.Notification{}
	if r.peek() != '{' {
		r.fail("expected an object")
	}
	r.object(func(name []byte) {
		switch string(name) {
		case "receiver":
			n.Receiver = r.text()
		case "status":
			n.Status = r.text()
		case "alerts":
			n.Alerts = alerts(r)
		case "notification_reason":
			n.NotificationReason = r.text()
		case "groupLabels":
			n.GroupLabels = pairs(r)
		case "commonLabels":
			n.CommonLabels = pairs(r)
		case "commonAnnotations":
			n.CommonAnnotations = pairs(r)
		case "routeLabels":
			n.RouteLabels = pairs(r)
		case "externalURL":
			n.ExternalURL = r.text()
		case "version":
			n.Version = r.text()
		case "groupKey":
			n.GroupKey = r.text()
		case "truncatedAlerts":
			n.TruncatedAlerts = r.count()
		default:
			r.skip()
		}
	})
	return n
}

func alerts(r *reader) relay.Alerts {
	const usual = 512 // bytes an alert takes
	as := make(relay.Alerts, 0, 1+(len(r.in)-r.at)/usual)
	r.array(func() {
		as = append(as, relay.Alert{})
		alert(r, &as[len(as)-1])
	})
	return as
}

func alert(r *reader, a *relay.Alert) {
	r.object(func(name []byte) {
		switch string(name) {
		case "status":
			a.Status = r.text()
		case "labels":
			a.Labels = pairs(r)
		case "annotations":
			a.Annotations = pairs(r)
		case "startsAt":
			a.StartsAt = r.time()
		case "endsAt":
			a.EndsAt = r.time()
		case "generatorURL":
			a.GeneratorURL = r.text()
		case "fingerprint":
			a.Fingerprint = r.text()
		default:
			r.skip()
		}
	})
}

// pairs reads labels or annotations; null is nil, as if they were missing.
func pairs(r *reader) template.KV {
	if r.null() {
		return nil
	}
	kv := template.KV{}
	r.object(func(name []byte) {
		key := r.own(name)
		kv[key] = r.text()
	})
	return kv
}
