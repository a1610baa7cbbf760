// Package fault collects what is wrong with a configuration, each fault with the path of its key, so that a person sees
// as many at once as can be found.
package fault

import (
	"fmt"
	"strconv"
	"strings"
)

// A Fault is one thing wrong, at the key path Path (receivers[0].slack_configs[1].channel; empty for the whole file).
type Fault struct {
	Path    string
	Message string
	Warning bool // worth telling, but no reason to refuse the file
}

// A List collects faults below one path. Its zero value is not usable; New makes one. Not for concurrent use.
type List struct {
	path string
	all  *[]Fault
}

// New returns an empty list at the root of a file.
func New() *List { return &List{all: new([]Fault)} }

// In returns the list for key below this path. Faults added to it are seen here too.
func (l *List) In(key string) *List {
	if l.path != "" {
		key = l.path + "." + key
	}
	return &List{path: key, all: l.all}
}

// Item returns the list for item i of the sequence at this path.
func (l *List) Item(i int) *List {
	return &List{path: l.path + "[" + strconv.Itoa(i) + "]", all: l.all}
}

// Path is where faults are added.
func (l *List) Path() string { return l.path }

// Addf adds a fault at this path. The text says what is wrong and what to do, and never shows a secret.
func (l *List) Addf(format string, args ...any) {
	*l.all = append(*l.all, Fault{Path: l.path, Message: fmt.Sprintf(format, args...)})
}

// Warnf adds a warning at this path.
func (l *List) Warnf(format string, args ...any) {
	*l.all = append(*l.all, Fault{Path: l.path, Message: fmt.Sprintf(format, args...), Warning: true})
}

// Failed reports whether a fault has been added at this path or below it; warnings do not count.
func (l *List) Failed() bool {
	for _, f := range *l.all {
		below, ok := strings.CutPrefix(f.Path, l.path)
		if ok && !f.Warning && (l.path == "" || below == "" || below[0] == '.' || below[0] == '[') {
			return true
		}
	}
	return false
}

// All returns what was collected under the root, in order.
func (l *List) All() []Fault { return *l.all }

// located is an error at a key.
type located struct {
	key string
	err error
}

// At says at which key, or path of keys, of the caller's section err lies.
func At(key string, err error) error {
	if err == nil {
		return nil
	}
	return &located{key, err}
}

// Error returns key and cause.
func (l *located) Error() string { return l.key + ": " + l.err.Error() }

// Unwrap returns the cause.
func (l *located) Unwrap() error { return l.err }

// Add adds err at this path; the parts of a joined error each, and those marked by At below it. A nil err adds nothing.
func (l *List) Add(err error) {
	switch e := err.(type) { //nolint:errorlint // the outermost wrapping decides, one layer a call
	case nil:
	case *located:
		l.In(e.key).Add(e.err)
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			l.Add(part)
		}
	default:
		l.Addf("%s", err)
	}
}
