package wecom

import (
	"errors"
	"slices"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/robots"
)

// mention is who is notified by name, compiled.
type mention struct {
	userIDs, mobiles robots.Names
	all              bool
}

func newMention(c Config, r relay.Renderer) (mention, error) {
	m := mention{all: c.Mention.All}
	var errs [2]error
	m.userIDs, errs[0] = robots.CompileNames(r, c.Locale, "user_ids", c.Mention.UserIDs)
	m.mobiles, errs[1] = robots.CompileNames(r, c.Locale, "mobiles", c.Mention.Mobiles)
	return m, errors.Join(errs[:]...)
}

// whom is who a message notifies: users by id, with @all for everyone, and phone numbers, which only text can. nil is
// nobody. https://developer.work.weixin.qq.com/document/path/91770
type whom struct{ users, mobiles []string }

// everyone, in a list of users.
const everyone = "@all"

// of is who a delivery notifies: those of the configuration, and the people whom it concerns.
func (m mention) of(d *relay.Delivery) (*whom, error) {
	users, err := m.userIDs.Of(d)
	if err != nil {
		return nil, err
	}
	mobiles, err := m.mobiles.Of(d)
	if err != nil {
		return nil, err
	}
	for _, p := range d.People {
		switch {
		case p.WeComUserID != "" && !slices.Contains(users, p.WeComUserID):
			users = append(users, p.WeComUserID)
		case p.WeComUserID == "" && p.Mobile != "" && !slices.Contains(mobiles, p.Mobile):
			mobiles = append(mobiles, p.Mobile)
		}
	}
	if m.all {
		users = append(users, everyone)
	}
	if len(users)+len(mobiles) == 0 {
		return nil, nil //nolint:nilnil // nobody is an answer
	}
	return &whom{users, mobiles}, nil
}

// inMarkdown is how they are mentioned in the text of a markdown message, which knows no phone numbers.
func (w *whom) inMarkdown() []string {
	if w == nil {
		return nil
	}
	names := make([]string, len(w.users))
	for n, id := range w.users {
		if id == everyone {
			id = "all"
		}
		names[n] = "<@" + id + ">"
	}
	return names
}
