package enrich

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A cleaner bounds values from outside and takes from them what could disturb a line of text.
type cleaner struct{ max int }

// value returns v without control characters, line ends and marks of writing direction, trimmed, and cut visibly when it
// is too long.
func (c cleaner) value(v string) string {
	if len(v) <= c.max && plain(v) {
		return v
	}
	const mark = "…"
	if enough := 2*c.max + 64; len(v) > enough { // do not clean what is cut away anyway
		v = v[:enough] + mark
	}
	v = strings.TrimSpace(strings.Map(printable, v))
	if len(v) <= c.max {
		return v
	}
	cut := max(c.max-len(mark), 0)
	for cut > 0 && !utf8.RuneStart(v[cut]) {
		cut--
	}
	return strings.TrimSpace(v[:cut]) + mark
}

// room returns v as a room id. One that is too long is none: a cut id could be that of another room.
func (c cleaner) room(v string) string {
	if len(v) > c.max {
		return ""
	}
	return c.value(v)
}

// time returns t, or no time when it is outside the years that RFC 3339 can write: it could not be saved.
func (cleaner) time(t time.Time) time.Time {
	if year := t.Year(); year < 0 || year > 9999 {
		return time.Time{}
	}
	return t
}

// plain reports whether v is printable ASCII without a space at its ends.
func plain(v string) bool {
	for i := range len(v) {
		if v[i] < ' ' || v[i] > '~' {
			return false
		}
	}
	return v == "" || v[0] != ' ' && v[len(v)-1] != ' '
}

func printable(r rune) rune {
	switch {
	case r == utf8.RuneError, unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
		return -1
	case unicode.Is(unicode.Zl, r), unicode.Is(unicode.Zp, r):
		return ' '
	default:
		return r
	}
}
