package recorder

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// RedisOptions are the settings of Redis; the zero value has the relay's defaults.
type RedisOptions struct {
	// Namespace is the relay's storage.redis.namespace; default relay.
	Namespace string
	// TTL is how long a snapshot stays; default 24 h.
	TTL time.Duration
	// Lookup is the relay's snapshots.lookup: the sets of labels under which it looks. A snapshot is written under each
	// set whose labels it has all. Default: [[service, instance], [job, instance], [service], [job]].
	Lookup [][]string
}

// Redis makes a Sink that writes to the relay's Redis, of go-redis' function, without this module having to import it:
//
//	Sink: recorder.Redis(client.Do, recorder.RedisOptions{}),
//
// The layout is in https://github.com/alertrelay/relay/blob/main/docs/reference/snapshots.md. Of the snapshots in one call
// only the newest is written under each key.
func Redis[Reply interface{ Err() error }](
	do func(ctx context.Context, args ...any) Reply, options RedisOptions,
) Sink {
	options.Namespace = cmp.Or(options.Namespace, "relay")
	options.TTL = cmp.Or(options.TTL, 24*time.Hour)
	if options.Lookup == nil {
		options.Lookup = [][]string{{"service", "instance"}, {"job", "instance"}, {"service"}, {"job"}}
	}
	return redis{options, func(ctx context.Context, args ...any) error { return do(ctx, args...).Err() }}
}

type redis struct {
	options RedisOptions
	do      func(ctx context.Context, args ...any) error
}

// The relay's bounds, in bytes. It does not use what is longer.
const (
	maxRedisKey   = 1 << 10 // without the namespace
	maxRedisValue = 4 << 10
)

// Put implements Sink, with one SET for each key.
func (s redis) Put(ctx context.Context, snapshots []Snapshot) error {
	newest := map[string][]byte{}
	for _, snapshot := range snapshots {
		value, err := redisValue(snapshot)
		if err != nil {
			return fmt.Errorf("%w: encode: %w", ErrRefused, err)
		}
		for _, key := range s.keys(snapshot) {
			newest[key] = value
		}
	}
	seconds := max(1, int64(s.options.TTL/time.Second))
	for _, key := range slices.Sorted(maps.Keys(newest)) {
		if err := s.do(ctx, "SET", s.options.Namespace+":snapshot:"+key, newest[key], "EX", seconds); err != nil {
			return fmt.Errorf("put snapshots: SET: %w", err)
		}
	}
	return nil
}

// check implements checker: under labels that make no key the relay would never look.
func (s redis) check(labels map[string]string) error {
	if len(s.keys(Snapshot{Labels: labels})) == 0 {
		return fmt.Errorf("recorder: Config.Labels has all labels of none of the sets in RedisOptions.Lookup, %v", s.options.Lookup)
	}
	return nil
}

// keys returns where a snapshot is to lie: under its labels, and under its trace.
func (s redis) keys(snapshot Snapshot) []string {
	var keys []string
	for _, set := range s.options.Lookup {
		if key := redisKey(set, snapshot.Labels); key != "" {
			keys = append(keys, key)
		}
	}
	if trace := snapshot.TraceID; trace != "" {
		if key := redisKey([]string{"trace_id"}, map[string]string{"trace_id": trace}); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

// redisKey is the labels of a set, as label=value, sorted by label and joined by commas; empty when one is missing.
func redisKey(set []string, labels map[string]string) string {
	var pairs []string
	for _, name := range slices.Compact(slices.Sorted(slices.Values(set))) {
		value := labels[name]
		if value == "" {
			return ""
		}
		pairs = append(pairs, escapeKey(name)+"="+escapeKey(value))
	}
	key := strings.Join(pairs, ",")
	if len(key) > maxRedisKey {
		return ""
	}
	return key
}

// escapeKey puts a backslash before what separates the parts of a key.
func escapeKey(part string) string {
	if !strings.ContainsAny(part, `\,=`) {
		return part
	}
	return strings.NewReplacer(`\`, `\\`, `,`, `\,`, `=`, `\=`).Replace(part)
}

// redisValue is a snapshot as it is stored, without the labels. Further fields are left out when they are too much.
func redisValue(s Snapshot) ([]byte, error) {
	s.Labels = nil
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return nil, err
	}
	if b.Len() > maxRedisValue && s.Extra != nil {
		s.Extra = nil
		return redisValue(s)
	}
	return bytes.TrimSpace(b.Bytes()), nil
}
