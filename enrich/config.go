package enrich

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/snapshots"
)

// The fields that every snapshot has, under their names in the configuration and in relay.Snapshot.Sources.
const (
	TraceID   = "trace_id"
	RoomID    = "room_id"
	UserAgent = "user_agent"
)

// Defaults of the keys.
const (
	DefaultMaxAge = 15 * time.Minute
	DefaultTTL    = 24 * time.Hour
	// DefaultMaxValueLength is how long a value may be, in bytes: the user agents of in-app browsers reach 400.
	DefaultMaxValueLength = 512
)

// maxLookup bounds the sets of lookup: each is asked for every alert.
const maxLookup = 16

// Config is the section snapshots: of the configuration.
type Config struct {
	// Fields names for each field the labels or annotations that hold it; the first that an alert has wins, a label before
	// an annotation of the same name. Fields other than trace_id, room_id and user_agent become extra fields. Default:
	// trace_id: [trace_id, traceID], room_id: [room_id], user_agent: [user_agent].
	Fields map[string][]string `yaml:"fields,omitempty"`
	// Lookup names the sets of labels under which applications record, most exact first. Default:
	// [[service, instance], [job, instance], [service], [job]].
	Lookup [][]string `yaml:"lookup,omitempty"`
	// MaxAge is how long before an alert began a snapshot may be recorded to count; default 15m.
	MaxAge model.Duration `yaml:"max_age,omitempty"`
	// TTL is how long what is recorded through the relay is kept; default 24h.
	TTL model.Duration `yaml:"ttl,omitempty"`
	// RouteByEvidence lets a room that was looked up be the routing room of an alert that names none.
	RouteByEvidence bool `yaml:"route_by_evidence,omitempty"`
	// Exemplars names a Prometheus whose exemplars tell the traces behind an alert; nil asks none.
	Exemplars *Exemplars `yaml:"exemplars,omitempty"`
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
	c.validateLookup(f.In("lookup"))
	if c.MaxAge < 0 {
		f.In("max_age").Addf("must be more than 0")
	}
	if c.TTL < 0 {
		f.In("ttl").Addf("must be more than 0")
	} else if c.TimeToLive() < c.maxAge() {
		f.In("ttl").Warnf("is shorter than max_age: snapshots are gone before they are too old")
	}
	if c.MaxValueLength < 0 {
		f.In("max_value_length").Addf("must not be negative")
	}
	c.Exemplars.validate(f.In("exemplars"))
	_, err := newTraceURL(c.TraceURL)
	f.Add(err)
}

func (c *Config) validateLookup(f *fault.List) {
	if len(c.Lookup) > maxLookup {
		f.Addf("%d sets are more than %d", len(c.Lookup), maxLookup)
	}
	for i, names := range c.Lookup {
		if len(names) == 0 {
			f.Item(i).Addf("expected the names of labels")
		}
		for j, name := range names {
			if name == "" {
				f.Item(i).Item(j).Addf("expected the name of a label")
			}
		}
	}
}

// Sets are the sets of labels under which snapshots are recorded and looked up, most exact first.
func (c *Config) Sets() []snapshots.Set {
	lookup := c.Lookup
	if lookup == nil {
		lookup = snapshots.DefaultLookup()
	}
	sets := make([]snapshots.Set, len(lookup))
	for i, names := range lookup {
		sets[i] = snapshots.NewSet(names...)
	}
	return sets
}

// TimeToLive is TTL with its default.
func (c *Config) TimeToLive() time.Duration { return cmp.Or(time.Duration(c.TTL), DefaultTTL) }

func (c *Config) maxAge() time.Duration { return cmp.Or(time.Duration(c.MaxAge), DefaultMaxAge) }

// Room returns an id as it is compared: the room of an alert with this id.
func (c *Config) Room(id string) string { return cleaner{max: c.maxValueLength()}.room(id) }

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

func (c *Config) maxValueLength() int { return cmp.Or(c.MaxValueLength, DefaultMaxValueLength) }
