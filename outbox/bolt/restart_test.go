package bolt_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/internal/boltdb"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/bolt"
	"github.com/alertrelay/relay/outbox/outboxtest"
)

const (
	ops   = relay.IntegrationID("ops/dingtalk/main")
	robot = relay.LimiterID("robot")
)

// A relayStore is a store that can be stopped and started.
type relayStore struct {
	*bolt.Store
	*outboxtest.Clock
	t       *testing.T
	path    string
	options bolt.Options
	terms   map[relay.IntegrationID]outbox.Terms
}

func newStore(t *testing.T) *relayStore {
	t.Helper()
	s := &relayStore{
		t: t, Clock: outboxtest.NewClock(), path: filepath.Join(t.TempDir(), "relay.db"),
		terms: map[relay.IntegrationID]outbox.Terms{ops: {Limit: relay.Limit{Messages: 20, Per: time.Minute}}},
	}
	s.options.Now = s.Now
	s.start()
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func (s *relayStore) start() {
	s.t.Helper()
	var err error
	s.Store, err = bolt.Open(s.path, s.options)
	require.NoError(s.t, err)
}

func (s *relayStore) restart() {
	s.t.Helper()
	require.NoError(s.t, s.Close())
	s.start()
}

func (s *relayStore) webhook(n int, group string) outbox.Webhook {
	var slot dedupe.Slot
	copy(slot[:], group)
	var state dedupe.State
	copy(state[:], strconv.Itoa(n))
	return outbox.Webhook{
		ID: fmt.Sprintf("w%04d", n), ReceivedAt: s.Now(), Receiver: "ops", GroupKey: group, Alerts: 1,
		Status: relay.StatusFiring, Slot: slot, State: state, Window: 10 * time.Minute,
		Entries: []outbox.Entry{{
			Lane:        outbox.Lane{Integration: ops, Destination: "main", GroupKey: group, Receiver: "ops"},
			Destination: relay.Destination{Key: "main"}, Limiters: []relay.LimiterID{robot}, State: state,
			Notification: fmt.Append(nil, n), Told: map[string]time.Time{"a": s.Now()},
		}},
	}
}

func (s *relayStore) accept(w outbox.Webhook) outbox.Accepted {
	s.t.Helper()
	a, err := s.Accept(s.t.Context(), w)
	require.NoError(s.t, err)
	return a
}

func (s *relayStore) claim(most int) ([]outbox.Batch, time.Duration) {
	s.t.Helper()
	b, wait, err := s.Claim(s.t.Context(), outbox.ClaimRequest{Max: most, Lease: time.Minute, Integrations: s.terms})
	require.NoError(s.t, err)
	return b, wait
}

func (s *relayStore) claimOne() outbox.Batch {
	s.t.Helper()
	b, _ := s.claim(1)
	require.Len(s.t, b, 1)
	return b[0]
}

func (s *relayStore) settle(b outbox.Batch, o outbox.Outcome) {
	s.t.Helper()
	if o.Result != outbox.Release {
		for _, lane := range b.Lanes {
			for _, item := range lane.Items {
				o.Items = append(o.Items, item.ID)
			}
		}
	}
	require.NoError(s.t, s.Settle(s.t.Context(), b.Lease, o))
}

func TestRestart(t *testing.T) {
	t.Parallel()
	//nolint:thelper // These are the tests themselves.
	for name, test := range map[string]func(*testing.T, *relayStore){
		"what is pending is told in the same order": func(t *testing.T, s *relayStore) {
			for n := range 5 {
				s.accept(s.webhook(n, fmt.Sprint("g", n%2)))
			}
			before, err := s.Stats(t.Context())
			require.NoError(t, err)
			s.restart()
			after, err := s.Stats(t.Context())
			require.NoError(t, err)
			require.Equal(t, before, after)
			var order []string
			for range 5 {
				b := s.claimOne()
				order = append(order, b.Lanes[0].Items[0].ID)
				s.settle(b, outbox.Outcome{Result: outbox.Sent})
			}
			require.Equal(t, []string{"w0000-0", "w0001-0", "w0002-0", "w0003-0", "w0004-0"}, order)
		},
		"what was told is not told again, whichever entry of an earlier webhook ended last": func(
			t *testing.T, s *relayStore,
		) {
			both := func(n int, group string) outbox.Webhook {
				w := s.webhook(n, group)
				w.Entries = append(w.Entries, w.Entries[0])
				for i := range w.Entries {
					w.Entries[i].Lane.Destination = strconv.Itoa(i)
				}
				return w
			}
			s.accept(both(1, "g"))
			b, _ := s.claim(2)
			s.settle(b[1], outbox.Outcome{Result: outbox.Sent}) // the first entry ends last
			s.settle(b[0], outbox.Outcome{Result: outbox.Sent})
			s.accept(both(2, "h"))
			b, _ = s.claim(2)
			s.settle(b[1], outbox.Outcome{Result: outbox.Sent})
			s.restart()
			left, _ := s.claim(2)
			require.Len(t, left, 1)
			require.Equal(t, "w0002-0", left[0].Lanes[0].Items[0].ID)
			s.settle(left[0], outbox.Outcome{Result: outbox.Sent})
		},
		"nothing merges into what was half told": func(t *testing.T, s *relayStore) {
			s.terms = map[relay.IntegrationID]outbox.Terms{ops: {Backlog: relay.BacklogMerge}}
			s.accept(s.webhook(1, "g"))
			s.accept(s.webhook(2, "g"))
			rest := []relay.Message{{ID: "m2", Part: 2, Parts: 2}}
			before := s.claimOne()
			s.settle(before, outbox.Outcome{Result: outbox.Sent, Rest: rest})
			s.accept(s.webhook(3, "g"))
			s.restart()
			b := s.claimOne()
			require.Equal(t, before.Lanes[0].Items, b.Lanes[0].Items)
			require.Equal(t, rest, b.Lanes[0].Rest)
			s.settle(b, outbox.Outcome{Result: outbox.Sent})
			require.Equal(t, "w0003-0", s.claimOne().Lanes[0].Items[0].ID)
		},
		"what was told is not told again": func(t *testing.T, s *relayStore) {
			w := s.webhook(1, "g")
			w.Entries = append(w.Entries, w.Entries[0], w.Entries[0])
			for i := range w.Entries {
				w.Entries[i].Lane.Destination = strconv.Itoa(i)
			}
			s.accept(w)
			b, _ := s.claim(2)
			s.settle(b[0], outbox.Outcome{Result: outbox.Sent})
			s.settle(b[1], outbox.Outcome{Result: outbox.Dead})
			s.restart()
			st, err := s.Stats(t.Context())
			require.NoError(t, err)
			require.Equal(t, 1, st.Pending)
			require.Equal(t, 1, st.Dead)
			left := s.claimOne()
			require.Equal(t, "w0001-2", left.Lanes[0].Items[0].ID)
			s.settle(left, outbox.Outcome{Result: outbox.Sent})
			s.restart()
			st, err = s.Stats(t.Context())
			require.NoError(t, err)
			require.Zero(t, st.Pending)
		},
		"a duplicate is still one, and an unchanged part unchanged": func(t *testing.T, s *relayStore) {
			w := s.webhook(1, "g")
			s.accept(w)
			s.settle(s.claimOne(), outbox.Outcome{Result: outbox.Sent})
			s.restart()
			known, err := s.Recall(t.Context(), outbox.Query{Slot: w.Slot, State: w.State, Window: w.Window})
			require.NoError(t, err)
			require.Equal(t, outbox.Known{Duplicate: true, ID: w.ID}, known)
			next := s.webhook(2, "g")
			next.Entries = w.Entries
			require.Equal(t, outbox.Accepted{ID: next.ID}, s.accept(next))
		},
		"what was told, the ref and the saved snapshots stay": func(t *testing.T, s *relayStore) {
			k := relay.AlertKey{Fingerprint: "a", StartsAt: s.Now()}
			w := s.webhook(1, "g")
			w.Saved = map[relay.AlertKey]relay.Saved{k: {Room: "10086", Snapshot: relay.Snapshot{TraceID: "t"}}}
			s.accept(w)
			s.settle(s.claimOne(), outbox.Outcome{Result: outbox.Sent, Ref: "thread"})
			s.restart()
			known, err := s.Recall(t.Context(), outbox.Query{Alerts: []relay.AlertKey{k}})
			require.NoError(t, err)
			require.Equal(t, w.Saved, known.Saved)
			s.accept(s.webhook(2, "g"))
			b := s.claimOne()
			require.Equal(t, relay.Ref("thread"), b.Lanes[0].Ref)
			require.Equal(t, w.Entries[0].Told, b.Lanes[0].Told)
		},
		"slots, holds and schedules survive": func(t *testing.T, s *relayStore) {
			s.terms = map[relay.IntegrationID]outbox.Terms{ops: {Limit: relay.Limit{Messages: 2, Per: time.Minute}}}
			s.accept(s.webhook(1, "g"))
			s.accept(s.webhook(2, "h"))
			rest := []relay.Message{{ID: "m2", Body: []byte("two")}}
			b := s.claimOne()
			s.settle(b, outbox.Outcome{Result: outbox.Retry, After: 90 * time.Second, Rest: rest})
			s.settle(s.claimOne(), outbox.Outcome{Result: outbox.Retry, Hold: 70 * time.Second})
			s.restart()
			none, wait := s.claim(10)
			require.Empty(t, none)
			require.Equal(t, 70*time.Second, wait, "the hold is longer than the window")
			s.Advance(70 * time.Second)
			first := s.claimOne()
			require.Equal(t, "w0002-0", first.Lanes[0].Items[0].ID)
			s.Advance(20 * time.Second)
			none, _ = s.claim(10)
			require.Empty(t, none, "one goes first after a hold")
			s.settle(first, outbox.Outcome{Result: outbox.Sent})
			again := s.claimOne()
			require.Equal(t, b.Lanes[0].Items, again.Lanes[0].Items)
			require.Equal(t, 2, again.Lanes[0].Attempt)
			require.Equal(t, rest, again.Lanes[0].Rest)
		},
		"why a limiter is held survives, and so does a lift": func(t *testing.T, s *relayStore) {
			s.accept(s.webhook(1, "g"))
			s.settle(s.claimOne(), outbox.Outcome{Result: outbox.Retry, Hold: time.Minute, Reason: relay.Misconfigured})
			s.restart()
			require.NoError(t, s.Lift(t.Context(), relay.Transient))
			none, wait := s.claim(1)
			require.Empty(t, none)
			require.Equal(t, time.Minute, wait)
			require.NoError(t, s.Lift(t.Context(), relay.Misconfigured))
			s.restart()
			s.claimOne()
		},
		"after a crash the sends that may have been under way are charged": func(t *testing.T, s *relayStore) {
			s.terms = map[relay.IntegrationID]outbox.Terms{
				ops: {Limit: relay.Limit{Messages: 10, Per: time.Minute}, MaxInFlight: 2},
			}
			for n := range 20 {
				s.accept(s.webhook(n, fmt.Sprint("g", n)))
			}
			s.settle(s.claimOne(), outbox.Outcome{Result: outbox.Sent})
			s.claimOne() // under way when the store goes
			s.restart()
			sent := 0
			for {
				b, _ := s.claim(1)
				if len(b) == 0 {
					break
				}
				s.settle(b[0], outbox.Outcome{Result: outbox.Sent})
				sent++
			}
			require.Equal(t, 10-1-1, sent)
		},
		"also when nothing had been settled before": func(t *testing.T, s *relayStore) {
			s.terms = map[relay.IntegrationID]outbox.Terms{ops: {Limit: relay.Limit{Messages: 10, Per: time.Minute}}}
			for n := range 4 {
				s.accept(s.webhook(n, fmt.Sprint("g", n)))
			}
			s.claim(4)
			s.restart()
			for n := range 20 {
				s.accept(s.webhook(10+n, fmt.Sprint("h", n)))
			}
			b, _ := s.claim(100)
			require.Len(t, b, 10-4)
		},
		"what waited at a crash is not charged": func(t *testing.T, s *relayStore) {
			for n := range 60 {
				s.accept(s.webhook(n, fmt.Sprint("g", n)))
			}
			under, _ := s.claim(20)
			require.Len(t, under, 20)
			for _, b := range under {
				s.settle(b, outbox.Outcome{Result: outbox.Sent})
			}
			s.Advance(time.Minute)
			s.claimOne() // under way when the store goes
			s.restart()
			b, _ := s.claim(20)
			require.Greater(t, len(b), 15, "although more wait than the robot takes in a minute")
		},
		"all that were under way at a crash are charged": func(t *testing.T, s *relayStore) {
			for n := range 60 {
				s.accept(s.webhook(n, fmt.Sprint("g", n)))
			}
			for range 20 {
				s.claimOne()
			}
			s.restart()
			none, wait := s.claim(20)
			require.Empty(t, none)
			require.Equal(t, time.Minute, wait)
		},
		"after a clean stop nothing is charged": func(t *testing.T, s *relayStore) {
			s.terms = map[relay.IntegrationID]outbox.Terms{ops: {Limit: relay.Limit{Messages: 2, Per: time.Minute}}}
			for n := range 3 {
				s.accept(s.webhook(n, fmt.Sprint("g", n)))
			}
			s.settle(s.claimOne(), outbox.Outcome{Result: outbox.Sent})
			s.restart()
			b, _ := s.claim(10)
			require.Len(t, b, 1)
		},
		"a clock that was set back keeps nothing back": func(t *testing.T, s *relayStore) {
			s.terms = map[relay.IntegrationID]outbox.Terms{ops: {Limit: relay.Limit{Messages: 2, Per: time.Minute}}}
			w := s.webhook(1, "g")
			s.accept(w)
			s.accept(s.webhook(2, "h"))
			s.settle(s.claimOne(), outbox.Outcome{Result: outbox.Retry, After: time.Minute})
			s.settle(s.claimOne(), outbox.Outcome{Result: outbox.Retry, Hold: 10 * time.Minute})
			s.Advance(-24 * time.Hour)
			s.restart()
			none, wait := s.claim(10)
			require.Empty(t, none, "the slots count from now on")
			require.Equal(t, time.Minute, wait)
			s.Advance(time.Minute)
			s.settle(s.claimOne(), outbox.Outcome{Result: outbox.Sent})
			s.claimOne()
			w.ID = "w0003"
			require.False(t, s.accept(w).Duplicate, "nobody knows how old the first copy is")
		},
		"the cache stays until its values end": func(t *testing.T, s *relayStore) {
			require.NoError(t, s.Cache().Put(t.Context(), "token", []byte("abc"), time.Hour))
			s.restart()
			value, err := s.Cache().Get(t.Context(), "token")
			require.NoError(t, err)
			require.Equal(t, []byte("abc"), value)
			s.Advance(time.Hour)
			value, err = s.Cache().Get(t.Context(), "token")
			require.NoError(t, err)
			require.Nil(t, value)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newStore(t))
		})
	}
}

