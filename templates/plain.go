package templates

import (
	"fmt"
	"strings"

	"github.com/alertrelay/relay"
)

// maxPlainField bounds each value in the built-in plain text, in characters.
const maxPlainField = 300

// Plain implements relay.Renderer. It is written in Go and uses the words as shipped, so that nothing a template does
// can stop it. Its result is safe in a text message of every channel.
func (s *Set) Plain(locale string, v relay.View) string {
	l := s.languageOf(locale)
	d := newData(v, s.config.ExternalURL)
	d.words = l.builtin
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }

	line("%s %s", mark(d.Status, d.Severity()), l.headline(d))
	for _, i := range d.Items() {
		line("%s", l.alertLine(d.notification, i.alert))
		w := l.builtin
		switch {
		case i.alert.Change == relay.ChangeGone:
			line("  "+w["began"], clock(l.zone, d.Now, i.StartsAt))
		case i.Status == relay.StatusResolved:
			line("  %s, %s", fmt.Sprintf(w["lasted"], w.duration(i.Duration)), span(l.zone, d.Now, i.StartsAt, i.EndsAt))
		default:
			line("  %s, %s", fmt.Sprintf(w["lasts"], w.duration(i.Duration)),
				fmt.Sprintf(w["since"], clock(l.zone, d.Now, i.StartsAt)))
		}
		for _, f := range []struct{ word, value, link string }{
			{"room", i.Alert.Snapshot.RoomID, ""},
			{origin("trace", i.Alert.Snapshot), i.Alert.Snapshot.TraceID, i.Alert.Snapshot.TraceURL},
			{origin("client", i.Alert.Snapshot), client(i.Alert.Snapshot), ""},
		} {
			if f.value != "" {
				line("  %s", strings.TrimSpace(w[f.word]+w["colon"]+field(f.value)+" "+httpURL(f.link)))
			}
		}
	}
	w := l.builtin
	if n := d.OmittedCount(); n > 0 {
		line(w["omitted"], n, plain(d.OmittedCounts()))
	}
	for _, note := range l.notes(v) {
		line("%s", note)
	}
	if d.Parts > 1 {
		line(w["part"], d.Part, d.Parts)
	}
	if len(d.Mentions) > 0 {
		line("%s", strings.Join(d.Mentions, " "))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// notes are what there is to know of a notification as a whole, a line each: nothing, for most.
func (l *language) notes(v relay.View) []string {
	t, w, now := v.Delivery.Tellings[v.Telling], l.builtin, v.Delivery.Now
	var notes []string
	if n := t.Notification.TruncatedAlerts; n > 0 {
		notes = append(notes, fmt.Sprintf(w["truncated"], n))
	}
	if t.Merged > 0 {
		notes = append(notes, fmt.Sprintf(w["merged"], t.Merged, clock(l.zone, now, t.Since)))
	}
	if t.Late {
		notes = append(notes, fmt.Sprintf(w["late"], clock(l.zone, now, t.Since)))
	}
	if s := t.Notification.InsteadOf; s != "" {
		notes = append(notes, fmt.Sprintf(w["instead"], field(s)))
	}
	return notes
}

// Compact implements relay.Renderer. Its result is safe in a text message of every channel.
func (s *Set) Compact(locale string, v relay.View, alerts relay.Alerts, limit int) (text string, counted int) {
	l := s.languageOf(locale)
	if nothingInFull := v.Alerts != nil && len(v.Alerts) == 0; nothingInFull {
		notes := strings.Join(l.notes(v), "\n")
		if room := limit - len("\n"+notes); notes != "" && room >= minCompact {
			text, counted = l.compact(v, alerts, room)
			return text + "\n" + notes, counted
		}
	}
	return l.compact(v, alerts, limit)
}

// minCompact is the room, in bytes, that the lines of alerts have at least before anything stands below them.
const minCompact = 200

// compact tells alerts in a line each, as far as there is room, and counts the others.
func (l *language) compact(v relay.View, alerts relay.Alerts, limit int) (text string, counted int) {
	var lines []string
	size := 0 // of the lines, each with the break behind it
	for i := range alerts {
		line := l.compactLine(v, &alerts[i])
		if size+len(line) > limit {
			break
		}
		lines = append(lines, line)
		size += len(line) + len("\n")
	}
	if len(lines) == len(alerts) {
		return strings.Join(lines, "\n"), 0
	}
	// Take lines away from the end until those left and the count of the others fit.
	rest := tallyOf(alerts[len(lines):])
	for shown := len(lines); shown > 0; shown-- {
		if more := l.more(rest); size+len(more) <= limit {
			return strings.Join(lines[:shown], "\n") + "\n" + more, rest.total
		}
		size -= len(lines[shown-1]) + len("\n")
		rest.add(&alerts[shown-1])
	}
	return cutBytes(l.more(rest), limit), len(alerts)
}

// languageOf is the language for a locale, or the set's own when there is none.
func (s *Set) languageOf(locale string) *language {
	if l := s.languages[locale]; l != nil {
		return l
	}
	return s.languages[s.config.Locale]
}

// headline is the title in plain text.
func (l *language) headline(d *Data) string {
	w := l.builtin
	state := w["resolved"]
	if d.Status != relay.StatusResolved {
		state = w["firing"]
		if s := d.Severity(); s != "" {
			state = field(w.severity(s))
		}
	}
	parts := []string{"[" + state + "]"}
	for _, s := range []string{d.Name(), d.Place()} {
		if s != "" {
			parts = append(parts, field(s))
		}
	}
	if n := d.FiringCount(); n > 0 {
		parts = append(parts, fmt.Sprintf(w["count.firing"], n))
	}
	if n := d.ResolvedCount(); n > 0 {
		parts = append(parts, fmt.Sprintf(w["count.resolved"], n))
	}
	if n := d.GoneCount(); n > 0 {
		parts = append(parts, fmt.Sprintf(w["count.gone"], n))
	}
	return strings.Join(parts, " ")
}

// compactLine is one alert in one line, and in a digest what its notification differs in from the others.
func (l *language) compactLine(v relay.View, a *relay.Alert) string {
	line := l.alertLine(v.Notification(), a)
	if !a.LateSince.IsZero() {
		line += " (" + fmt.Sprintf(l.builtin["late"], clock(l.zone, v.Delivery.Now, a.LateSince)) + ")"
	}
	if a.InsteadOf != "" {
		line += " (" + fmt.Sprintf(l.builtin["instead"], field(a.InsteadOf)) + ")"
	}
	return line
}

// alertLine is one alert in one line: severity, name, what tells it from the others, summary.
func (l *language) alertLine(n *relay.Notification, a *relay.Alert) string {
	w := l.builtin
	var b strings.Builder
	b.WriteString(markOf(a))
	switch {
	case a.Change == relay.ChangeGone:
		b.WriteString(" " + w["gone"])
	case a.Status == relay.StatusResolved:
		b.WriteString(" " + w["resolved"])
	}
	if s := a.Severity(); s != "" {
		b.WriteString(" " + field(w.severity(s)))
	}
	if name := a.Labels["alertname"]; name != "" {
		b.WriteString(" " + field(name))
	}
	if place := placeOf(n, a); place != "" {
		b.WriteString(" " + place)
	}
	if s := summary(a.Annotations); s != "" {
		b.WriteString(w["colon"] + field(s))
	}
	return b.String()
}

// placeOf is the instance, else up to two labels that tell the alert from the others of its group.
func placeOf(n *relay.Notification, a *relay.Alert) string {
	if instance := a.Labels["instance"]; instance != "" {
		return field(instance)
	}
	var values []string
	for _, p := range telling(a.Labels, n.CommonLabels, &a.Snapshot) {
		if len(values) < 2 {
			values = append(values, field(p.Value))
		}
	}
	return strings.Join(values, " ")
}

// more tells of the alerts that have no line of their own.
func (l *language) more(t *tally) string {
	return fmt.Sprintf(l.builtin["more"], t.total, plain(t.in(l.builtin)))
}

// field is one value from outside, in one bounded line.
func field(s string) string { return plain(short(maxPlainField, s)) }

// cutBytes bounds s to n bytes, at the border of a character.
func cutBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const mark = "…"
	if n < len(mark) {
		return ""
	}
	return strings.ToValidUTF8(s[:n-len(mark)], "") + mark
}
