package relay

import "time"

// A Snapshot is the context of the request that suffered: which trace, in which room, from which client. Values come
// from outside and are not safe to print unescaped.
type Snapshot struct {
	TraceID   string            `json:"trace_id,omitempty"`
	RoomID    string            `json:"room_id,omitempty"`
	UserAgent string            `json:"user_agent,omitempty"` // whose device, client or service it was
	Extra     map[string]string `json:"extra,omitempty"`      // further fields, by name
	Time      time.Time         `json:"time,omitzero"`        // when it was recorded; zero when the source does not say

	// TraceURL links to the trace; empty without trace_id or without snapshots.trace_url.
	TraceURL string `json:"trace_url,omitempty"`
	// Sources names for each field (trace_id, room_id, user_agent, or a key of Extra) where its value came from.
	Sources map[string]Source `json:"sources,omitempty"`
}

// A Source is where a field of a Snapshot came from.
type Source string

// The sources of a snapshot field, in their order: the first that knows a field wins.
const (
	SourceAlert    Source = "alert"    // the alert's own labels and annotations
	SourceSaved    Source = "saved"    // what was saved when the alert was first accepted
	SourceStore    Source = "store"    // what an application recorded
	SourceExemplar Source = "exemplar" // a Prometheus exemplar
	SourceRequest  Source = "request"  // the webhook request: Alertmanager's own, not a customer's
)

// IsZero reports whether nothing is known.
func (s Snapshot) IsZero() bool {
	return s.TraceID == "" && s.RoomID == "" && s.UserAgent == "" && len(s.Extra) == 0
}

// intersect keeps the fields on which s and other agree.
func (s Snapshot) intersect(other Snapshot) Snapshot {
	out := Snapshot{Time: s.Time, Sources: s.Sources}
	if s.TraceID == other.TraceID {
		out.TraceID, out.TraceURL = s.TraceID, s.TraceURL
	}
	if s.RoomID == other.RoomID {
		out.RoomID = s.RoomID
	}
	if s.UserAgent == other.UserAgent {
		out.UserAgent = s.UserAgent
	}
	for k, v := range s.Extra {
		if other.Extra[k] == v {
			if out.Extra == nil {
				out.Extra = map[string]string{}
			}
			out.Extra[k] = v
		}
	}
	return out
}

// An AlertKey is one firing of one alert. StartsAt is in UTC, so that equal instants are equal keys.
type AlertKey struct {
	Fingerprint string
	StartsAt    time.Time
}

// Key returns the key of this firing.
func (a Alert) Key() AlertKey { return AlertKey{a.Fingerprint, a.StartsAt.UTC()} }

// Saved is what is kept with one firing of an alert, so that resolved shows what firing showed and goes where it went.
type Saved struct {
	Snapshot Snapshot `json:"snapshot,omitzero"`
	// Room is the routing room, pinned at the first accept, also when empty.
	Room string `json:"room,omitempty"`
}