func TestBodiesAreReadBackWhenNotRecent(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	require.NoError(t, s.Close())
	s.options.CacheBytes = 1
	s.start()
	s.accept(s.webhook(7, "g"))
	s.accept(s.webhook(8, "h"))
	require.Equal(t, "7", string(s.claimOne().Lanes[0].Items[0].Notification))
	b := s.claimOne()
	require.Equal(t, "8", string(b.Lanes[0].Items[0].Notification))
	s.settle(b, outbox.Outcome{Result: outbox.Sent, Ref: "r"})
	s.accept(s.webhook(9, "h"))
	require.Equal(t, map[string]time.Time{"a": s.Now()}, s.claimOne().Lanes[0].Told)
}

func TestAFullStoreTakesNothing(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	require.NoError(t, s.Close())
	s.options.MaxPending = 2
	s.start()
	w := s.webhook(1, "g")
	second := w.Entries[0]
	second.Lane.Destination = "second"
	third := w.Entries[0]
	third.Lane.Destination = "third"
	w.Entries = append(w.Entries, second, third)
	_, err := s.Accept(t.Context(), w)
	require.ErrorIs(t, err, outbox.ErrFull)
	w.Entries = w.Entries[:2]
	require.Equal(t, outbox.Accepted{ID: w.ID, Entries: 2}, s.accept(w), "not a duplicate: nothing had been written")
	_, err = s.Accept(t.Context(), s.webhook(2, "h"))
	require.ErrorIs(t, err, outbox.ErrFull)
	s.settle(s.claimOne(), outbox.Outcome{Result: outbox.Sent})
	s.accept(s.webhook(2, "h"))
}

