package dingtalk

import (
	"errors"
	"slices"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/robots"
)

// mention is who is notified by name, compiled.
type mention struct {
	mobiles, userIDs robots.Names
	all              bool
}

func newMention(c Config, r relay.Renderer) (mention, error) {
	m := mention{all: c.Mention.All}
	var errs [2]error
	m.mobiles, errs[0] = robots.CompileNames(r, c.Locale, "mobiles", c.Mention.Mobiles)
	m.userIDs, errs[1] = robots.CompileNames(r, c.Locale, "user_ids", c.Mention.UserIDs)
	return m, errors.Join(errs[:]...)
}

// at is who a request asks to notify. DingTalk does so only when @name stands in the text too.
// https://open.dingtalk.com/document/development/robot-message-type
type at struct {
	Mobiles []string `json:"atMobiles,omitempty"`
	UserIDs []string `json:"atUserIds,omitempty"`
	All     bool     `json:"isAtAll,omitempty"`
}

// of is who a delivery notifies: those of the configuration, and the people whom it concerns, by user id or else by phone
// number. nil when there is nobody.
func (m mention) of(d *relay.Delivery) (*at, error) {
	mobiles, err := m.mobiles.Of(d)
	if err != nil {
		return nil, err
	}
	userIDs, err := m.userIDs.Of(d)
	if err != nil {
		return nil, err
	}
	for _, p := range d.People {
		switch {
		case p.DingTalkUserID != "":
			userIDs = once(userIDs, p.DingTalkUserID)
		case p.Mobile != "":
			mobiles = once(mobiles, p.Mobile)
		}
	}
	if len(mobiles)+len(userIDs) == 0 && !m.all {
		return nil, nil //nolint:nilnil // nobody is an answer
	}
	mobiles = mobiles[:min(len(mobiles), maxMentions)]
	userIDs = userIDs[:min(len(userIDs), maxMentions-len(mobiles))]
	return &at{Mobiles: mobiles, UserIDs: userIDs, All: m.all}, nil
}

func once(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(names, name)
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
