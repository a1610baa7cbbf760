package slack

import (
	"regexp"
	"slices"
	"strings"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
)

// Mention says who is notified by name. https://docs.slack.dev/messaging/formatting-message-text#mentioning-users
type Mention struct {
	relay.Mention `yaml:",inline"`

	UserIDs  []string `yaml:"user_ids,omitempty"`  // U… or W…
	GroupIDs []string `yaml:"group_ids,omitempty"` // S…: user groups
	Here     bool     `yaml:"here,omitempty"`      // those of the channel who are online
	All      bool     `yaml:"all,omitempty"`       // the whole channel
}

func (m Mention) validate(f *fault.List) {
	for _, list := range []struct {
		key, want string
		ids       []string
	}{{"user_ids", "U or W", m.UserIDs}, {"group_ids", "S", m.GroupIDs}} {
		for n, id := range list.ids {
			if !isID(id) || !strings.ContainsRune(list.want, rune(id[0])) {
				f.In(list.key).Item(n).Addf("%q is no id of Slack: capital letters and digits, beginning with %s", id, list.want)
			}
		}
	}
}

// isID reports whether id is one of Slack's, so that nothing else can stand where a mention is.
func isID(id string) bool { return regexp.MustCompile(`^[A-Z][A-Z0-9]{1,30}$`).MatchString(id) }

// mentions are those to notify of a delivery, as mrkdwn writes them: the people whom it concerns and, while something
// fires, those of the integration's own. Nobody else is called to what is over.
func (i *Integration) mentions(d *relay.Delivery) []string {
	var out []string
	add := func(mention string) {
		if !slices.Contains(out, mention) {
			out = append(out, mention)
		}
	}
	for _, person := range d.People {
		if isID(person.SlackID) {
			add("<@" + person.SlackID + ">")
		}
	}
	if !slices.ContainsFunc(d.Tellings, func(t relay.Telling) bool { return t.Notification.Status == relay.StatusFiring }) {
		return out
	}
	for _, id := range i.cfg.Mention.UserIDs {
		add("<@" + id + ">")
	}
	for _, id := range i.cfg.Mention.GroupIDs {
		add("<!subteam^" + id + ">")
	}
	if i.cfg.Mention.Here {
		add("<!here>")
	}
	if i.cfg.Mention.All {
		add("<!channel>")
	}
	return out
}

// missing are the mentions that none of the texts has, in one line.
func missing(mentions, texts []string) string {
	var out []string
	for _, mention := range mentions {
		if !slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, mention) }) {
			out = append(out, mention)
		}
	}
	return strings.Join(out, " ")
}
