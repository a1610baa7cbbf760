package snapshots

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxAhead is how far the clock of an application may be ahead.
const maxAhead = 5 * time.Minute

// A Recorder keeps records under all keys by which they can be found. Its zero value is of no use; it is safe for
// concurrent use.
type Recorder struct {
	Store Store
	// Sets are the sets of labels that are looked up.
	Sets []Set
	TTL  time.Duration
	Now  func() time.Time
}

// Record keeps records, each a JSON object of the labels of an application and the fields of a snapshot. It says of each
// what is wrong with it; nil for one that is kept. A second error means that none is.
func (r Recorder) Record(ctx context.Context, records []json.RawMessage) ([]error, error) {
	var entries []Entry
	verdicts := make([]error, len(records))
	for i, record := range records {
		var more []Entry
		more, verdicts[i] = r.read(record)
		entries = append(entries, more...)
	}
	if err := r.Store.Record(ctx, entries, r.TTL); err != nil {
		return nil, err
	}
	return verdicts, nil
}

// Find returns what lies under the keys of labels, in the order in which an alert with these labels is looked up.
func (r Recorder) Find(ctx context.Context, labels map[string]string) ([]Entry, error) {
	keys := r.keys(labels, labels["trace_id"])
	found, err := r.Store.Find(ctx, keys)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for i, s := range found {
		if !s.IsZero() {
			entries = append(entries, Entry{keys[i], s})
		}
	}
	return entries, nil
}

// keys are where a snapshot lies: under its trace and under each set that labels have.
func (r Recorder) keys(labels map[string]string, trace string) []Key {
	var keys []Key
	if key, ok := TraceKey(trace); ok {
		keys = append(keys, key)
	}
	for _, set := range r.Sets {
		if key, ok := set.Key(labels); ok && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// A record is what an application sends: a snapshot as it is stored, and its labels.
type record struct {
	stored

	Labels map[string]text `json:"labels"`
}

// read makes entries of a record.
func (r Recorder) read(raw json.RawMessage) ([]Entry, error) {
	var from record
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&from); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	s := from.snapshot()
	now := r.Now()
	switch {
	case s.Time.IsZero():
		s.Time = now
	case s.Time.After(now.Add(maxAhead)):
		return nil, fmt.Errorf("time: %s is to come", s.Time.Format(time.RFC3339))
	case s.Time.Before(now.Add(-r.TTL)):
		return nil, fmt.Errorf("time: %s is longer ago than %s", s.Time.Format(time.RFC3339), r.TTL)
	}
	if s.IsZero() {
		return nil, errors.New("it says nothing: give trace_id, room_id, user_agent or extra")
	}
	if _, err := Encode(s); err != nil {
		return nil, err
	}
	labels := make(map[string]string, len(from.Labels))
	for name, value := range from.Labels {
		labels[name] = string(value)
	}
	keys := r.keys(labels, s.TraceID)
	if len(keys) == 0 {
		return nil, fmt.Errorf("labels: none of the sets that are looked up, and no trace_id; a set is one of %v", r.Sets)
	}
	entries := make([]Entry, len(keys))
	for i, key := range keys {
		entries[i] = Entry{key, s}
	}
	return entries, nil
}