func TestAFileThatIsFullOfPendingBytes(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	require.NoError(t, s.Close())
	s.options.MaxBytes = 1
	s.start()
	s.accept(s.webhook(1, "g"))
	_, err := s.Accept(t.Context(), s.webhook(2, "h"))
	require.ErrorIs(t, err, outbox.ErrFull)
	s.restart()
	_, err = s.Accept(t.Context(), s.webhook(2, "h"))
	require.ErrorIs(t, err, outbox.ErrFull)
	s.settle(s.claimOne(), outbox.Outcome{Result: outbox.Sent})
	s.accept(s.webhook(2, "h"))
}

func TestADiskThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	require.NoError(t, s.Close())
	db, err := boltdb.Open(s.path)
	require.NoError(t, err)
	s.Store, err = bolt.New(db, s.options)
	require.NoError(t, err)
	s.accept(s.webhook(1, "g"))
	b := s.claimOne()

	// bbolt refuses to grow the file beyond this, as a full disk does.
	full := int(fileSize(t, db)) + 1
	db.MaxSize = full
	w := s.webhook(2, "g")
	w.Entries[0].Notification = make([]byte, 64<<20)
	_, err = s.Accept(t.Context(), w)
	require.ErrorIs(t, err, outbox.ErrUnavailable)
	st, err := s.Stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, st.Pending)
	require.Equal(t, 1, st.InFlight)

	db.MaxSize = 0
	require.False(t, s.accept(w).Duplicate)
	s.settle(b, outbox.Outcome{Result: outbox.Sent})
	require.Equal(t, "w0002-0", s.claimOne().Lanes[0].Items[0].ID)
	require.NoError(t, s.Close())
	require.NoError(t, db.Close())
	s.start()
}

