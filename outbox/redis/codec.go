package redis

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

// What scripts carry without looking at it: fields one after another. Numbers are varints; texts have their length
// before them.
type encoder []byte

func (e *encoder) int(v int64) { *e = binary.AppendVarint(*e, v) }

func (e *encoder) text(v string) {
	*e = binary.AppendUvarint(*e, uint64(len(v)))
	*e = append(*e, v...)
}

// time keeps nanoseconds; the zero time stays zero.
func (e *encoder) time(t time.Time) {
	if t.IsZero() {
		e.int(0)
	} else {
		e.int(t.UnixNano())
	}
}

var errDamaged = errors.New("what was stored is damaged")

// A decoder reads the fields back in their order. After a damaged one all are empty.
type decoder struct {
	rest string
	bad  bool
}

func (d *decoder) int() int64 {
	v, n := binary.Varint([]byte(d.rest[:min(len(d.rest), binary.MaxVarintLen64)]))
	if n <= 0 {
		d.bad, d.rest = true, ""
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) text() string {
	v, n := binary.Uvarint([]byte(d.rest[:min(len(d.rest), binary.MaxVarintLen64)]))
	if n <= 0 || v > uint64(len(d.rest)-n) {
		d.bad, d.rest = true, ""
		return ""
	}
	t := d.rest[n : n+int(v)]
	d.rest = d.rest[n+int(v):]
	return t
}

func (d *decoder) time() time.Time {
	n := d.int()
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

func (d *decoder) err() error {
	if d.bad {
		return errDamaged
	}
	return nil
}

// An about is what an event or an entry is about.
type about struct {
	receivedAt time.Time
	status     string
	alerts     int
	lane       outbox.Lane
}

func (a about) encode() []byte {
	e := make(encoder, 0, 64+len(a.lane.GroupKey)+len(a.lane.Integration))
	e.time(a.receivedAt)
	e.text(a.status)
	e.int(int64(a.alerts))
	e.text(string(a.lane.Integration))
	e.text(a.lane.Destination)
	e.text(a.lane.GroupKey)
	e.text(a.lane.Receiver)
	e.text(a.lane.Room)
	return e
}

// decodeAbout reads what encode made; nothing is about nothing.
func decodeAbout(value string) (about, error) {
	if value == "" {
		return about{}, nil
	}
	d := &decoder{rest: value}
	return about{
		receivedAt: d.time(), status: d.text(), alerts: int(d.int()),
		lane: outbox.Lane{
			Integration: relay.IntegrationID(d.text()), Destination: d.text(), GroupKey: d.text(), Receiver: d.text(),
			Room: d.text(),
		},
	}, d.err()
}

// A telling is where an entry goes and what a reader knows once it is told.
type telling struct {
	destination relay.Destination
	limiters    []relay.LimiterID // those that the entry was accepted with
	told        map[string]time.Time
}

func (t telling) encode() []byte {
	e := make(encoder, 0, 128+32*len(t.told))
	e.text(t.destination.Key)
	e.text(t.destination.Address)
	e.limiters(t.destination.Limiters)
	e.limiters(t.limiters)
	e.int(int64(len(t.told)))
	for _, fingerprint := range slices.Sorted(maps.Keys(t.told)) {
		e.text(fingerprint)
		e.time(t.told[fingerprint])
	}
	return e
}

func decodeTelling(value string) (telling, error) {
	d := &decoder{rest: value}
	t := telling{destination: relay.Destination{Key: d.text(), Address: d.text(), Limiters: d.limiters()}}
	t.limiters = d.limiters()
	if n := d.int(); n > 0 && n <= int64(len(d.rest)) {
		t.told = make(map[string]time.Time, n)
		for range n {
			fingerprint := d.text()
			t.told[fingerprint] = d.time()
		}
	}
	return t, d.err()
}

func (e *encoder) limiters(ids []relay.LimiterID) {
	e.int(int64(len(ids)))
	for _, id := range ids {
		e.text(string(id))
	}
}

func (d *decoder) limiters() []relay.LimiterID {
	var ids []relay.LimiterID
	for range min(d.int(), int64(len(d.rest))) {
		ids = append(ids, relay.LimiterID(d.text()))
	}
	return ids
}

// encodeOutcome keeps what the history shows of an outcome.
func encodeOutcome(o outbox.Outcome) []byte {
	e := make(encoder, 0, 64+len(o.Detail)+len(o.Text))
	e.int(int64(o.Part))
	e.int(int64(o.Parts))
	e.text(string(o.Reason))
	e.text(o.Detail)
	e.text(o.Fallback)
	e.int(int64(o.Duration))
	e.text(o.Text)
	return e
}

// decodeOutcome adds an outcome to an event.
func decodeOutcome(value string, to *outbox.Event) error {
	d := &decoder{rest: value}
	to.Part, to.Parts, to.Reason, to.Detail = int(d.int()), int(d.int()), relay.Kind(d.text()), d.text()
	to.Fallback, to.Duration, to.Text = d.text(), time.Duration(d.int()), d.text()
	return d.err()
}
