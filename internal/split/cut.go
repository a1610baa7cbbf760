package split

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/alertrelay/relay"
)

// Mark stands where a value was cut. Behind it the number of characters that are missing is said, if there is room.
const Mark = "…"

// shortestValue is the length in bytes below which no value is cut: a label of this length still tells what it is.
const shortestValue = 48

// Text returns s in at most limit bytes, cut on a rune border when it is longer, with Mark behind it and how much is
// missing: "… (+1234)", as the function cut of templates has it, which every language understands. A limit below the
// length of that gives the bare Mark. Bytes that are not UTF-8 are replaced.
func Text(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	end := limit - len(missing(utf8.RuneCountInString(s)))
	if end < 0 {
		return Mark
	}
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + missing(utf8.RuneCountInString(s[end:]))
}

func missing(characters int) string { return Mark + " (+" + strconv.Itoa(characters) + ")" }

// cutView returns v with the long values of its notification cut: those that templates show above the alerts.
func cutView(v relay.View, limit int) relay.View {
	n := *v.Notification()
	n.GroupLabels = cutKV(n.GroupLabels, limit)
	n.CommonLabels = cutKV(n.CommonLabels, limit)
	n.CommonAnnotations = cutKV(n.CommonAnnotations, limit)
	n.ExternalURL = cutLink(n.ExternalURL, limit)
	n.Receiver = Text(n.Receiver, limit)
	n.GroupKey = Text(n.GroupKey, limit)
	n.Room = Text(n.Room, limit)
	n.Alerts = slices.Clone(n.Alerts)
	for i := range n.Alerts { // what they have in common is told above them
		n.Alerts[i] = cutAlert(n.Alerts[i], limit)
	}
	d := *v.Delivery
	d.Tellings = slices.Clone(d.Tellings)
	d.Tellings[v.Telling].Notification = &n
	v.Delivery = &d
	return v
}

func cutAlert(a relay.Alert, limit int) relay.Alert {
	a.Labels = cutKV(a.Labels, limit)
	a.Annotations = cutKV(a.Annotations, limit)
	a.GeneratorURL = cutLink(a.GeneratorURL, limit)
	a.Snapshot = cutSnapshot(a.Snapshot, limit)
	a.Room = Text(a.Room, limit)
	return a
}

func cutSnapshot(s relay.Snapshot, limit int) relay.Snapshot {
	s.TraceID = Text(s.TraceID, limit)
	s.RoomID = Text(s.RoomID, limit)
	s.UserAgent = Text(s.UserAgent, limit)
	s.TraceURL = cutLink(s.TraceURL, limit)
	s.Extra = cutKV(s.Extra, limit)
	return s
}

// cutKV cuts the long names and values of labels. A link is taken out whole: half a link leads nowhere.
func cutKV[M ~map[string]string](kv M, limit int) M {
	if kv == nil {
		return nil
	}
	short := make(M, len(kv))
	for name, value := range kv {
		if len(value) > limit && isLink(value) {
			value = Mark
		}
		short[Text(name, limit)] = Text(value, limit)
	}
	return short
}

func isLink(s string) bool {
	return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://")
}

func cutLink(link string, limit int) string {
	if len(link) > limit {
		return ""
	}
	return link
}