func fileSize(t *testing.T, db *bbolt.DB) int64 {
	t.Helper()
	var size int64
	require.NoError(t, db.View(func(tx *bbolt.Tx) error {
		size = tx.Size()
		return nil
	}))
	return size
}

// TestADamagedRecordEndsAlone: what cannot be read is handed out empty, for deliver to put it aside, and keeps nothing else
// back.
func TestADamagedRecordEndsAlone(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.accept(s.webhook(1, "g"))
	s.accept(s.webhook(2, "h"))
	require.NoError(t, s.Close())
	db, err := boltdb.Open(s.path)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("webhooks"))
		k, v := b.Cursor().First()
		return b.Put(k, v[:len(v)-1])
	}))
	require.NoError(t, db.Close())
	s.start()

	b, _ := s.claim(10)
	require.Len(t, b, 2)
	require.Equal(t, "w0001-0", b[0].Lanes[0].Items[0].ID)
	require.Empty(t, b[0].Lanes[0].Items[0].Notification)
	require.Equal(t, "2", string(b[1].Lanes[0].Items[0].Notification))
	s.settle(b[0], outbox.Outcome{Result: outbox.Dead, Reason: "undecodable"})
	s.settle(b[1], outbox.Outcome{Result: outbox.Sent})
	st, err := s.Stats(t.Context())
	require.NoError(t, err)
	require.Zero(t, st.Pending)
	require.Equal(t, 1, st.Dead)
}

