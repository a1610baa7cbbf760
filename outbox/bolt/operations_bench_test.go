package bolt_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/outbox"
)

// BenchmarkLookUp asks for one webhook and for pages of deliveries while the history has a hundred thousand events of a
// day, each with the text that was sent.
func BenchmarkLookUp(b *testing.B) {
	const webhooks = 50_000
	s, _ := benchStore(b, 0)
	began := time.Now().Add(-24 * time.Hour)
	id := func(n int64) string {
		at := began.Add(time.Duration(n) * 24 * time.Hour / webhooks)
		return ulid.MustNew(ulid.Timestamp(at), zeroes{}).String()
	}
	parallel(64, webhooks, func(n int64) {
		w := benchWebhook(n)
		w.ID = id(n)
		if _, err := s.Accept(context.Background(), w); err != nil {
			b.Error(err)
		}
		for _, batch := range claim(b, s, 1) {
			err := s.Settle(context.Background(), batch.Lease, outbox.Outcome{
				Result: outbox.Sent, Items: []string{batch.Lanes[0].Items[0].ID}, Part: 1, Parts: 1,
				Text: strings.Repeat("alert text, ", 50),
			})
			if err != nil {
				b.Error(err)
			}
		}
	})
	for name, n := range map[string]int64{"newest": webhooks - 10, "oldest": 10} {
		b.Run("notification="+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, detail, err := s.Notification(b.Context(), id(n))
				require.NoError(b, err)
				require.Len(b, detail.Deliveries, 1)
			}
		})
	}
	for name, q := range map[string]outbox.DeliveryQuery{
		"all":  {},
		"none": {Filter: outbox.Filter{Integration: relay.IntegrationID("nobody/slack/x")}},
	} {
		b.Run("deliveries="+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _, err := s.Deliveries(b.Context(), q)
				require.NoError(b, err)
			}
		})
	}
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
