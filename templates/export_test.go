package templates

import (
	"maps"
	"slices"
	"strings"
)

// FunctionNames lists the relay's own functions, without the hidden ones.
func (s *Set) FunctionNames() []string {
	functions := s.languages[s.config.Locale].functions()
	for _, hidden := range []string{enterFunction, leaveFunction, boundFunction} {
		delete(functions, hidden)
	}
	return slices.Sorted(maps.Keys(functions))
}

// BlockNames lists the relay's own blocks, without the words.
func (s *Set) BlockNames() []string {
	var names []string
	for _, t := range s.languages[s.config.Locale].text.Templates() {
		if name := t.Name(); strings.HasPrefix(name, "relay.") && !strings.HasPrefix(name, "relay.word.") &&
			!strings.HasSuffix(name, ".tmpl") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
