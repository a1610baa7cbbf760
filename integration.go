package relay

import (
	"context"
	"slices"
	"strings"
	"time"
)

// An Integration is one configured item of a receiver: a DingTalk robot, a Slack webhook, a mailbox. What to say and how
// to send it are apart, so a preview needs no network. All methods may be called concurrently.
type Integration interface {
	// Destination computes where a notification goes: templated channel, address, room. It is pure and is called
	// before the notification is accepted, with Notification.Routed; its result is stored with the entry.
	Destination(n *Notification) (Destination, error)
	// Render makes the messages of a delivery, each within the vendor's limits. It is pure. When a template fails it
	// returns the error, and the caller asks again with d.Plain set, which fails only for a bug.
	Render(d Delivery) ([]Message, error)
	// Send makes one vendor call. It returns once the vendor has answered or ctx has ended. Its errors carry a Kind
	// and no secret.
	Send(ctx context.Context, m Message) (Receipt, error)
}

// A Pacer is an Integration of which some calls have a limit beside that of their destination: Slack counts the updates of
// an app in all its channels together. Such a message has OwnRate.
type Pacer interface {
	// Wait returns for how long Send is not to be called with such a message. Zero means that it is to be called now; until
	// it has ended, the call counts. The replicas share what is counted. Its errors carry a Kind.
	Wait(ctx context.Context, m Message) (time.Duration, error)
}

// An IntegrationID names an integration: receiver, type and name, never its position or a secret, so that inserting an
// item in the configuration moves no backlog. Its form is receiver/type/name.
type IntegrationID string

// A Destination is where an integration sends: a robot, a channel, an address list.
type Destination struct {
	// Key tells destinations of one integration apart. Stable, and free of secrets.
	Key string `json:"key"`
	// Address is what the integration needs to send there: a channel, a list of addresses. Empty for a robot.
	Address string `json:"address,omitempty"`
	// Limiters are the credentials that may send there, any of them; empty means those of the Setup.
	Limiters []LimiterID `json:"limiters,omitempty"`
}

// A LimiterID names the vendor credential whose rate is counted: a robot, an incoming webhook, a channel of a bot. It is
// derived from the credential but does not reveal it.
type LimiterID string

// A Limit is how many messages a limiter may send in any window of length Per. Zero Messages means no limit.
type Limit struct {
	Messages int
	Per      time.Duration
}

// Backlog says what becomes of several notifications waiting in one lane.
type Backlog string

// The two ways to treat a backlog.
const (
	BacklogMerge Backlog = "merge" // one message that tells them all
	BacklogEach  Backlog = "each"  // one message each
)

// SpeakOfRooms tells whether one of the templates of a destination may depend on the room: it mentions rooms, or calls
// another template.
func SpeakOfRooms(templates ...string) bool {
	return slices.ContainsFunc(templates, func(text string) bool {
		text = strings.ToLower(text)
		return strings.Contains(text, "{{") && (strings.Contains(text, "room") || strings.Contains(text, "template"))
	})
}

// A Setup is a configured integration with what the rest of the relay must know of it. The catalogue of receivers makes
// one from each item of a receiver.
type Setup struct {
	Integration

	ID       IntegrationID
	Receiver string
	Type     string // dingtalk, wecom, slack, email
	Name     string

	// Concerned says whom of the directory a delivery concerns; nil: nobody. Whoever puts a delivery together asks it, for
	// Delivery.People.
	Concerned func(*Delivery) []Person

	// ByRoom says that the destination is chosen by room: each routing room of a notification is told apart.
	ByRoom bool

	SendResolved bool
	Backlog      Backlog
	// Apart says that each alert group has a message of its own, which is updated: groups never share one.
	Apart bool
	// Limiters are the credentials it sends with. Several are a pool: a message takes whichever has a free slot.
	Limiters []LimiterID
	// Limit holds for each of its limiters. Where integrations share a limiter, the smallest limit holds.
	Limit Limit
	// MaxInFlight bounds the sends under way on each limiter.
	MaxInFlight int
	// Timeout bounds one call of Send.
	Timeout time.Duration
}
