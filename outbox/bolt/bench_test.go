package bolt_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/bolt"
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

func benchStore(b *testing.B, pending int64) (*bolt.Store, *atomic.Int64) {
	b.Helper()
	s, err := bolt.Open(filepath.Join(b.TempDir(), "relay.db"), bolt.Options{MaxPending: 10_000_000})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	var n atomic.Int64
	parallel(64, pending, func(int64) { accept(b, s, n.Add(1)) })
	return s, &n
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

func accept(b *testing.B, s outbox.Store, n int64) {
	b.Helper()
	if _, err := s.Accept(context.Background(), benchWebhook(n)); err != nil {
		b.Error(err)
	}
}

func claim(b *testing.B, s outbox.Store, most int) []outbox.Batch {
	b.Helper()
	batches, _, err := s.Claim(context.Background(), outbox.ClaimRequest{
		Max: most, Lease: time.Hour, Integrations: benchTerms,
	})
	if err != nil {
		b.Error(err)
	}
	return batches
}

var benchTerms = map[relay.IntegrationID]outbox.Terms{mail: {}}

func BenchmarkAccept(b *testing.B) {
	for _, pending := range []int64{1_000, 100_000} {
		for _, goroutines := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("pending=%d/goroutines=%d", pending, goroutines), func(b *testing.B) {
				s, n := benchStore(b, pending)
				b.ReportAllocs()
				cpu := startCPU()
				b.ResetTimer()
				parallel(goroutines, int64(b.N), func(int64) { accept(b, s, n.Add(1)) })
				cpu.report(b)
			})
		}
	}
}

func BenchmarkClaim(b *testing.B) {
	for _, pending := range []int64{1_000, 100_000} {
		for _, goroutines := range []int{1, 64} {
			b.Run(fmt.Sprintf("pending=%d/goroutines=%d", pending, goroutines), func(b *testing.B) {
				s, _ := benchStore(b, pending)
				b.ReportAllocs()
				cpu := startCPU()
				b.ResetTimer()
				parallel(goroutines, int64(b.N), func(int64) {
					for _, batch := range claim(b, s, 1) {
						release(b, s, batch)
					}
				})
				cpu.report(b)
			})
		}
	}
}

func release(b *testing.B, s outbox.Store, batch outbox.Batch) {
	b.Helper()
	if err := s.Settle(context.Background(), batch.Lease, outbox.Outcome{Result: outbox.Release}); err != nil {
		b.Error(err)
	}
}

func BenchmarkSettle(b *testing.B) {
	for _, goroutines := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			s, _ := benchStore(b, int64(b.N))
			batches := claim(b, s, b.N)
			b.ReportAllocs()
			cpu := startCPU()
			b.ResetTimer()
			parallel(goroutines, int64(len(batches)), func(i int64) {
				batch := batches[i-1]
				err := s.Settle(context.Background(), batch.Lease, outbox.Outcome{
					Result: outbox.Sent, Items: []string{batch.Lanes[0].Items[0].ID}, Part: 1, Parts: 1, Text: "told",
				})
				if err != nil {
					b.Error(err)
				}
			})
			cpu.report(b)
		})
	}
}
