// Package wire reads and writes notifications as JSON: Alertmanager's webhook body, version 4, and the form in which a
// notification waits in the store, which has the relay's own fields beside it. It does what encoding/json would do with
// relay.Notification, several times as fast: this is most of what a notification costs before it is told.
package wire

import (
	"github.com/prometheus/alertmanager/template"

	"github.com/alertrelay/relay"
)

// ReadBody reads a webhook body. Fields it does not know are left out, the relay's own among them: a sender cannot set
// them. The error says at which byte.
func (r *Reader) ReadBody(body []byte) (*relay.Notification, error) {
	return r.read(body, false)
}

// Read reads what Append wrote.
func (r *Reader) Read(b []byte) (*relay.Notification, error) {
	return r.read(b, true)
}

func (r *Reader) read(b []byte, own bool) (*relay.Notification, error) {
	r.begin(b, own)
	defer r.forget()
	n := r.notification()
	if r.end(); r.err != nil {
		return nil, r.err
	}
	return n, nil
}

func (r *Reader) notification() *relay.Notification {
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
			n.Alerts = r.alerts()
		case "notification_reason":
			n.NotificationReason = r.text()
		case "groupLabels":
			n.GroupLabels = r.pairs()
		case "commonLabels":
			n.CommonLabels = r.pairs()
		case "commonAnnotations":
			n.CommonAnnotations = r.pairs()
		case "routeLabels":
			n.RouteLabels = r.pairs()
		case "externalURL":
			n.ExternalURL = r.text()
		case "version":
			n.Version = r.text()
		case "groupKey":
			n.GroupKey = r.text()
		case "truncatedAlerts":
			n.TruncatedAlerts = r.count()
		default:
			if !r.own || !r.notificationOwn(name, n) {
				r.skip()
			}
		}
	})
	return n
}

// notificationOwn reads a field of the relay's own; it reports false when name is none.
func (r *Reader) notificationOwn(name []byte, n *relay.Notification) bool {
	switch string(name) {
	case "relayID":
		n.ID = r.text()
	case "relayReceivedAt":
		n.ReceivedAt = r.time()
	case "relayRoom":
		n.Room = r.text()
	case "relayInsteadOf":
		n.InsteadOf = r.text()
	default:
		return false
	}
	return true
}

// maxAlerts bounds what a hostile body makes of a few bytes: an alert in memory is a hundred times as large as "{},".
// Alertmanager needs 200 bytes for the smallest alert, so a body of 10 MiB never has as many.
const maxAlerts = 50_000

func (r *Reader) alerts() relay.Alerts {
	const usual = 512 // bytes an alert takes
	as := make(relay.Alerts, 0, min(1+(len(r.in)-r.at)/usual, maxAlerts))
	r.array(func() {
		if len(as) == maxAlerts {
			r.fail("too many alerts")
			return
		}
		as = append(as, relay.Alert{})
		r.alert(&as[len(as)-1])
	})
	return as
}

func (r *Reader) alert(a *relay.Alert) {
	r.object(func(name []byte) {
		switch string(name) {
		case "status":
			a.Status = r.text()
		case "labels":
			a.Labels = r.pairs()
		case "annotations":
			a.Annotations = r.pairs()
		case "startsAt":
			a.StartsAt = r.time()
		case "endsAt":
			a.EndsAt = r.time()
		case "generatorURL":
			a.GeneratorURL = r.text()
		case "fingerprint":
			a.Fingerprint = r.text()
		default:
			if !r.own || !r.alertOwn(name, a) {
				r.skip()
			}
		}
	})
}

func (r *Reader) alertOwn(name []byte, a *relay.Alert) bool {
	switch string(name) {
	case "relaySnapshot":
		r.snapshot(&a.Snapshot)
	case "relayRoom":
		a.Room = r.text()
	case "relayChange":
		a.Change = relay.Change(r.text())
	default:
		return false
	}
	return true
}

func (r *Reader) snapshot(s *relay.Snapshot) {
	r.object(func(name []byte) {
		switch string(name) {
		case "trace_id":
			s.TraceID = r.text()
		case "room_id":
			s.RoomID = r.text()
		case "user_agent":
			s.UserAgent = r.text()
		case "extra":
			s.Extra = r.pairs()
		case "time":
			s.Time = r.time()
		case "trace_url":
			s.TraceURL = r.text()
		case "sources":
			s.Sources = map[string]relay.Source{}
			r.object(func(name []byte) {
				field := r.keep(name)
				s.Sources[field] = relay.Source(r.text())
			})
		default:
			r.skip()
		}
	})
}

// pairs reads labels or annotations; null is nil, as if they were missing.
func (r *Reader) pairs() template.KV {
	if r.null() {
		return nil
	}
	kv := template.KV{}
	r.object(func(name []byte) {
		key := r.keep(name)
		kv[key] = r.text()
	})
	return kv
}
