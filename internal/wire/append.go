package wire

import (
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/alertrelay/relay"
)

// Append appends n as Read reads it, under the names that relay.Notification's own JSON has. What encoding/json leaves
// out or writes as null, Append does too. Texts that are not UTF-8 are made so.
func Append(b []byte, n *relay.Notification) []byte {
	const group, alert = 1024, 512 // bytes they usually take
	b = slices.Grow(b, group+alert*len(n.Alerts))
	b = appendText(append(b, `{"receiver":`...), n.Receiver)
	b = appendText(append(b, `,"status":`...), n.Status)
	b = appendText(append(b, `,"notification_reason":`...), n.NotificationReason)
	b = appendPairs(append(b, `,"groupLabels":`...), n.GroupLabels)
	b = appendPairs(append(b, `,"commonLabels":`...), n.CommonLabels)
	b = appendPairs(append(b, `,"commonAnnotations":`...), n.CommonAnnotations)
	b = appendPairs(append(b, `,"routeLabels":`...), n.RouteLabels)
	b = appendText(append(b, `,"externalURL":`...), n.ExternalURL)
	b = append(b, `,"alerts":[`...)
	for i := range n.Alerts {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendAlert(b, &n.Alerts[i])
	}
	b = appendText(append(b, `],"version":`...), n.Version)
	b = appendText(append(b, `,"groupKey":`...), n.GroupKey)
	b = strconv.AppendUint(append(b, `,"truncatedAlerts":`...), n.TruncatedAlerts, 10)
	b = appendField(b, `,"relayID":`, n.ID)
	if !n.ReceivedAt.IsZero() {
		b = appendTime(append(b, `,"relayReceivedAt":`...), n.ReceivedAt)
	}
	b = appendField(b, `,"relayRoom":`, n.Room)
	b = appendField(b, `,"relayInsteadOf":`, n.InsteadOf)
	return append(b, '}')
}

func appendAlert(b []byte, a *relay.Alert) []byte {
	b = appendText(append(b, `{"status":`...), a.Status)
	b = appendPairs(append(b, `,"labels":`...), a.Labels)
	b = appendPairs(append(b, `,"annotations":`...), a.Annotations)
	b = appendTime(append(b, `,"startsAt":`...), a.StartsAt)
	b = appendTime(append(b, `,"endsAt":`...), a.EndsAt)
	b = appendText(append(b, `,"generatorURL":`...), a.GeneratorURL)
	b = appendText(append(b, `,"fingerprint":`...), a.Fingerprint)
	if !a.Snapshot.IsZero() {
		b = appendSnapshot(append(b, `,"relaySnapshot":`...), &a.Snapshot)
	}
	b = appendField(b, `,"relayRoom":`, a.Room)
	b = appendField(b, `,"relayChange":`, string(a.Change))
	return append(b, '}')
}

// appendSnapshot begins each field with a comma and puts the brace over the first: a snapshot has at least one.
func appendSnapshot(b []byte, s *relay.Snapshot) []byte {
	start := len(b)
	b = appendField(b, `,"trace_id":`, s.TraceID)
	b = appendField(b, `,"room_id":`, s.RoomID)
	b = appendField(b, `,"user_agent":`, s.UserAgent)
	if len(s.Extra) > 0 {
		b = appendPairs(append(b, `,"extra":`...), s.Extra)
	}
	if !s.Time.IsZero() {
		b = appendTime(append(b, `,"time":`...), s.Time)
	}
	b = appendField(b, `,"trace_url":`, s.TraceURL)
	if len(s.Sources) > 0 {
		b = appendPairs(append(b, `,"sources":`...), s.Sources)
	}
	b[start] = '{'
	return append(b, '}')
}

// appendField appends name and value, or nothing when the value is empty.
func appendField(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendText(append(b, name...), value)
}

// appendPairs appends pairs in the order of their names.
func appendPairs[M ~map[string]V, V ~string](b []byte, pairs M) []byte {
	if pairs == nil {
		return append(b, "null"...)
	}
	var space [16]string // usually enough, and not allocated
	names := slices.AppendSeq(space[:0], maps.Keys(pairs))
	slices.Sort(names)
	b = append(b, '{')
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, name)
		b = appendText(append(b, ':'), string(pairs[name]))
	}
	return append(b, '}')
}

func appendTime(b []byte, t time.Time) []byte {
	b = t.AppendFormat(append(b, '"'), time.RFC3339Nano)
	return append(b, '"')
}

// appendText appends s as a JSON string.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0 // of what is not yet copied
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			var char rune
			if char, size = utf8.DecodeRuneInString(s[i:]); char != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		b = append(b, s[start:i]...)
		switch {
		case c >= utf8.RuneSelf:
			b = append(b, "\uFFFD"...)
		case c >= ' ': // a quote or a backslash
			b = append(b, '\\', c)
		default:
			const digits = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
		i += size
		start = i
	}
	return append(append(b, s[start:]...), '"')
}
