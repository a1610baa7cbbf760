package snapshots_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/snapshots"
)

var recorded = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

func TestDecode(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, value string
		want        relay.Snapshot
	}{
		{
			"as the relay writes it",
			`{"trace_id":"t","room_id":"10086","user_agent":"WeChat/8","extra":{"tenant":"shop"},"time":"2026-11-20T08:00:00Z"}`,
			relay.Snapshot{
				TraceID: "t", RoomID: "10086", UserAgent: "WeChat/8", Extra: map[string]string{"tenant": "shop"}, Time: recorded,
			},
		},
		{
			"numbers, and seconds since 1970",
			`{"room_id":10086,"extra":{"status":500},"time":1795161600.5}`,
			relay.Snapshot{
				RoomID: "10086", Extra: map[string]string{"status": "500"}, Time: recorded.Add(500 * time.Millisecond),
			},
		},
		{"what is unknown is left out", `{"trace_id":"t","span_id":"s","labels":{}}`, relay.Snapshot{TraceID: "t"}},
		{
			"the last second that can be written", `{"time":253402300799}`,
			relay.Snapshot{Time: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)},
		},
		{"null", `{"trace_id":null,"extra":null}`, relay.Snapshot{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := snapshots.Decode([]byte(tc.value))
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
		})
	}
	for _, bad := range []string{
		"", "t", "[]", `{"trace_id":[]}`, `{"time":"yesterday"}`, `{"time":1e99}`, `{"time":true}`, `{"trace_id":"t`,
		`{"time":253402300800}`, `{"time":300000000000}`, `{"time":"9999-12-31T23:59:59-01:00"}`,
		`{"time":"0000-01-01T00:00:00+01:00"}`,
	} {
		_, err := snapshots.Decode([]byte(bad))
		require.Error(t, err, bad)
	}
}

func TestEncodeIsBoundedAndReadsBack(t *testing.T) {
	t.Parallel()
	s := relay.Snapshot{
		TraceID: "t", RoomID: "1", UserAgent: "<b>\"\n微信", Extra: map[string]string{"a": "b"}, Time: recorded,
		TraceURL: "http://t/t", Sources: map[string]relay.Source{"trace_id": relay.SourceAlert},
	}
	value, err := snapshots.Encode(s)
	require.NoError(t, err)
	got, err := snapshots.Decode(value)
	require.NoError(t, err)
	s.TraceURL, s.Sources = "", nil
	require.Equal(t, s, got, "the link and the marks are not kept")

	_, err = snapshots.Encode(relay.Snapshot{UserAgent: strings.Repeat("x", snapshots.MaxValue)})
	require.Error(t, err)
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"trace_id":"t","room_id":10086,"time":1763625600}`))
	f.Add([]byte(`{"extra":{"a":1},"time":"2026-11-20T08:00:00Z"}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		s, err := snapshots.Decode(value)
		if err != nil {
			return
		}
		again, err := snapshots.Encode(s)
		if err != nil {
			return // too long now
		}
		same, err := snapshots.Decode(again)
		require.NoError(t, err)
		require.True(t, s.Time.Equal(same.Time))
		require.Equal(t, s.TraceID+s.RoomID+s.UserAgent, same.TraceID+same.RoomID+same.UserAgent)
	})
}
