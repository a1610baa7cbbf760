package bolt

import (
	"bytes"
	"container/list"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/outbox"
)

// A record is a pending webhook in memory. Its bodies are on disk, and in raw while they are recent.
type record struct {
	seq        uint64
	id         string
	receivedAt int64 // nanoseconds
	status     string
	alerts     int
	entries    int
	size       int           // encoded, in bytes
	requeued   int64         // when its only entry was brought back from the dead letters, nanoseconds; 0 when it was not
	fold       fold          // what its only entry was folded of
	open       int           // entries not yet ended
	place      *list.Element // among the pending

	raw          []byte  // the encoded record; nil when it must be read
	older, newer *record // among the recent
}

// A fold says what the only entry of a record was folded of; zero when it was not.
type fold struct {
	folded int    // how many earlier entries
	since  int64  // when the oldest of them was received, nanoseconds
	place  uint64 // the record of its newest: where it stands among the others
}

// oldest is when the oldest news of the record was received or brought back.
func (r *record) oldest() int64 {
	if r.fold.since != 0 {
		return r.fold.since
	}
	return max(r.receivedAt, r.requeued)
}

// after is the number that orders the record among those accepted.
func (r *record) after() uint64 {
	if r.fold.place != 0 {
		return r.fold.place
	}
	return r.seq
}

// An entry is one pending entry in memory.
type entry struct {
	record *record
	number int // in the webhook, for its id
	// position in the record, without the entries left out.
	position int
	// progress tells that there is a progress record.
	progress bool
}

func (e *entry) id() string { return e.record.id + "-" + strconv.Itoa(e.number) }

// A stored entry is one as it is on disk.
type stored struct {
	number      int
	lane        outbox.Lane
	destination relay.Destination
	limiters    []relay.LimiterID
	state       dedupe.State
	told        []byte // encoded
	body        int    // which of the bodies
}

// encodeRecord encodes the kept entries of a webhook. Equal bodies are stored once.
func encodeRecord(w *outbox.Webhook, kept []int, requeued time.Time) []byte {
	var bodies [][]byte
	size := 256
	for _, n := range kept {
		size += 256 + 32*len(w.Entries[n].Told)
		if body := w.Entries[n].Notification; !slices.ContainsFunc(bodies, func(b []byte) bool { return bytes.Equal(b, body) }) {
			bodies = append(bodies, body)
			size += len(body)
		}
	}
	e := make(encoder, 0, size)
	e.text(w.ID)
	e.time(w.ReceivedAt)
	e.text(w.Status)
	e.int(w.Alerts)
	e.time(requeued)
	e.uint(uint64(len(kept)))
	for _, n := range kept {
		en := &w.Entries[n]
		body := slices.IndexFunc(bodies, func(b []byte) bool { return bytes.Equal(b, en.Notification) })
		e.int(n)
		e.lane(en.Lane)
		e.destination(en.Destination)
		e.limiters(en.Limiters)
		e.raw(en.State[:])
		var told encoder
		told.told(en.Told)
		e.bytes(told)
		e.int(body)
	}
	e.uint(uint64(len(bodies)))
	for _, b := range bodies {
		e.bytes(b)
	}
	return e
}

// encodeOne encodes a record with one entry, as that was stored before, with this body.
func encodeOne(r *record, se stored, body []byte) ([]byte, error) {
	told := decoder{rest: se.told}
	w := outbox.Webhook{
		ID: r.id, ReceivedAt: fromNanos(r.receivedAt), Status: r.status, Alerts: r.alerts,
		Entries: make([]outbox.Entry, se.number+1),
	}
	w.Entries[se.number] = outbox.Entry{
		Lane: se.lane, Destination: se.destination, Limiters: se.limiters, State: se.state, Notification: body,
		Told: told.told(),
	}
	e := encoder(encodeRecord(&w, []int{se.number}, fromNanos(r.requeued)))
	if r.fold != (fold{}) {
		e.int(r.fold.folded)
		e.int(int(r.fold.since))
		e.uint(r.fold.place)
	}
	return e, told.err()
}

// decodeRecord reads a record without its bodies; d is left before them.
func decodeRecord(d *decoder) (*record, []stored) {
	r := &record{id: d.text(), receivedAt: int64(d.int()), status: intern(d.bytes()), alerts: d.int(), requeued: int64(d.int())}
	entries := make([]stored, d.count())
	for i := range entries {
		entries[i] = d.stored()
	}
	r.entries, r.open = len(entries), len(entries)
	last := *d
	for range last.count() {
		last.bytes()
	}
	if len(last.rest) > 0 {
		r.fold = fold{folded: last.int(), since: int64(last.int()), place: last.uint()}
	}
	return r, entries
}

// decodeEntry reads one entry of a record and its body.
func decodeEntry(raw []byte, position int) (stored, []byte, error) {
	d := &decoder{rest: raw}
	d.bytes()
	d.int()
	d.bytes()
	d.int()
	d.int()
	var wanted stored
	for i := range d.count() {
		if i == position {
			wanted = d.stored()
		} else {
			d.skipStored()
		}
	}
	var body []byte
	for i := range d.count() {
		if b := d.bytes(); i == wanted.body {
			body = b
		}
	}
	return wanted, body, d.err()
}

// intern returns the usual statuses without a copy of their own.
func intern(status []byte) string {
	switch string(status) {
	case relay.StatusFiring:
		return relay.StatusFiring
	case relay.StatusResolved:
		return relay.StatusResolved
	default:
		return string(status)
	}
}

func (d *decoder) stored() stored {
	return stored{
		number: d.int(), lane: d.lane(), destination: d.destination(), limiters: d.limiters(),
		state: dedupe.State(d.raw(16)), told: d.bytes(), body: d.int(),
	}
}

func (d *decoder) skipStored() {
	d.int()
	for range 7 {
		d.bytes()
	}
	for range 2 {
		for range d.count() {
			d.bytes()
		}
	}
	d.raw(16)
	d.bytes()
	d.int()
}

func (e *encoder) lane(l outbox.Lane) {
	e.text(string(l.Integration))
	e.text(l.Destination)
	e.text(l.GroupKey)
	e.text(l.Receiver)
	e.text(l.Room)
}

func (d *decoder) lane() outbox.Lane {
	return outbox.Lane{
		Integration: relay.IntegrationID(d.text()), Destination: d.text(), GroupKey: d.text(), Receiver: d.text(),
		Room: d.text(),
	}
}

func (e *encoder) destination(v relay.Destination) {
	e.text(v.Key)
	e.text(v.Address)
	e.limiters(v.Limiters)
}

func (d *decoder) destination() relay.Destination {
	return relay.Destination{Key: d.text(), Address: d.text(), Limiters: d.limiters()}
}

func (e *encoder) limiters(ids []relay.LimiterID) {
	e.uint(uint64(len(ids)))
	for _, id := range ids {
		e.text(string(id))
	}
}

func (d *decoder) limiters() []relay.LimiterID {
	var ids []relay.LimiterID
	for range d.count() {
		ids = append(ids, relay.LimiterID(d.text()))
	}
	return ids
}

func (e *encoder) told(told map[string]time.Time) {
	e.uint(uint64(len(told)))
	for _, fingerprint := range slices.Sorted(maps.Keys(told)) {
		e.text(fingerprint)
		e.time(told[fingerprint])
	}
}

func (d *decoder) told() map[string]time.Time {
	n := d.count()
	if n == 0 {
		return nil
	}
	told := make(map[string]time.Time, n)
	for range n {
		fingerprint := d.text()
		told[fingerprint] = d.time()
	}
	return told
}
