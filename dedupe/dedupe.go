// Package dedupe tells a notification from its duplicates: retries of one flush, the second Alertmanager of a pair, the
// flush after a lost answer. It is the second stage on the path of a notification and consists of pure functions; the
// store remembers what was last accepted.
//
// The rule: a webhook's slot is (URL path, receiver, group key); its state is what it says about its alerts. It is a
// duplicate exactly when its state equals the state last accepted in its slot and that was less than the window ago. It
// is never compared with a set of seen states, because a set swallows an alert that fires again after a lost link.
package dedupe

// A Slot is where a notification is compared: the fixed-length hash of URL path, payload receiver and group key.
type Slot [16]byte

// A State is what a notification says: the fixed-length hash of its truncated count, whether it is a reminder, and the
// sorted (fingerprint, status, startsAt as instant) of all its alerts.
type State [16]byte
