package recorder

import (
	"encoding/hex"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Snapshot is the context of one request that suffered, recorded under labels that the application's alerts have too.
type Snapshot struct {
	Labels    map[string]string `json:"labels,omitempty"`
	TraceID   string            `json:"trace_id,omitempty"`
	RoomID    string            `json:"room_id,omitempty"`
	UserAgent string            `json:"user_agent,omitempty"`
	Extra     map[string]string `json:"extra,omitempty"`
	Time      time.Time         `json:"time,omitzero"`
}

// maxValue bounds a value, in bytes, as the relay does.
const maxValue = 512

// bounded returns s with values that are valid text and no longer than maxValue. A room that is too long is none: a cut id
// could be another's.
func (s Snapshot) bounded() Snapshot {
	s.TraceID, s.UserAgent = bound(s.TraceID), bound(s.UserAgent)
	if len(s.RoomID) > maxValue {
		s.RoomID = ""
	}
	s.RoomID = bound(s.RoomID)
	if len(s.Extra) > 0 {
		extra := make(map[string]string, len(s.Extra))
		for name, value := range s.Extra {
			extra[bound(name)] = bound(value)
		}
		s.Extra = extra
	}
	return s
}

// bound returns v without control characters and what is not UTF-8, and no longer than maxValue.
func bound(v string) string {
	if len(v) > maxValue {
		n := maxValue
		for n > 0 && !utf8.RuneStart(v[n]) {
			n--
		}
		v = v[:n]
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return -1
		}
		return r
	}, v)
}

// traceparent returns the trace id of a W3C traceparent header (https://www.w3.org/TR/trace-context/); empty when there
// is none, or none that is valid.
func traceparent(r *http.Request) string {
	const version, id = 2, 32
	v := r.Header.Get("Traceparent")
	if len(v) < 55 || v[version] != '-' || v[version+1+id] != '-' || v[:version] == "ff" {
		return ""
	}
	trace := v[version+1 : version+1+id]
	if _, err := hex.DecodeString(trace); err != nil || trace != strings.ToLower(trace) || strings.Trim(trace, "0") == "" {
		return ""
	}
	return trace
}
