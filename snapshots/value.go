package snapshots

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/alertrelay/relay"
)

// A stored is the form in which a snapshot is stored. A writer that is not the relay may give numbers for texts, and
// seconds since 1970 for the time.
type stored struct {
	TraceID   text            `json:"trace_id,omitempty"`
	RoomID    text            `json:"room_id,omitempty"`
	UserAgent text            `json:"user_agent,omitempty"`
	Extra     map[string]text `json:"extra,omitempty"`
	Time      instant         `json:"time,omitzero"`
}

// Encode returns a snapshot as it is stored. It fails when that is longer than MaxValue.
func Encode(s relay.Snapshot) ([]byte, error) {
	w := stored{text(s.TraceID), text(s.RoomID), text(s.UserAgent), nil, instant{s.Time.UTC()}}
	if len(s.Extra) > 0 {
		w.Extra = make(map[string]text, len(s.Extra))
		for name, value := range s.Extra {
			w.Extra[name] = text(value)
		}
	}
	value, err := json.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("encode snapshot: %w", err)
	}
	if len(value) > MaxValue {
		return nil, fmt.Errorf("%d bytes are more than %d", len(value), MaxValue)
	}
	return value, nil
}

// Decode reads what Encode or another writer has stored. What it does not know it leaves out.
func Decode(value []byte) (relay.Snapshot, error) {
	var w stored
	if err := json.Unmarshal(value, &w); err != nil {
		return relay.Snapshot{}, fmt.Errorf("decode snapshot: %w", err)
	}
	return w.snapshot(), nil
}

func (w *stored) snapshot() relay.Snapshot {
	s := relay.Snapshot{
		TraceID: string(w.TraceID), RoomID: string(w.RoomID), UserAgent: string(w.UserAgent), Time: w.Time.Time,
	}
	if len(w.Extra) > 0 {
		s.Extra = make(map[string]string, len(w.Extra))
		for name, value := range w.Extra {
			s.Extra[name] = string(value)
		}
	}
	return s
}

// A text is a string that may have been written as a number: a room is often one.
type text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && (b[0] == '-' || b[0] >= '0' && b[0] <= '9') {
		*t = text(b)
		return nil
	}
	if plain, ok := unquoted(b); ok {
		*t = text(plain)
		return nil
	}
	return json.Unmarshal(b, (*string)(t))
}

// unquoted returns a JSON string of printable ASCII without its quotes, which nearly all are.
func unquoted(b []byte) ([]byte, bool) {
	if len(b) < 2 || b[0] != '"' {
		return nil, false
	}
	b = b[1 : len(b)-1]
	return b, !bytes.ContainsFunc(b, func(r rune) bool { return r < ' ' || r > '~' || r == '\\' })
}

// An instant is a time, in RFC 3339 or in seconds since 1970, that can be written in RFC 3339 again: until the year 9999.
type instant struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (i *instant) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] < '0' || b[0] > '9' {
		if err := i.Time.UnmarshalJSON(b); err != nil {
			return err
		}
	} else {
		seconds, err := strconv.ParseFloat(string(b), 64)
		if err != nil || seconds > 1<<40 {
			return fmt.Errorf("%.30s are no seconds since 1970", b)
		}
		whole, part := math.Modf(seconds)
		i.Time = time.Unix(int64(whole), int64(part*1e9)).UTC()
	}
	if year := i.UTC().Year(); year < 0 || year > 9999 {
		return fmt.Errorf("%.40s is not within the years 0 to 9999", b)
	}
	return nil
}
