package snapshots

import (
	"slices"
	"strings"
)

// A Key is where a snapshot lies: label=value pairs, sorted by label, joined by commas.
type Key string

// A Set names the labels under which a snapshot is recorded and looked up. NewSet makes one.
type Set []string

// NewSet returns the set of names, in the order of a key.
func NewSet(names ...string) Set {
	s := slices.Clone(names)
	slices.Sort(s)
	return slices.Compact(s)
}

// DefaultLookup are the sets in use when none are configured, most exact first.
func DefaultLookup() [][]string {
	return [][]string{{"service", "instance"}, {"job", "instance"}, {"service"}, {"job"}}
}

// Key returns the key of labels under the set. It reports false when one of its labels is missing or empty, or the key
// would be longer than MaxKey: nothing lies there.
func (s Set) Key(labels map[string]string) (Key, bool) {
	var b strings.Builder
	for i, name := range s {
		value := labels[name]
		if value == "" || b.Len()+len(name)+len(value) > MaxKey {
			return "", false
		}
		if i > 0 {
			b.WriteByte(',')
		}
		writeEscaped(&b, name)
		b.WriteByte('=')
		writeEscaped(&b, value)
	}
	return Key(b.String()), b.Len() > 0 && b.Len() <= MaxKey
}

// TraceKey is where a snapshot lies under the id of its trace.
func TraceKey(id string) (Key, bool) {
	return Set{"trace_id"}.Key(map[string]string{"trace_id": id})
}

// writeEscaped writes part of a pair: a backslash goes before each backslash, comma and equals sign, so that no two sets of
// pairs have one key.
func writeEscaped(b *strings.Builder, part string) {
	for {
		i := strings.IndexAny(part, `\,=`)
		if i < 0 {
			b.WriteString(part)
			return
		}
		b.WriteString(part[:i])
		b.WriteByte('\\')
		b.WriteByte(part[i])
		part = part[i+1:]
	}
}
