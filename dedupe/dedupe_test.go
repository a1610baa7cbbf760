package dedupe_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/dedupe"
)

// memory is the least store there can be: what was last accepted in each slot.
type memory map[dedupe.Slot]mark

type mark struct {
	state dedupe.State
	at    time.Time
}

// take reports whether n is a duplicate, and remembers it if not.
func (m memory) take(path string, n *relay.Notification, now time.Time, window time.Duration) bool {
	slot, state := dedupe.SlotOf(path, n.ReceiverName(), n.GroupKey), dedupe.StateOf(n)
	if last, ok := m[slot]; ok && dedupe.Duplicate(last.state, last.at, state, now, dedupe.Window(n, window)) {
		return true
	}
	m[slot] = mark{state, now}
	return false
}

// TestRecordedSequences plays what real Alertmanagers sent, in order of arrival.
func TestRecordedSequences(t *testing.T) {
	t.Parallel()
	type step struct{ Name, Verdict string }
	var recorded map[string]map[string][]step
	b, err := os.ReadFile("testdata/payloads/sequences.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &recorded))
	require.Len(t, recorded, 2, "versions")

	for version, sequences := range recorded {
		for name, steps := range sequences {
			t.Run(version+"/"+name, func(t *testing.T) {
				t.Parallel()
				window, gap := 10*time.Minute, 5*time.Second
				if name == "repeat" { // Reminders came 10 s apart: repeat_interval was 10 s.
					window, gap = 9*time.Second, 10*time.Second
				}
				store, now := memory{}, time.Unix(1_800_000_000, 0)
				for _, step := range steps {
					now = now.Add(gap)
					if step.Verdict == "refused" {
						continue
					}
					n := payload(t, version, step.Name)
					require.Equal(t, step.Verdict == "duplicate", store.take("/webhook", n, now, window), step.Name)
				}
			})
		}
	}
}

// sent is one webhook of a story.
type sent struct {
	at        time.Duration
	path      string // default /webhook
	change    func(*relay.Notification)
	duplicate bool
}

// TestDuplicates and TestLookAlikes tell stories around one recorded notification.
func TestDuplicates(t *testing.T) {
	t.Parallel()
	play(t, map[string][]sent{
		"D1 retry in one flush": {
			{at: 0, change: same},
			{at: 250 * time.Millisecond, change: same, duplicate: true},
			{at: 90 * time.Second, change: same, duplicate: true},
		},
		"D2 next flush, newer annotations": {
			{at: 0, change: same},
			{at: 5 * time.Minute, duplicate: true, change: func(n *relay.Notification) {
				n.Alerts[0].Annotations["summary"] = "newer"
				n.CommonAnnotations["summary"] = "newer"
			}},
		},
		"D3 second node of a pair": {
			{at: 0, change: same},
			{at: 15 * time.Second, duplicate: true, change: func(n *relay.Notification) {
				n.ExternalURL = "http://other:9093"
				n.Alerts[0].GeneratorURL = "http://prometheus-b:9090/graph"
				n.Alerts[0].StartsAt = n.Alerts[0].StartsAt.In(time.FixedZone("", 8*3600))
				n.NotificationReason = "new alerts added"
			}},
			{at: 105 * time.Second, change: same, duplicate: true},
		},
		"D4 reload": {
			{at: 0, change: same},
			{at: 3 * time.Millisecond, change: same, duplicate: true},
		},
		"a copy never extends the window": {
			{at: 0, change: same},
			{at: 6 * time.Minute, change: same, duplicate: true},
			{at: 10*time.Minute + time.Second, change: same},
		},
		"copies of a reminder": {
			{at: 0, change: same},
			{at: time.Hour, change: reminder},
			{at: time.Hour + 15*time.Second, change: reminder, duplicate: true},
			{at: time.Hour + 119*time.Second, change: reminder, duplicate: true},
		},
		"end time and order of alerts": {
			{at: 0, change: add("b")},
			{at: time.Second, duplicate: true, change: func(n *relay.Notification) {
				add("b")(n)
				n.Alerts[0], n.Alerts[1] = n.Alerts[1], n.Alerts[0]
				n.Alerts[0].EndsAt = time.Unix(1, 0)
			}},
		},
	})
}

func TestLookAlikes(t *testing.T) {
	t.Parallel()
	play(t, map[string][]sent{
		"L1 reminder of an old version, after the window": {
			{at: 0, change: same},
			{at: 4 * time.Hour, change: same},
			{at: 8 * time.Hour, change: same},
		},
		"L1 reminder that says so, inside the window": {
			{at: 0, change: same},
			{at: 5 * time.Minute, change: reminder},
			{at: 10 * time.Minute, change: reminder},
			{at: 12 * time.Minute, change: reminder},
		},
		"L2 fires again after a lost link, same start": {
			{at: 0, change: same},
			{at: 5 * time.Minute, change: resolve},
			{at: 6 * time.Minute, change: same},
			{at: 7 * time.Minute, change: resolve},
		},
		"L3 flap": {
			{at: 0, change: same},
			{at: 5 * time.Second, change: resolve},
			{at: 10 * time.Second, change: restart},
		},
		"L3 flap whose resolved was never sent": {
			{at: 0, change: same},
			{at: 10 * time.Second, change: restart},
		},
		"L4 member joins, leaves without a word, resolves": {
			{at: 0, change: same},
			{at: time.Second, change: add("b")},
			{at: 2 * time.Second, change: same},
			{at: 3 * time.Second, change: add("b")},
			{at: 4 * time.Second, change: func(n *relay.Notification) { add("b")(n); n.Alerts[1].Status = relay.StatusResolved }},
		},
		"L5 two webhook_configs in one receiver": {
			{at: 0, path: "/webhook/a", change: same},
			{at: time.Millisecond, path: "/webhook/b", change: same},
		},
		"L6 continue: true siblings": {
			{at: 0, change: same},
			{at: time.Millisecond, change: func(n *relay.Notification) { n.Receiver = `other\.receiver` }},
		},
		"L7 change under max_alerts": {
			{at: 0, change: func(n *relay.Notification) { n.TruncatedAlerts = 7 }},
			{at: time.Minute, change: func(n *relay.Notification) { n.TruncatedAlerts = 8 }},
			{at: 2 * time.Minute, change: same},
		},
		"L8 two independent Alertmanagers, other start": {
			{at: 0, change: same},
			{at: time.Second, change: restart},
		},
		"L8 two independent Alertmanagers, other path": {
			{at: 0, change: same},
			{at: time.Second, path: "/webhook/site-b", change: same},
		},
		"stale firing of the second node": { // Cannot be told from L2: all four are told.
			{at: 0, change: same},
			{at: 5 * time.Second, change: resolve},
			{at: 7500 * time.Millisecond, change: same},
			{at: 12 * time.Second, change: resolve},
		},
		"a clock set back makes no duplicate": {
			{at: time.Hour, change: same},
			{at: 0, change: same},
		},
	})
}

func play(t *testing.T, stories map[string][]sent) {
	t.Helper()
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, start := memory{}, time.Unix(1_800_000_000, 0)
			for i, s := range story {
				n := payload(t, "0.34.2", "single-firing")
				s.change(n)
				if s.path == "" {
					s.path = "/webhook"
				}
				require.Equal(t, s.duplicate, store.take(s.path, n, start.Add(s.at), 10*time.Minute), "webhook %d", i+1)
			}
		})
	}
}

