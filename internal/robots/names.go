package robots

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
)

// Names are people to mention, by what one channel calls them: written down in the configuration, or found by templates
// in the labels and annotations of a notification. They may be used concurrently.
type Names struct {
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

// CompileNames compiles the list that stands at key. Its error names the templates at fault.
func CompileNames(r relay.Renderer, locale, key string, list []string) (Names, error) {
	var names Names
	var errs []error
	for n, name := range list {
		if !isTemplate(name) {
			names.fixed = append(names.fixed, name)
			continue
		}
		t, err := r.Text(locale, name)
		errs = append(errs, fault.At(fmt.Sprintf("%s[%d]", key, n), err))
		names.found = append(names.found, t)
	}
	return names, errors.Join(errs...)
}

func isTemplate(name string) bool { return strings.Contains(name, "{{") }

// Of are the names that a delivery mentions, each once: those written down, then those found. In the plain form, which
// executes no template, only the former.
func (n Names) Of(d *relay.Delivery) ([]string, error) {
	names := slices.Clone(n.fixed)
	if d.Plain {
		return names, nil
	}
	for _, t := range n.found {
		for i := range d.Tellings {
			text, err := t.Execute(relay.View{Delivery: d, Telling: i})
			if err != nil {
				return nil, err
			}
			for _, name := range strings.FieldsFunc(text, isBetweenNames) {
				names = Add(names, name)
			}
		}
	}
	return names, nil
}

func isBetweenNames(r rune) bool { return strings.ContainsRune(" \t\r\n,;，；、", r) }

// Add adds a name that a stranger may have written: only if it can be one, and is not the word for everyone.
func Add(names []string, name string) []string {
	name = strings.TrimPrefix(name, "@")
	if isName(name) && !strings.EqualFold(name, "all") && !slices.Contains(names, name) {
		names = append(names, name)
	}
	return names
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
