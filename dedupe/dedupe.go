// Package dedupe tells a notification from its duplicates: retries of one flush, the second Alertmanager of a pair, the
// flush after a lost answer. It is the second stage on the path of a notification and consists of pure functions; the
// store remembers what was last accepted.
//
// The rule: a webhook's slot is (URL path, receiver, group key); its state is what it says about its alerts. It is a
// duplicate exactly when its state equals the state last accepted in its slot and that was less than the window ago. It
// is never compared with a set of seen states, because a set swallows an alert that fires again after a lost link.
package dedupe

import (
	"time"

	"github.com/alertrelay/relay"
)

// A Slot is where a notification is compared: the fixed-length hash of URL path, payload receiver and group key.
type Slot [16]byte

// A State is what a notification says: the fixed-length hash of its truncated count, whether it is a reminder, and the
// sorted (fingerprint, status, startsAt as instant) of all its alerts.
type State [16]byte

// ReminderWindow bounds the window of a notification that calls itself a reminder: copies of one reminder come from the
// nodes of a pair and are never further apart, and the next reminder may come soon.
const ReminderWindow = 2 * time.Minute

// Duplicate reports whether a notification of state s, arriving now, is a duplicate of the one last accepted in its slot,
// which had state last and arrived at. A window that is not positive makes nothing a duplicate. Neither does a mark from
// the future, beyond the window: a clock was set back, and what the mark says about age is worth nothing.
func Duplicate(last State, at time.Time, s State, now time.Time, window time.Duration) bool {
	age := now.Sub(at)
	return last == s && age < window && -age < window
}

// Window is how long n suppresses its copies: the configured window, but at most ReminderWindow for a reminder.
func Window(n *relay.Notification, window time.Duration) time.Duration {
	if IsReminder(n) {
		return min(window, ReminderWindow)
	}
	return window
}

// IsReminder reports whether Alertmanager says that it only repeats itself. Versions before 0.32 do not say.
func IsReminder(n *relay.Notification) bool { return n.NotificationReason == relay.ReasonRepeat }
