package outbox

import (
	"crypto/sha256"
	"encoding/binary"
)

// A LaneKey is the fixed-length hash of a Lane, under which stores keep it.
type LaneKey [16]byte

// Key returns the key of the lane. It is stored, so it never changes.
func (l Lane) Key() LaneKey {
	var space [256]byte
	b := space[:0]
	for _, field := range []string{string(l.Integration), l.Destination, l.GroupKey, l.Receiver, l.Room} {
		b = binary.AppendUvarint(b, uint64(len(field)))
		b = append(b, field...)
	}
	sum := sha256.Sum256(b)
	return LaneKey(sum[:16])
}