func same(*relay.Notification) {}

func reminder(n *relay.Notification) { n.NotificationReason = relay.ReasonRepeat }

func resolve(n *relay.Notification) {
	n.Status = relay.StatusResolved
	n.Alerts[0].Status, n.Alerts[0].EndsAt = relay.StatusResolved, n.Alerts[0].StartsAt.Add(time.Minute)
}

func restart(n *relay.Notification) {
	n.Alerts[0].StartsAt = n.Alerts[0].StartsAt.Add(time.Millisecond)
}

func add(fingerprint string) func(*relay.Notification) {
	return func(n *relay.Notification) {
		a := n.Alerts[0]
		a.Fingerprint = fingerprint
		n.Alerts = append(n.Alerts, a)
	}
}

func TestWindow(t *testing.T) {
	t.Parallel()
	first, again := &relay.Notification{}, &relay.Notification{}
	reminder(again)
	require.Equal(t, 10*time.Minute, dedupe.Window(first, 10*time.Minute))
	require.Equal(t, 2*time.Minute, dedupe.Window(again, 10*time.Minute))
	require.Equal(t, time.Minute, dedupe.Window(again, time.Minute))

	now := time.Unix(1_800_000_000, 0)
	s := dedupe.StateOf(first)
	require.False(t, dedupe.Duplicate(s, now, s, now, 0), "no window, no duplicate")
	require.False(t, dedupe.Duplicate(s, now, s, now.Add(time.Minute), time.Minute), "the window is open at its end")
	require.True(t, dedupe.Duplicate(s, now, s, now.Add(-time.Second), time.Minute), "clocks of replicas differ a little")
}

// TestSlotIsUnambiguous: what is path, what receiver and what group key is part of the slot.
func TestSlotIsUnambiguous(t *testing.T) {
	t.Parallel()
	seen := map[dedupe.Slot]string{}
	for _, s := range [][3]string{
		{"", "", ""},
		{"a", "", ""},
		{"", "a", ""},
		{"", "", "a"},
		{"ab", "c", "d"},
		{"a", "bc", "d"},
		{"a", "b", "cd"},
	} {
		slot := dedupe.SlotOf(s[0], s[1], s[2])
		require.NotContains(t, seen, slot, "%q", s)
		seen[slot] = fmt.Sprint(s)
	}
}

// TestStateOfPart: a part says the same after a reminder of the whole, and another thing when a hidden alert changed.
func TestStateOfPart(t *testing.T) {
	t.Parallel()
	n := payload(t, "0.34.2", "mixed-2")
	again := payload(t, "0.34.2", "mixed-2")
	reminder(again)
	require.NotEqual(t, dedupe.StateOf(n), dedupe.StateOf(again))
	require.Equal(t, dedupe.StateOfAlerts(n.Alerts, 0), dedupe.StateOfAlerts(again.Alerts, 0))
	require.NotEqual(t, dedupe.StateOfAlerts(n.Alerts, 0), dedupe.StateOfAlerts(n.Alerts, 1))
	require.NotEqual(t, dedupe.StateOfAlerts(n.Alerts[:1], 0), dedupe.StateOfAlerts(n.Alerts, 0))
}

func payload(tb testing.TB, version, name string) *relay.Notification {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "payloads", version, name+".json"))
	require.NoError(tb, err)
	var n relay.Notification
	require.NoError(tb, json.Unmarshal(b, &n))
	require.NotEmpty(tb, n.Alerts)
	return &n
}
