package dingtalk

import (
	"slices"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/robots"
)

// mention is who is notified by name, compiled.
type mention struct {
	robots.Mentions

	all bool
}

func newMention(c Config, r relay.Renderer) (mention, error) {
	m, err := robots.CompileMentions(r, c.Locale, c.Mention.UserIDs, c.Mention.Mobiles)
	return mention{m, c.Mention.All}, err
}

// at is who a request asks to notify. DingTalk does so only when @name stands in the text too.
// https://open.dingtalk.com/document/development/robot-message-type
type at struct {
	Mobiles []string `json:"atMobiles,omitempty"`
	UserIDs []string `json:"atUserIds,omitempty"`
	All     bool     `json:"isAtAll,omitempty"`
}

// of is who a delivery notifies; nil when there is nobody.
func (m mention) of(d *relay.Delivery) (*at, error) {
	userIDs, mobiles, err := m.Of(d, func(p relay.Person) string { return p.DingTalkUserID })
	if err != nil {
		return nil, err
	}
	if len(mobiles)+len(userIDs) == 0 && !m.all {
		return nil, nil //nolint:nilnil // nobody is an answer
	}
	mobiles = mobiles[:min(len(mobiles), maxMentions)]
	userIDs = userIDs[:min(len(userIDs), maxMentions-len(mobiles))]
	return &at{Mobiles: mobiles, UserIDs: userIDs, All: m.all}, nil
}

// names are all of them as they stand in a text.
func (a *at) names() []string {
	if a == nil {
		return nil
	}
	return written(slices.Concat(a.Mobiles, a.UserIDs))
}

// users are those who can be notified without a field of the request, as an actionCard does.
func (a *at) users() []string {
	if a == nil {
		return nil
	}
	return written(a.UserIDs)
}

func written(names []string) []string {
	out := make([]string, len(names))
	for n, name := range names {
		out[n] = "@" + name
	}
	return out
}
