package enrich

import (
	"maps"
	"slices"

	"github.com/alertrelay/relay/internal/fault"
)

// The fields that every snapshot has, under their names in the configuration and in relay.Snapshot.Sources.
const (
	TraceID   = "trace_id"
	RoomID    = "room_id"
	UserAgent = "user_agent"
)

// DefaultMaxValueLength is how long a value may be, in bytes: the user agents of in-app browsers reach 400.
const DefaultMaxValueLength = 512

// Config is the section snapshots: of the configuration.
type Config struct {
	// Fields names for each field the labels or annotations that hold it; the first that an alert has wins, a label before
	// an annotation of the same name. Fields other than trace_id, room_id and user_agent become extra fields. Default:
	// trace_id: [trace_id, traceID], room_id: [room_id], user_agent: [user_agent].
	Fields map[string][]string `yaml:"fields,omitempty"`
	// TraceURL is a template over the snapshot that makes the link to a trace. Values are escaped for use in a URL.
	TraceURL string `yaml:"trace_url,omitempty"`
	// MaxValueLength bounds each value, in bytes; default 512. Longer ones are cut, a longer room_id is none.
	MaxValueLength int `yaml:"max_value_length,omitempty"`
}

// Validate adds what is wrong with the section.
func (c *Config) Validate(f *fault.List) {
	for _, field := range slices.Sorted(maps.Keys(c.Fields)) {
		if field == "" {
			f.In("fields").Addf("a field needs a name")
		}
		for i, name := range c.Fields[field] {
			if name == "" {
				f.In("fields").In(field).Item(i).Addf("expected the name of a label or annotation")
			}
		}
	}
	if c.MaxValueLength < 0 {
		f.In("max_value_length").Addf("must not be negative")
	}
	_, err := newTraceURL(c.TraceURL)
	f.Add(err)
}

// fields returns Fields with the defaults of those not given.
func (c *Config) fields() map[string][]string {
	fields := map[string][]string{
		TraceID:   {TraceID, "traceID"},
		RoomID:    {RoomID},
		UserAgent: {UserAgent},
	}
	maps.Copy(fields, c.Fields)
	return fields
}

func (c *Config) maxValueLength() int {
	if c.MaxValueLength == 0 {
		return DefaultMaxValueLength
	}
	return c.MaxValueLength
}
