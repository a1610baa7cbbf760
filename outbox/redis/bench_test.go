package redis_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/redisdb"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/redis"
)

const (
	mail    = relay.IntegrationID("ops/email/main")
	mailbox = relay.LimiterID("mailbox")
)

// benchWebhook is the n-th webhook of a benchmark: 2 KB about one alert, each of a group of its own.
func benchWebhook(n int64) outbox.Webhook {
	var slot dedupe.Slot
	binary.LittleEndian.PutUint64(slot[:], uint64(n)*0x9e3779b97f4a7c15)
	now := time.Now()
	group := fmt.Sprintf(`{}/{team="pay"}:{alertname="HighErrorRate", instance="host-%d"}`, n)
	return outbox.Webhook{
		ID: fmt.Sprintf("01ARZ3NDEKTSV4%012d", n), ReceivedAt: now, Path: "/webhook", Receiver: "ops", GroupKey: group,
		Alerts: 1, Status: relay.StatusFiring, Slot: slot, State: dedupe.State(slot), Window: 10 * time.Minute,
		Saved: map[relay.AlertKey]relay.Saved{
			{Fingerprint: fmt.Sprintf("%016x", uint64(n)*0x9e3779b97f4a7c15), StartsAt: now}: {Room: "10086"},
		},
		Entries: []outbox.Entry{{
			Lane:        outbox.Lane{Integration: mail, Destination: "ops", GroupKey: group, Receiver: "ops"},
			Destination: relay.Destination{Key: "ops", Address: "ops@example.org"}, Limiters: []relay.LimiterID{mailbox},
			State: dedupe.State(slot), Notification: bytes.Repeat([]byte("alertrelay"), 200),
			Told: map[string]time.Time{"a1b2c3d4e5f60718": now},
		}},
	}
}

// A benchmark is a store in a redis-server of its own, with so many entries pending.
type benchmark struct {
	*redis.Store
	*testing.B
	db      *redisdb.DB
	n       atomic.Int64
	before  float64
	scripts float64
}

func newBenchmark(b *testing.B, pending int64) *benchmark {
	b.Helper()
	address := parts.StartRedis(b, "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0").Address
	db := connect(b, redisdb.Options{Addresses: []string{address}})
	s := &benchmark{Store: redis.New(db, redis.Options{MaxPending: 10_000_000, MaxBytes: 1 << 40}), B: b, db: db}
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	parallel(64, pending, func(int64) { s.accept() })
	return s
}

var (
	calls   = regexp.MustCompile(`cmdstat_evalsha:calls=(\d+)`)
	cpuTime = regexp.MustCompile(`used_cpu_(?:sys|user):([\d.]+)`)
)

// stats are how often the server ran a script since it was started, and how many microseconds of processor time it
// used.
func (s *benchmark) stats() (scripts, micros float64) {
	info, err := s.db.Client().Info(context.Background(), "commandstats", "cpu").Result()
	require.NoError(s, err)
	if m := calls.FindStringSubmatch(info); m != nil {
		scripts, _ = strconv.ParseFloat(m[1], 64)
	}
	for _, m := range cpuTime.FindAllStringSubmatch(info, -1) {
		seconds, _ := strconv.ParseFloat(m[1], 64)
		micros += seconds * 1e6
	}
	return scripts, micros
}

func (s *benchmark) start() {
	s.scripts, s.before = s.stats()
	s.ReportAllocs()
	s.ResetTimer()
}

// report tells how many scripts an operation took, and how much of the server's time.
func (s *benchmark) report() {
	s.StopTimer()
	calls, micros := s.stats()
	s.ReportMetric((calls-s.scripts)/float64(s.N), "scripts/op")
	s.ReportMetric((micros-s.before)/float64(s.N), "redis-us/op")
}

// parallel calls do n times, from so many goroutines.
func parallel(goroutines int, n int64, do func(int64)) {
	var next atomic.Int64
	done := make(chan struct{})
	for range goroutines {
		go func() {
			for i := next.Add(1); i <= n; i = next.Add(1) {
				do(i)
			}
			done <- struct{}{}
		}()
	}
	for range goroutines {
		<-done
	}
}

func (s *benchmark) accept() {
	if _, err := s.Accept(context.Background(), benchWebhook(s.n.Add(1))); err != nil {
		s.Error(err)
	}
}

func (s *benchmark) claim(most int) []outbox.Batch {
	batches, _, err := s.Claim(context.Background(), outbox.ClaimRequest{
		Max: most, Lease: time.Hour, Integrations: benchTerms,
	})
	if err != nil {
		s.Error(err)
	}
	return batches
}

func (s *benchmark) settle(batch outbox.Batch, o outbox.Outcome) {
	if err := s.Settle(context.Background(), batch.Lease, o); err != nil {
		s.Error(err)
	}
}

var benchTerms = map[relay.IntegrationID]outbox.Terms{
	mail: {Backlog: relay.BacklogMerge, Limiters: []relay.LimiterID{mailbox}},
}

