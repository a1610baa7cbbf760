package wecom

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
)

// recipients are who gets the messages of an application, compiled.
type recipients struct{ user, party, tag, chat list }

// list is ids joined by |: written down, or found by a template.
type list struct {
	fixed string
	found relay.Template // nil when they are written down
}

func newRecipients(c Config, r relay.Renderer) (recipients, error) {
	var to recipients
	var errs []error
	for _, l := range []struct {
		key, text string
		into      *list
	}{{"to_user", c.ToUser, &to.user}, {"to_party", c.ToParty, &to.party}, {"to_tag", c.ToTag, &to.tag}, {"chat_id", c.ChatID, &to.chat}} {
		if !strings.Contains(l.text, "{{") {
			*l.into = list{fixed: strings.TrimSpace(l.text)}
			continue
		}
		t, err := r.Text(c.Locale, l.text)
		errs = append(errs, fault.At(l.key, err))
		*l.into = list{found: t}
	}
	return to, errors.Join(errs...)
}

// errNobody says that the templates name nobody for a notification.
var errNobody = errors.New("to_user, to_party, to_tag and chat_id name nobody")

// of is who gets a notification.
func (r recipients) of(n *relay.Notification) (addressees, error) {
	d := relay.Delivery{Tellings: []relay.Telling{{Notification: n}}, Now: n.ReceivedAt}
	var to addressees
	for _, l := range []struct {
		list
		into *string
	}{{r.user, &to.ToUser}, {r.party, &to.ToParty}, {r.tag, &to.ToTag}, {r.chat, &to.ChatID}} {
		ids, err := l.ids(relay.View{Delivery: &d})
		if err != nil {
			return addressees{}, err
		}
		*l.into = ids
	}
	if to == (addressees{}) {
		return to, errNobody
	}
	if to.ChatID != "" {
		return addressees{ChatID: to.ChatID}, nil
	}
	return to, nil
}

// ids are those of a list. What a template finds strangers may have written, so only what can be an id is taken, and never
// the word for everyone.
func (l list) ids(v relay.View) (string, error) {
	if l.found == nil {
		return l.fixed, nil
	}
	text, err := l.found.Execute(v)
	if err != nil {
		return "", err
	}
	var ids []string
	for id := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune("|,; \t\r\n", r) }) {
		if isID(id) && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return strings.Join(ids, "|"), nil
}

// isID reports whether a text can be the id of a member, a party, a tag or a chat.
// https://developer.work.weixin.qq.com/document/path/90195
func isID(text string) bool {
	return regexp.MustCompile(`^[0-9A-Za-z][-_.@0-9A-Za-z]{0,63}$`).MatchString(text)
}
