package webhook

import (
	"errors"
	"fmt"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/wire"
)

// version is that of all webhook bodies since Alertmanager 0.6.
const version = "4"

// Decode reads a webhook body. It is tolerant about fields it does not know and about most that are missing, and strict
// about what the relay cannot do without: a group key, and alerts with fingerprint and status. The relay's own fields
// are empty, whatever the body says. The error is for the person who reads Alertmanager's log.
func Decode(body []byte) (*relay.Notification, error) { return decode(new(wire.Reader), body) }

func decode(r *wire.Reader, body []byte) (*relay.Notification, error) {
	n, err := r.ReadBody(body)
	if err != nil {
		return nil, fmt.Errorf("not a webhook body in JSON: %w", err)
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
