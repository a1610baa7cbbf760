package deliver

import (
	"fmt"
	"time"

	"github.com/alertrelay/relay"
)

// Preview puts together and renders what the first delivery of n through s would say, as a worker does: where the
// configured templates fail, the plain text stands in and the messages say why (Fallback). Nothing is stored or sent.
func Preview(s relay.Setup, n *relay.Notification, now time.Time) ([]relay.Message, error) {
	to, err := s.Destination(n.Routed())
	if err != nil {
		return nil, fmt.Errorf("compute destination: %w", err)
	}
	compare(n.Alerts, nil, now)
	d := relay.Delivery{
		ID: n.ID, Destination: to, Now: now, Tellings: []relay.Telling{{Notification: n, Since: n.ReceivedAt}},
	}
	if s.Concerned != nil {
		d.People = s.Concerned(&d)
	}
	messages, err := s.Render(d)
	if err == nil && len(messages) == 0 {
		err = errNothing
	}
	if err == nil {
		return messages, nil
	}
	d.Plain, d.ID = true, d.ID+plainSuffix
	messages, plainErr := s.Render(d)
	if plainErr != nil {
		return nil, fmt.Errorf("render the plain fallback: %w, after: %w", plainErr, err)
	}
	for i := range messages {
		messages[i].Fallback = detail(err)
	}
	return messages, nil
}
