package wecom

import (
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

// whom is who a message notifies: users by id, with @all for everyone, and phone numbers, which only text can. nil is
// nobody. https://developer.work.weixin.qq.com/document/path/91770
type whom struct{ users, mobiles []string }

// everyone, in a list of users.
const everyone = "@all"

// of is who a delivery notifies.
func (m mention) of(d *relay.Delivery) (*whom, error) {
	users, mobiles, err := m.Of(d, func(p relay.Person) string { return p.WeComUserID })
	if err != nil {
		return nil, err
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
