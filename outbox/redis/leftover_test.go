package redis_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/redisdb"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/outboxtest"
	"github.com/alertrelay/relay/outbox/redis"
)

// TestNothingIsLeftOver: once all that was accepted has ended, in whatever way, Redis holds nothing of it but what is
// remembered on purpose.
func TestNothingIsLeftOver(t *testing.T) {
	t.Parallel()
	db := connect(t, redisdb.Options{Addresses: []string{parts.StartRedis(t).Address}})
	clock := outboxtest.NewClock()
	s := redis.New(db, redis.Options{Now: clock.Now})
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 300 {
		w := outbox.Webhook{
			ID: fmt.Sprintf("w%03d", n), ReceivedAt: clock.Now(), Slot: dedupe.Slot{byte(n), byte(n >> 8)}, Alerts: 1,
		}
		for range random.IntN(4) {
			w.Entries = append(w.Entries, outbox.Entry{
				Lane: outbox.Lane{
					Integration: []relay.IntegrationID{"ops/dingtalk/a", "ops/email/b", "gone/slack/c"}[random.IntN(3)],
					Destination: "d", GroupKey: []string{"g", "h", "i"}[random.IntN(3)],
				},
				State: dedupe.State{byte(n), byte(n >> 8), byte(len(w.Entries))}, Limiters: []relay.LimiterID{"l"},
				Notification: fmt.Append(nil, "body", random.IntN(2)),
			})
		}
		_, err := s.Accept(t.Context(), w)
		require.NoError(t, err)
	}
	terms := map[relay.IntegrationID]outbox.Terms{
		"ops/dingtalk/a": {Backlog: relay.BacklogMerge, Digest: 5, Limit: relay.Limit{Messages: 3, Per: time.Minute}},
		"ops/email/b":    {},
	}
	var dead []string
	for st := stats(t, s); st.Pending > 0; st = stats(t, s) {
		batches, wait, err := s.Claim(t.Context(), outbox.ClaimRequest{Max: 10, Lease: time.Minute, Integrations: terms})
		require.NoError(t, err)
		for _, b := range batches {
			o := outcome(random, b)
			if o.Result == outbox.Dead {
				dead = append(dead, o.Items...)
			}
			if random.IntN(10) > 0 { // else it crashed
				require.NoError(t, s.Settle(t.Context(), b.Lease, o))
			}
		}
		if len(dead) > 0 && random.IntN(2) == 0 {
			_, err := s.Requeue(t.Context(), outbox.RequeueRequest{IDs: dead, Force: true})
			require.NoError(t, err)
			dead = nil
		}
		clock.Advance(max(wait, time.Second))
	}
	_, _, err := s.Claim(t.Context(), outbox.ClaimRequest{Max: 10, Lease: time.Minute, Integrations: terms})
	require.NoError(t, err)
	keys, err := db.Client().Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	keys = slices.DeleteFunc(keys, func(key string) bool {
		_, name, _ := strings.Cut(key, "}:")
		kind, _, _ := strings.Cut(name, ":")
		return slices.Contains([]string{
			"mark", "lane", "history", "state", "queues", "terms", "limiters", "limiter", "stamps", "missing", "holds",
			"dead", "died", "letter", "claimed",
		}, kind)
	})
	require.Empty(t, keys)
	bytes, err := db.Client().HGet(t.Context(), redis.Prefix("relay")+"state", "bytes").Result()
	require.NoError(t, err)
	require.Equal(t, "0", bytes)
}

func outcome(random *rand.Rand, b outbox.Batch) outbox.Outcome {
	o := outbox.Outcome{Result: outbox.Sent}
	for _, l := range b.Lanes {
		for _, it := range l.Items {
			o.Items = append(o.Items, it.ID)
		}
	}
	switch {
	case b.Fold:
		o.Result, o.Notification = outbox.Folded, []byte("folded")
	case random.IntN(5) == 0:
		o.Result, o.After = outbox.Retry, 10*time.Second
	case random.IntN(5) == 0:
		o.Result = outbox.Release
	case random.IntN(5) == 0:
		o.Result = outbox.Dead
	case random.IntN(5) == 0 && len(b.Lanes) == 1:
		o.Rest = []relay.Message{{ID: "m2"}}
	}
	return o
}

func stats(tb testing.TB, s *redis.Store) outbox.Stats {
	tb.Helper()
	st, err := s.Stats(tb.Context())
	require.NoError(tb, err)
	return st
}