// TestFirstFilesAreRead: what the first relays wrote lacks fields that were added at the ends of records since.
func TestFirstFilesAreRead(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.accept(s.webhook(1, "g"))
	s.settle(s.claimOne(), outbox.Outcome{Result: outbox.Sent, Hold: time.Minute, HoldReason: relay.Misconfigured})
	s.accept(s.webhook(2, "g"))
	require.NoError(t, s.Close())
	db, err := boltdb.Open(s.path)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		limiters, lanes := tx.Bucket([]byte("limiters")), tx.Bucket([]byte("lanes"))
		value := limiters.Get([]byte(robot))
		err := limiters.Put([]byte(robot), value[:len(value)-1-len(relay.Misconfigured)])
		k, v := lanes.Cursor().Last()
		const nanoseconds = 9 // of this century, as they are written
		return errors.Join(err, lanes.Put(bytes.Clone(k), bytes.Clone(v[:len(v)-nanoseconds])))
	}))
	require.NoError(t, db.Close())
	s.start()
	none, wait := s.claim(1)
	require.Empty(t, none)
	require.Equal(t, time.Minute, wait)
	s.Advance(wait)
	lane := s.claimOne().Lanes[0]
	require.Len(t, lane.Told, 1)
	require.Zero(t, lane.ToldAt)
}
