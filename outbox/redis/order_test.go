package redis_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/redisdb"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/outboxtest"
	"github.com/alertrelay/relay/outbox/redis"
)

// TestWhatIsNewer: what was accepted later is newer, whatever the clocks of the relays say, and also when that of the
// server was set back meanwhile.
func TestWhatIsNewer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		wrong time.Duration // how far ahead the clock of one relay is, and that of another behind
		back  time.Duration // how far the server's is set back
	}{
		"relays with wrong clocks":    {wrong: 5 * time.Minute},
		"a server's clock set back":   {back: time.Hour},
		"relays and server disagree":  {wrong: 5 * time.Minute, back: 2 * time.Minute},
		"relays with the same clocks": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := outboxtest.NewClock()
			server := parts.StartRedis(t)
			v := &victim{t: t, server: server, Store: redis.New(connect(t, redisdb.Options{
				Addresses: []string{server.Address},
			}), redis.Options{Now: clock.Now})}
			t.Cleanup(func() { require.NoError(t, v.Close()) })
			accept := func(ahead time.Duration) outbox.Webhook {
				clock.Advance(time.Second)
				w := v.webhook()
				w.ReceivedAt, w.GroupKey, w.Slot = clock.Now().Add(ahead), "g", dedupe.Slot{1}
				w.State[1] = byte(v.count)
				w.Entries[0].Lane.GroupKey, w.Entries[0].State = "g", w.State
				w.Entries[0].Told = map[string]time.Time{w.ID: clock.Now()}
				_, err := v.Accept(t.Context(), w)
				require.NoError(t, err)
				return w
			}
			requeue := func(w outbox.Webhook) outbox.Refusal {
				decisions, err := v.Requeue(t.Context(), outbox.RequeueRequest{IDs: []string{w.ID + "-0"}})
				require.NoError(t, err)
				return decisions[0].Refusal
			}

			older := accept(test.wrong)
			b := v.claim(time.Minute)[0]
			dead := done(b)
			dead.Result = outbox.Dead
			require.NoError(t, v.Settle(t.Context(), b.Lease, dead))
			told := accept(test.wrong)
			require.Equal(t, 1, v.drain())
			clock.Advance(-test.back)
			oldest := clock.Now()
			newer := accept(-test.wrong)
			require.WithinRange(t, stats(t, v.Store).Oldest, oldest, oldest.Add(test.back+3*time.Second))
			require.Equal(t, outbox.RefusedNewerSent, requeue(older))
			b = v.claim(time.Minute)[0]
			require.Equal(t, told.Entries[0].Told, b.Lanes[0].Told)
			dead = done(b)
			dead.Result = outbox.Dead
			require.NoError(t, v.Settle(t.Context(), b.Lease, dead))
			last := accept(-test.wrong)
			require.Equal(t, outbox.RefusedNewerPending, requeue(newer))
			require.Equal(t, 1, v.drain())
			require.Equal(t, outbox.RefusedNewerSent, requeue(newer))
			accept(test.wrong)
			require.Equal(t, last.Entries[0].Told, v.claim(time.Minute)[0].Lanes[0].Told)
		})
	}
}

// TestEachHasATimeOfItsOwn: also what is accepted in one run.
func TestEachHasATimeOfItsOwn(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	var all sync.WaitGroup
	for range 64 {
		w := v.webhook()
		all.Go(func() {
			if _, err := v.Accept(t.Context(), w); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	times := map[string]bool{}
	waiting := strings.Fields(v.server.Do(t, "ZRANGE", redis.Prefix("relay")+"waiting", "0", "-1", "WITHSCORES"))
	for at := 1; at < len(waiting); at += 2 {
		times[waiting[at]] = true
	}
	require.Len(t, times, 64)
}
