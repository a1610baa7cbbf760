package enrich

import (
	"maps"
	"slices"

	"github.com/alertrelay/relay"
)

// alertSource reads the labels and annotations of the alert itself.
type alertSource struct {
	traceID, roomID, userAgent []string
	extra                      []extraField
}

type extraField struct {
	field string
	names []string // of labels or annotations
}

func newAlertSource(fields map[string][]string) alertSource {
	s := alertSource{traceID: fields[TraceID], roomID: fields[RoomID], userAgent: fields[UserAgent]}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		switch field {
		case TraceID, RoomID, UserAgent:
		default:
			s.extra = append(s.extra, extraField{field, fields[field]})
		}
	}
	return s
}

// of returns what the alert says of itself.
func (s alertSource) of(a *relay.Alert) relay.Snapshot {
	known := relay.Snapshot{TraceID: first(a, s.traceID), RoomID: first(a, s.roomID), UserAgent: first(a, s.userAgent)}
	for _, x := range s.extra {
		if value := first(a, x.names); value != "" {
			if known.Extra == nil {
				known.Extra = map[string]string{}
			}
			known.Extra[x.field] = value
		}
	}
	return known
}

// first returns the first value that a has under one of names.
func first(a *relay.Alert, names []string) string {
	for _, name := range names {
		if v := a.Labels[name]; v != "" {
			return v
		}
		if v := a.Annotations[name]; v != "" {
			return v
		}
	}
	return ""
}
