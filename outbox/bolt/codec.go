package bolt

import (
	"encoding/binary"
	"errors"
	"time"
)

// An encoder appends fields to a value. Numbers are varints; texts and bytes have their length before them.
type encoder []byte

func (e *encoder) uint(v uint64) { *e = binary.AppendUvarint(*e, v) }

func (e *encoder) int(v int) { *e = binary.AppendVarint(*e, int64(v)) }

func (e *encoder) text(v string) {
	e.uint(uint64(len(v)))
	*e = append(*e, v...)
}

func (e *encoder) bytes(v []byte) {
	e.uint(uint64(len(v)))
	*e = append(*e, v...)
}

// raw appends a field of fixed length.
func (e *encoder) raw(v []byte) { *e = append(*e, v...) }

// time appends a time in nanoseconds; the zero time stays zero.
func (e *encoder) time(v time.Time) { e.int(int(nanos(v))) }

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

var errCorrupt = errors.New("a record is damaged")

// A decoder reads the fields back in the order in which they were appended. After the first damaged field all further ones
// are empty and bad is set. Its slices are part of the value.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) int() int {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return int(v)
}

// count reads the number of fields that follow, each of at least one byte.
func (d *decoder) count() int {
	n := d.uint()
	if n > uint64(len(d.rest)) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) text() string { return string(d.bytes()) }

func (d *decoder) bytes() []byte { return d.raw(int(min(d.uint(), 1<<31))) }

func (d *decoder) raw(n int) []byte {
	if n > len(d.rest) {
		d.fail()
		return make([]byte, min(n, 16))
	}
	v := d.rest[:n:n]
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) time() time.Time { return fromNanos(int64(d.int())) }

func (d *decoder) fail() { d.bad, d.rest = true, nil }

func (d *decoder) err() error {
	if d.bad {
		return errCorrupt
	}
	return nil
}
