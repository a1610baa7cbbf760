package snapshots_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/snapshots"
)

func newRecorder(t *testing.T) snapshots.Recorder {
	t.Helper()
	now := func() time.Time { return recorded }
	store, err := snapshots.NewBolt(openFile(t, filepath.Join(t.TempDir(), "relay.db")), snapshots.BoltOptions{Now: now})
	require.NoError(t, err)
	r := snapshots.Recorder{Store: store, TTL: 24 * time.Hour, Now: now}
	for _, names := range snapshots.DefaultLookup() {
		r.Sets = append(r.Sets, snapshots.NewSet(names...))
	}
	return r
}

// TestARecordLiesUnderEverySetThatIsLookedUp, most exact first, and under its trace.
func TestARecordLiesUnderEverySetThatIsLookedUp(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	verdicts, err := r.Record(t.Context(), []json.RawMessage{
		[]byte(`{"labels":{"service":"pay","instance":"a:1","zone":"x"},"trace_id":"t1","room_id":10086,"user_agent":"WeChat/8"}`),
		[]byte(`{"trace_id":"t2","time":1795161000}`),
	})
	require.NoError(t, err)
	require.Equal(t, []error{nil, nil}, verdicts)

	whole := relay.Snapshot{TraceID: "t1", RoomID: "10086", UserAgent: "WeChat/8", Time: recorded}
	found, err := r.Find(t.Context(), map[string]string{"service": "pay", "instance": "a:1", "trace_id": "t2"})
	require.NoError(t, err)
	require.Equal(t, []snapshots.Entry{
		{Key: "trace_id=t2", Snapshot: relay.Snapshot{TraceID: "t2", Time: recorded.Add(-10 * time.Minute)}},
		{Key: "instance=a:1,service=pay", Snapshot: whole},
		{Key: "service=pay", Snapshot: whole},
	}, found)
	found, err = r.Find(t.Context(), map[string]string{"trace_id": "t1", "job": "unknown"})
	require.NoError(t, err)
	require.Equal(t, []snapshots.Entry{{Key: "trace_id=t1", Snapshot: whole}}, found)
}

func TestABadRecordIsRefusedAlone(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, record, want string }{
		{"not an object", `[]`, "cannot unmarshal array"},
		{"an unknown field", `{"trace_id":"t","room":"1"}`, `unknown field "room"`},
		{"a value that is none", `{"trace_id":{}}`, "cannot unmarshal object"},
		{"nothing to say", `{"labels":{"service":"pay"}}`, "it says nothing"},
		{"nothing to find it by", `{"labels":{"zone":"x"},"room_id":"1"}`, "none of the sets that are looked up, and no trace_id"},
		{"a time to come", `{"trace_id":"t","time":"2026-11-20T08:05:01Z"}`, "time: 2026-11-20T08:05:01Z is to come"},
		{"a time long gone", `{"trace_id":"t","time":"2026-11-19T07:59:59Z"}`, "is longer ago than 24h0m0s"},
		{"a time that is none", `{"trace_id":"t","time":"now"}`, "parsing time"},
		{"too long", `{"trace_id":"t","user_agent":"` + strings.Repeat("x", 1<<16) + `"}`, "are more than 4096"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRecorder(t)
			verdicts, err := r.Record(t.Context(), []json.RawMessage{[]byte(tc.record), []byte(`{"trace_id":"good"}`)})
			require.NoError(t, err)
			require.ErrorContains(t, verdicts[0], tc.want)
			require.NoError(t, verdicts[1])
			found, err := r.Store.Find(t.Context(), []snapshots.Key{"trace_id=good", "trace_id=t", "service=pay"})
			require.NoError(t, err)
			require.Equal(t, []bool{false, true, true}, []bool{found[0].IsZero(), found[1].IsZero(), found[2].IsZero()})
		})
	}
}