func BenchmarkAccept(b *testing.B) {
	for _, pending := range []int64{1_000, 100_000} {
		for _, goroutines := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("pending=%d/goroutines=%d", pending, goroutines), func(b *testing.B) {
				s := newBenchmark(b, pending)
				s.start()
				parallel(goroutines, int64(b.N), func(int64) { s.accept() })
				s.report()
			})
		}
	}
}

func BenchmarkClaim(b *testing.B) {
	for _, pending := range []int64{1_000, 100_000} {
		for _, most := range []int{1, 64} {
			b.Run(fmt.Sprintf("pending=%d/most=%d", pending, most), func(b *testing.B) {
				s := newBenchmark(b, pending)
				s.claim(1) // which says what there is
				s.start()
				for claimed := 0; claimed < b.N; {
					batches := s.claim(min(most, b.N-claimed))
					claimed += len(batches)
					b.StopTimer()
					for _, batch := range batches {
						s.settle(batch, outbox.Outcome{Result: outbox.Release})
					}
					b.StartTimer()
				}
				s.report()
			})
		}
	}
}

func BenchmarkSettle(b *testing.B) {
	for _, goroutines := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			s := newBenchmark(b, int64(b.N))
			var batches []outbox.Batch
			for len(batches) < b.N {
				batches = append(batches, s.claim(min(256, b.N-len(batches)))...)
			}
			s.start()
			parallel(goroutines, int64(len(batches)), func(i int64) {
				batch := batches[i-1]
				s.settle(batch, outbox.Outcome{
					Result: outbox.Sent, Items: []string{batch.Lanes[0].Items[0].ID}, Part: 1, Parts: 1, Text: "told",
				})
			})
			s.report()
		})
	}
}

// BenchmarkMemory tells how much of a redis-server's memory there is in what: a webhook that waits for one destination, or
// for four, with all that comes with it; a group that has ended; of it the dedupe mark; an event of the history. And how
// much it wrote to its append-only file for each webhook from the first step to the last.
func BenchmarkMemory(b *testing.B) {
	const webhooks = 20_000
	for _, destinations := range []int{1, 4} {
		b.Run(fmt.Sprintf("destinations=%d", destinations), func(b *testing.B) {
			for range b.N {
				s := newBenchmark(b, 0)
				s.measure(webhooks, destinations)
			}
		})
	}
}

func (s *benchmark) measure(webhooks, destinations int) {
	empty := s.used()
	parallel(64, int64(webhooks), func(n int64) {
		w := benchWebhook(n)
		for d := 1; d < destinations; d++ {
			e := w.Entries[0]
			e.Lane.Destination = fmt.Sprint("ops", d)
			w.Entries = append(w.Entries, e)
		}
		if _, err := s.Accept(context.Background(), w); err != nil {
			s.Error(err)
		}
	})
	waiting := s.used()
	for told := 0; told < webhooks*destinations; {
		for _, batch := range s.claim(256) {
			s.settle(batch, outbox.Outcome{Result: outbox.Sent, Items: []string{batch.Lanes[0].Items[0].ID}, Part: 1, Parts: 1})
			told++
		}
	}
	ended := s.used()
	s.remove("mark:*")
	unmarked := s.used()
	s.remove("history")
	forgotten := s.used()
	s.ReportMetric((waiting.memory-empty.memory)/float64(webhooks), "B/waiting")
	s.ReportMetric((ended.memory-empty.memory)/float64(webhooks), "B/ended")
	s.ReportMetric((ended.memory-unmarked.memory)/float64(webhooks), "B/mark")
	s.ReportMetric((unmarked.memory-forgotten.memory)/float64(webhooks*(1+destinations)), "B/event")
	s.ReportMetric((ended.file-empty.file)/float64(webhooks), "B/aof")
}

var (
	usedMemory = regexp.MustCompile(`used_memory:(\d+)`)
	usedFile   = regexp.MustCompile(`aof_current_size:(\d+)`)
)

// A usage is how many bytes a server has allocated, and how many its append-only file has.
type usage struct{ memory, file float64 }

func (s *benchmark) used() (u usage) {
	info, err := s.db.Client().Info(context.Background(), "memory", "persistence").Result()
	require.NoError(s, err)
	u.memory, err = strconv.ParseFloat(usedMemory.FindStringSubmatch(info)[1], 64)
	require.NoError(s, err)
	u.file, err = strconv.ParseFloat(usedFile.FindStringSubmatch(info)[1], 64)
	require.NoError(s, err)
	return u
}

// remove deletes keys of the namespace.
func (s *benchmark) remove(pattern string) {
	const script = `for _, key in ipairs(redis.call('KEYS', KEYS[1] .. ARGV[1])) do redis.call('DEL', key) end`
	err := s.db.Client().Eval(context.Background(), script, []string{redis.Prefix("relay")}, pattern).Err()
	require.ErrorIs(s, err, goredis.Nil)
}
