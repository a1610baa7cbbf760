package dedupe

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/alertrelay/relay"
)

// Both hashes are SHA-256 cut to 128 bits: senders choose what is hashed, so chance collisions are not the only ones to
// fear, and processors have instructions for it. Texts are written with their length, so that no two lists of texts
// have the same bytes.

// SlotOf returns the slot of a webhook that came in by path and says receiver (unquoted: relay.Notification.ReceiverName)
// and groupKey. Two URLs are two slots, whatever their bodies.
func SlotOf(path, receiver, groupKey string) Slot {
	b := make([]byte, 0, len(path)+len(receiver)+len(groupKey)+3*binary.MaxVarintLen64)
	b = appendText(b, path)
	b = appendText(b, receiver)
	b = appendText(b, groupKey)
	return Slot(sum(b))
}

// StateOf returns the state of a whole notification. It does not depend on annotations, links, end times, the order of
// alerts, or reasons other than the reminder's.
func StateOf(n *relay.Notification) State {
	reminder := byte(0)
	if IsReminder(n) {
		reminder = 1
	}
	return hash(n.Alerts, n.TruncatedAlerts, reminder)
}

// StateOfAlerts returns the state of a part of a notification: its alerts, and how many alerts of the group were cut away
// before it was sent. A change among those may be one of this part, so it counts for every part. That the notification is
// a reminder does not count: after a reminder the part still says what it said before.
func StateOfAlerts(alerts relay.Alerts, truncated uint64) State { return hash(alerts, truncated, 0) }

func hash(alerts relay.Alerts, truncated uint64, reminder byte) State {
	facts := make([]fact, len(alerts))
	size := 1 + binary.MaxVarintLen64
	for i := range alerts {
		a := &alerts[i]
		facts[i] = fact{a.Fingerprint, a.Status, a.StartsAt}
		size += len(a.Fingerprint) + len(a.Status) + 4*binary.MaxVarintLen64
	}
	slices.SortFunc(facts, fact.compare)
	facts = slices.CompactFunc(facts, func(a, b fact) bool { return a.compare(b) == 0 })

	b := append(make([]byte, 0, size), reminder)
	b = binary.AppendUvarint(b, truncated)
	for i := range facts {
		b = facts[i].appendTo(b)
	}
	return State(sum(b))
}

// A fact is all that the state takes from one alert.
type fact struct {
	fingerprint string
	status      string
	startsAt    time.Time
}

func (f fact) compare(other fact) int {
	if c := strings.Compare(f.fingerprint, other.fingerprint); c != 0 {
		return c // nearly always: a group has each alert once
	}
	if c := strings.Compare(f.status, other.status); c != 0 {
		return c
	}
	return f.startsAt.Compare(other.startsAt) // instants, whatever their zone
}

func (f fact) appendTo(b []byte) []byte {
	b = appendText(b, f.fingerprint)
	b = appendText(b, f.status)
	b = binary.AppendVarint(b, f.startsAt.Unix())
	return binary.AppendVarint(b, int64(f.startsAt.Nanosecond()))
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func sum(b []byte) [16]byte {
	full := sha256.Sum256(b)
	return [16]byte(full[:16])
}
