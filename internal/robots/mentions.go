package robots

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
)

// Mentions are whom the messages of an item notify by name: users by the ids of one channel, and phone numbers, written down
// in the configuration or found by templates in the labels and annotations of a notification. They may be used concurrently.
type Mentions struct{ userIDs, mobiles names }

type names struct {
	fixed []string
	found []relay.Template
}

// ValidateNames adds what is wrong with a list of names to f, the list at its key: signs are what no name holds.
func ValidateNames(list []string, signs string, f *fault.List) {
	for n, name := range list {
		if !isTemplate(name) && (name == "" || strings.ContainsAny(name, " \t\r\n"+signs)) {
			f.Item(n).Addf("must be one word without %s", strings.Join(strings.Split(signs, ""), " "))
		}
	}
}

// CompileMentions compiles the lists at user_ids and mobiles. Its error names the templates at fault.
func CompileMentions(r relay.Renderer, locale string, userIDs, mobiles []string) (Mentions, error) {
	var m Mentions
	var errs [2]error
	m.userIDs, errs[0] = compileNames(r, locale, "user_ids", userIDs)
	m.mobiles, errs[1] = compileNames(r, locale, "mobiles", mobiles)
	return m, errors.Join(errs[:]...)
}

func compileNames(r relay.Renderer, locale, key string, list []string) (names, error) {
	var compiled names
	var errs []error
	for n, name := range list {
		if !isTemplate(name) {
			compiled.fixed = append(compiled.fixed, name)
			continue
		}
		t, err := r.Text(locale, name)
		errs = append(errs, fault.At(fmt.Sprintf("%s[%d]", key, n), err))
		compiled.found = append(compiled.found, t)
	}
	return compiled, errors.Join(errs...)
}

func isTemplate(name string) bool { return strings.Contains(name, "{{") }

// Of are those whom a delivery notifies, each once: those written down, those found, and the people whom it concerns, by user
// id or else by phone number. ID is what the channel calls a person; empty when it does not know them.
func (m Mentions) Of(d *relay.Delivery, id func(relay.Person) string) (userIDs, mobiles []string, err error) {
	if userIDs, err = m.userIDs.of(d); err != nil {
		return nil, nil, err
	}
	if mobiles, err = m.mobiles.of(d); err != nil {
		return nil, nil, err
	}
	for _, p := range d.People {
		if id := id(p); id != "" {
			userIDs = once(userIDs, id)
		} else if p.Mobile != "" {
			mobiles = once(mobiles, p.Mobile)
		}
	}
	return userIDs, mobiles, nil
}

// of are those written down, then those found. In the plain form, which executes no template, only the former.
func (n names) of(d *relay.Delivery) ([]string, error) {
	all := slices.Clone(n.fixed)
	if d.Plain {
		return all, nil
	}
	for _, t := range n.found {
		for i := range d.Tellings {
			text, err := t.Execute(relay.View{Delivery: d, Telling: i})
			if err != nil {
				return nil, err
			}
			for _, name := range strings.FieldsFunc(text, isBetweenNames) {
				all = add(all, name)
			}
		}
	}
	return all, nil
}

func once(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

func isBetweenNames(r rune) bool { return strings.ContainsRune(" \t\r\n,;，；、", r) }

// add adds a name that a stranger may have written: only if it can be one, and is not the word for everyone.
func add(names []string, name string) []string {
	if name = strings.TrimPrefix(name, "@"); !isName(name) || strings.EqualFold(name, "all") {
		return names
	}
	return once(names, name)
}

// isName reports whether a text can be a phone number or a user's id.
// https://developer.work.weixin.qq.com/document/path/90195
func isName(text string) bool {
	if text == "" || len(text) > maxName || strings.IndexByte("-_.@", text[0]) >= 0 {
		return false
	}
	return !strings.ContainsFunc(text, func(r rune) bool {
		isLetter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		return !isLetter && (r < '0' || r > '9') && !strings.ContainsRune("+-_.@", r)
	})
}

// maxName bounds a name, in bytes.
const maxName = 64
