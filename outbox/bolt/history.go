package bolt

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

const defaultHistoryLimit = 100

// History implements outbox.Store.
func (s *Store) History(ctx context.Context, q outbox.HistoryQuery) ([]outbox.Event, string, error) {
	q.Limit = cmp.Or(q.Limit, defaultHistoryLimit)
	from, err := parseCursor(q.Cursor)
	if err != nil {
		return nil, "", err
	}
	var events []outbox.Event
	err = s.db.View(func(tx *bbolt.Tx) error {
		for full := false; ; {
			next, err := scanHistory(ctx, tx, from, q, func(e outbox.Event) bool {
				if full = len(events) == q.Limit; !full {
					events = append(events, e)
				}
				return !full
			})
			if from = next; err != nil || full || next == (cursor{}) {
				return err
			}
		}
	})
	if err != nil {
		return nil, "", unavailable("history", err)
	}
	if from == (cursor{}) {
		return events, "", nil
	}
	return events, from.String(), nil
}

// scanHistory reads backwards from the cursor, or from the end, until see returns false for a matching event, until it has
// looked at maxScan values, or to the end. It returns where to go on, with the event last seen if that was not taken; zero
// at the end. A value that cannot hold an event asked for is not decoded.
func scanHistory(
	ctx context.Context, tx *bbolt.Tx, from cursor, q outbox.HistoryQuery, see func(outbox.Event) bool,
) (cursor, error) {
	c := tx.Bucket([]byte(historyBucket)).Cursor()
	seen := 0
	for k, v := from.seek(c); k != nil; k, v = c.Prev() {
		if ctx.Err() != nil {
			return cursor{}, context.Cause(ctx)
		}
		if !q.Since.IsZero() && timeOf(v).Before(q.Since) {
			return cursor{}, nil
		}
		seq := binary.BigEndian.Uint64(k)
		if seen++; seen > maxScan {
			return cursor{seq + 1, 0}, nil
		}
		if !mayHold(v, q) {
			continue
		}
		page, err := decodeEvents(v)
		if err != nil {
			return cursor{}, err
		}
		if seq == from.seq {
			page = page[:min(from.index, len(page))]
		}
		for i, e := range slices.Backward(page) {
			if matches(e, q) && !see(e) {
				return cursor{seq, i + 1}, nil
			}
		}
	}
	return cursor{}, nil
}

// A cursor names the events before the one with this index in the value with this number.
type cursor struct {
	seq   uint64
	index int
}

func (c cursor) String() string { return strconv.FormatUint(c.seq, 36) + "." + strconv.Itoa(c.index) }

func parseCursor(text string) (cursor, error) {
	if text == "" {
		return cursor{}, nil
	}
	seq, index, _ := strings.Cut(text, ".")
	var c cursor
	var err error
	if c.seq, err = strconv.ParseUint(seq, 36, 64); err == nil {
		c.index, err = strconv.Atoi(index)
	}
	if err != nil || c.seq == 0 || c.index < 0 {
		return cursor{}, fmt.Errorf("history: %q is not a cursor", text)
	}
	return c, nil
}

// seek finds the newest value the cursor includes.
func (c cursor) seek(b *bbolt.Cursor) ([]byte, []byte) {
	if c.seq == 0 {
		return b.Last()
	}
	k, v := b.Seek(key(c.seq))
	if k == nil {
		return b.Last()
	}
	if binary.BigEndian.Uint64(k) != c.seq {
		return b.Prev()
	}
	return k, v
}

// mayHold tells whether the encoded events can match: the texts asked for stand in them as they are.
func mayHold(value []byte, q outbox.HistoryQuery) bool {
	return bytes.Contains(value, []byte(q.Notification)) && bytes.Contains(value, []byte(q.Integration))
}

func matches(e outbox.Event, q outbox.HistoryQuery) bool {
	return (q.Notification == "" || e.Notification == q.Notification) &&
		(q.Integration == "" || e.Integration == q.Integration) &&
		(len(q.Types) == 0 || slices.Contains(q.Types, e.Type)) &&
		(q.Since.IsZero() || !e.At.Before(q.Since)) &&
		(q.Until.IsZero() || e.At.Before(q.Until))
}

// encodeEvents encodes the events of one commit; they share its time.
func encodeEvents(events []outbox.Event) []byte {
	e := make(encoder, 0, 256*len(events))
	e.time(events[0].At)
	e.uint(uint64(len(events)))
	for i := range events {
		e.event(&events[i])
	}
	return e
}

// timeOf reads the time that values of several tables begin with.
func timeOf(value []byte) time.Time {
	d := &decoder{rest: value}
	return d.time()
}

func decodeEvents(value []byte) ([]outbox.Event, error) {
	d := &decoder{rest: value}
	d.time()
	events := make([]outbox.Event, d.count())
	for i := range events {
		events[i] = d.event()
	}
	return events, d.err()
}

func (e *encoder) event(v *outbox.Event) {
	e.time(v.At)
	e.text(string(v.Type))
	e.text(v.Notification)
	e.text(v.GroupKey)
	e.text(v.Receiver)
	e.text(v.Status)
	e.int(v.Alerts)
	e.int(v.Entries)
	e.text(v.Entry)
	e.text(string(v.Integration))
	e.text(v.Destination)
	e.text(v.Room)
	e.int(v.Attempt)
	e.int(v.Part)
	e.int(v.Parts)
	e.text(string(v.Reason))
	e.text(v.Detail)
	e.text(v.Fallback)
	e.int(int(v.Duration))
	e.text(v.Text)
}

func (d *decoder) event() outbox.Event {
	return outbox.Event{
		At: d.time(), Type: outbox.EventType(d.text()), Notification: d.text(), GroupKey: d.text(), Receiver: d.text(),
		Status: d.text(), Alerts: d.int(), Entries: d.int(), Entry: d.text(), Integration: relay.IntegrationID(d.text()),
		Destination: d.text(), Room: d.text(), Attempt: d.int(), Part: d.int(), Parts: d.int(),
		Reason: relay.Kind(d.text()), Detail: d.text(), Fallback: d.text(), Duration: time.Duration(d.int()),
		Text: d.text(),
	}
}
