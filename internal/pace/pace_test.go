package pace_test

import (
	"context"
	"math"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/pace"
	"github.com/alertrelay/relay/receivers/receiverstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const atMost = 10 * time.Second

// replicas are paces of one application that share a cache.
func replicas(n int, limit relay.Limit) []*pace.Pace {
	env := relay.Env{Cache: receiverstest.NewCache(time.Now), Now: time.Now}
	all := make([]*pace.Pace, n)
	for i := range all {
		all[i] = pace.New(env, "app", limit, atMost)
	}
	return all
}

// goes asks until it is a caller's turn, and returns how often it had to ask.
func goes(t *testing.T, p *pace.Pace, who string) (asked int) {
	t.Helper()
	for {
		asked++
		wait, err := p.Wait(t.Context(), who)
		if err != nil {
			t.Error(err)
			return asked
		}
		if wait == 0 {
			return asked
		}
		time.Sleep(wait)
	}
}

// Whatever the replicas and however long calls take, the vendor never sees more of them in a minute than it allows.
func TestNoWindowHasMoreThanTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit, calls = 10, 55
		all := replicas(2, relay.Limit{Messages: limit, Per: time.Minute})
		var mu sync.Mutex
		var arrived []time.Time
		most := 0
		var done sync.WaitGroup
		for n := range calls {
			done.Go(func() {
				p, who := all[n%len(all)], strconv.Itoa(n)
				asked := goes(t, p, who)
				time.Sleep(time.Duration(n%7) * 100 * time.Millisecond) // on its way
				mu.Lock()
				arrived, most = append(arrived, time.Now()), max(most, asked)
				mu.Unlock()
				time.Sleep(time.Duration(n%5) * 100 * time.Millisecond) // and back
				if err := p.Done(t.Context(), who, 0); err != nil {
					t.Error(err)
				}
			})
		}
		began := time.Now()
		done.Wait()
		slices.SortFunc(arrived, time.Time.Compare)
		require.Len(t, arrived, calls)
		for n := limit; n < calls; n++ {
			require.GreaterOrEqual(t, arrived[n].Sub(arrived[n-limit]), time.Minute, "call %d", n)
		}
		require.Less(t, time.Since(began), 6*time.Minute, "and hardly less than it allows")
		require.LessOrEqual(t, most, 12, "each has a time of its own")
	})
}

// A vendor that wants a pause gets it from all.
func TestAPauseIsForAll(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]relay.Limit{"limited": {Messages: 50, Per: time.Minute}, "without a limit": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				all := replicas(2, limit)
				require.Equal(t, 1, goes(t, all[0], "a"))
				require.NoError(t, all[0].Done(t.Context(), "a", 30*time.Second))
				for range 2 {
					wait, err := all[1].Wait(t.Context(), "b")
					require.NoError(t, err)
					require.Equal(t, 30*time.Second, wait)
				}
				time.Sleep(30 * time.Second)
				require.Equal(t, 1, goes(t, all[1], "b"))
				require.NoError(t, all[1].Done(t.Context(), "b", 0))
			})
		})
	}
}

// However long a vendor wants to be left alone, it is asked again within the hour.
func TestALongPauseIsAnHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := replicas(1, relay.Limit{Messages: 50, Per: time.Minute})[0]
		for _, pause := range []time.Duration{30 * 24 * time.Hour, math.MaxInt64} {
			require.Equal(t, 1, goes(t, p, "a"))
			require.NoError(t, p.Done(t.Context(), "a", pause))
			wait, err := p.Wait(t.Context(), "b")
			require.NoError(t, err)
			require.Equal(t, time.Hour, wait)
			time.Sleep(wait)
		}
	})
}

// What was noted by a clock that was a day ahead, a replica's or this one's before it was set right, counts as if noted now.
func TestAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	wait := func(t *testing.T, p *pace.Pace, who string) time.Duration {
		t.Helper()
		wait, err := p.Wait(t.Context(), who)
		require.NoError(t, err)
		return wait
	}
	for name, tt := range map[string]struct {
		limit  relay.Limit
		before func(t *testing.T, p *pace.Pace)
		most   time.Duration // until another call may go
	}{
		"calls that ended": {
			limit: relay.Limit{Messages: 50, Per: time.Minute},
			before: func(t *testing.T, p *pace.Pace) {
				t.Helper()
				for n := range 50 {
					require.Zero(t, wait(t, p, strconv.Itoa(n)))
					require.NoError(t, p.Done(t.Context(), strconv.Itoa(n), 0))
				}
			},
			most: time.Minute,
		},
		"calls under way": {
			limit: relay.Limit{Messages: 50, Per: time.Minute},
			before: func(t *testing.T, p *pace.Pace) {
				t.Helper()
				for n := range 50 {
					require.Zero(t, wait(t, p, strconv.Itoa(n)))
				}
			},
			most: time.Minute + atMost,
		},
		"calls that wait": {
			limit: relay.Limit{Messages: 50, Per: time.Minute},
			before: func(t *testing.T, p *pace.Pace) {
				t.Helper()
				for n := range 50 + 300 {
					wait(t, p, strconv.Itoa(n))
				}
			},
			most: 8 * time.Minute, // they are forgotten after their turn, one minute's after the other
		},
		"a pause": {
			before: func(t *testing.T, p *pace.Pace) {
				t.Helper()
				require.Zero(t, wait(t, p, "a"))
				require.NoError(t, p.Done(t.Context(), "a", 30*time.Second))
			},
			most: 30 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ahead := 24 * time.Hour
				clock := func() time.Time { return time.Now().Add(ahead) }
				p := pace.New(relay.Env{Cache: receiverstest.NewCache(clock), Now: clock}, "app", tt.limit, atMost)
				tt.before(t, p)
				ahead = 0
				began := time.Now()
				require.Positive(t, wait(t, p, "new"), "it is counted")
				goes(t, p, "new")
				require.LessOrEqual(t, time.Since(began), tt.most)
				require.NoError(t, p.Done(t.Context(), "new", 0))
				time.Sleep(10 * time.Minute)
				require.Zero(t, wait(t, p, "later"))
			})
		})
	}
}

// The end of a call is noted though the caller's time is over, but nobody waits for it longer than a lease has room.
func TestDoneIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cache := receiverstest.NewCache(time.Now)
		p := pace.New(relay.Env{Cache: cache, Now: time.Now}, "app", relay.Limit{Messages: 1, Per: time.Second}, time.Hour)
		over, cancel := context.WithCancel(t.Context())
		cancel()

		require.Equal(t, 1, goes(t, p, "a"))
		require.NoError(t, p.Done(over, "a", 0))
		time.Sleep(time.Second)
		require.Equal(t, 1, goes(t, p, "b"))

		unlock, err := cache.Lock(t.Context(), "", time.Minute)
		require.NoError(t, err)
		defer unlock()
		began := time.Now()
		err = p.Done(over, "b", 0)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, relay.Transient, relay.KindOf(err))
		require.Equal(t, 2*time.Second, time.Since(began))
	})
}

// A process that dies during a call is counted for as long as the call may take, and one that waits is forgotten.
func TestWhoNeverComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := replicas(1, relay.Limit{Messages: 1, Per: time.Minute})[0]
		require.Equal(t, 1, goes(t, p, "dies"))
		wait := func(who string) time.Duration {
			wait, err := p.Wait(t.Context(), who)
			require.NoError(t, err)
			return wait
		}
		require.Equal(t, time.Minute, wait("leaves"))
		require.Equal(t, 2*time.Minute, wait("stays"))
		time.Sleep(2 * time.Minute)
		require.Zero(t, wait("stays"), "its turn comes though the one before it is not there")
		require.NoError(t, p.Done(t.Context(), "stays", 0))
		time.Sleep(20 * time.Minute)
		require.Zero(t, wait("new"))
	})
}

// More wait than have a time of their own: they are told apart by when they ask.
func TestMoreWaitThanAreKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := replicas(1, relay.Limit{Messages: 1, Per: time.Second})[0]
		require.Equal(t, 1, goes(t, p, "first"))
		var last time.Duration
		for n := range 330 {
			wait, err := p.Wait(t.Context(), strconv.Itoa(n))
			require.NoError(t, err)
			require.Positive(t, wait)
			last = wait
		}
		require.Equal(t, 300*time.Second, last)
	})
}
