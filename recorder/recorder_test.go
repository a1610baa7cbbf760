//go:build go1.25

package recorder_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alertrelay/relay/recorder"
)

// sink is a Sink made of a function, which keeps what it took.
type sink struct {
	put func(ctx context.Context, snapshots []recorder.Snapshot) error // nil takes all

	mu    sync.Mutex
	calls int
	taken []recorder.Snapshot
}

func (s *sink) Put(ctx context.Context, snapshots []recorder.Snapshot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.put != nil {
		if err := s.put(ctx, snapshots); err != nil {
			return err
		}
	}
	s.taken = append(s.taken, snapshots...)
	return nil
}

// count is how often it was called.
func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// traces are the traces of what was taken, in order.
func (s *sink) traces() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for _, snapshot := range s.taken {
		ids = append(ids, snapshot.TraceID)
	}
	return strings.Join(ids, " ")
}

var labels = map[string]string{"service": "pay"}

func start(tb testing.TB, cfg recorder.Config) *recorder.Recorder {
	tb.Helper()
	if cfg.Labels == nil {
		cfg.Labels = labels
	}
	rec, err := recorder.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = rec.Close(context.Background()) })
	return rec
}

func equal[T any](tb testing.TB, want, got T, what string) {
	tb.Helper()
	if !reflect.DeepEqual(want, got) {
		tb.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}

// TestSentTogether: what comes within an interval is one call.
func TestSentTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &sink{}
		rec := start(t, recorder.Config{Sink: out})
		rec.Record(recorder.Snapshot{TraceID: "a"})
		time.Sleep(900 * time.Millisecond)
		rec.Record(recorder.Snapshot{TraceID: "b"})
		equal(t, 0, out.count(), "calls before a second is over")
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		equal(t, "a b", out.traces(), "taken")
		equal(t, 1, out.count(), "calls")
		time.Sleep(time.Hour)
		equal(t, 1, out.count(), "calls while nothing is recorded")
		rec.Record(recorder.Snapshot{TraceID: "c"})
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		equal(t, recorder.Stats{Sent: 3}, rec.Stats(), "stats")
	})
}

func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &sink{}
		rec := start(t, recorder.Config{Sink: out, Queue: 2})
		for _, id := range []string{"a", "b", "c"} {
			rec.Record(recorder.Snapshot{TraceID: id})
		}
		equal(t, nil, rec.Flush(t.Context()), "flush")
		equal(t, "a b", out.traces(), "taken")
		equal(t, recorder.Stats{Sent: 2, Dropped: 1}, rec.Stats(), "stats")
	})
}

// TestSinkFails: it is asked less and less often, the newest snapshots are kept, and the log says it twice.
func TestSinkFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down := true
		out := &sink{put: func(context.Context, []recorder.Snapshot) error {
			if down {
				return errors.New("away")
			}
			return nil
		}}
		var log strings.Builder
		rec := start(t, recorder.Config{Sink: out, Queue: 3, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		rec.Record(recorder.Snapshot{TraceID: "0"})
		rec.Record(recorder.Snapshot{TraceID: "1"})
		_ = rec.Flush(t.Context()) // fails, and takes both back
		for i := 2; i < 5; i++ {
			rec.Record(recorder.Snapshot{TraceID: strconv.Itoa(i)}) // one finds room
		}
		equal(t, recorder.Stats{Dropped: 2, Failures: 1}, rec.Stats(), "stats while it fails")
		time.Sleep(time.Minute)
		synctest.Wait()
		// After 1, 3, 7, 15, 31 s; the next would be at 63 s.
		equal(t, 6, out.count(), "calls in a minute")
		out.mu.Lock()
		down = false
		out.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		equal(t, "0 1 2", out.traces(), "taken in the end")
		equal(t, 1, strings.Count(log.String(), "Cannot record"), "lines of the failure")
		equal(t, 1, strings.Count(log.String(), "again"), "lines of the end")
	})
}

// TestNewestAreTakenBack: what came while a call that fails was under way pushes out what it held.
func TestNewestAreTakenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var rec *recorder.Recorder
		out := &sink{}
		out.put = func(context.Context, []recorder.Snapshot) error {
			if out.calls > 1 {
				return nil
			}
			rec.Record(recorder.Snapshot{TraceID: "c"})
			return errors.New("away")
		}
		rec = start(t, recorder.Config{Sink: out, Queue: 2})
		rec.Record(recorder.Snapshot{TraceID: "a"})
		rec.Record(recorder.Snapshot{TraceID: "b"})
		_ = rec.Flush(t.Context())
		equal(t, nil, rec.Flush(t.Context()), "second flush")
		equal(t, "b c", out.traces(), "taken")
		equal(t, recorder.Stats{Sent: 2, Dropped: 1, Failures: 1}, rec.Stats(), "stats")
	})
}

func TestRefusedIsDropped(t *testing.T) {
	t.Parallel()
	out := &sink{put: func(context.Context, []recorder.Snapshot) error {
		return fmt.Errorf("put: %w", recorder.ErrRefused)
	}}
	rec := start(t, recorder.Config{Sink: out, Interval: time.Hour})
	rec.Record(recorder.Snapshot{TraceID: "a"})
	equal(t, true, errors.Is(rec.Flush(t.Context()), recorder.ErrRefused), "refused")
	equal(t, nil, rec.Flush(t.Context()), "flush of nothing")
	equal(t, recorder.Stats{Dropped: 1, Failures: 1}, rec.Stats(), "stats")
}

func TestClose(t *testing.T) {
	t.Parallel()
	t.Run("sends what waits", func(t *testing.T) {
		t.Parallel()
		out := &sink{}
		rec := start(t, recorder.Config{Sink: out})
		rec.Record(recorder.Snapshot{TraceID: "a"})
		equal(t, nil, rec.Close(t.Context()), "close")
		rec.Record(recorder.Snapshot{TraceID: "b"})
		equal(t, "a", out.traces(), "taken")
		equal(t, recorder.Stats{Sent: 1, Dropped: 1}, rec.Stats(), "stats")
		equal(t, nil, rec.Close(t.Context()), "close again")
		equal(t, true, rec.Flush(t.Context()) != nil, "flush after close")
	})
	t.Run("ends with its context, whatever the sink does", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			out := &sink{put: func(ctx context.Context, _ []recorder.Snapshot) error {
				<-ctx.Done()
				return ctx.Err()
			}}
			rec := start(t, recorder.Config{Sink: out})
			rec.Record(recorder.Snapshot{TraceID: "a"})
			time.Sleep(1500 * time.Millisecond) // the goroutine hangs in Put
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			equal(t, true, errors.Is(rec.Close(ctx), context.DeadlineExceeded), "close ends with its context")
			equal(t, time.Second, time.Since(began), "time")
			equal(t, uint64(1), rec.Stats().Dropped, "dropped")
		})
	})
}

func TestRecord(t *testing.T) {
	t.Parallel()
	out := &sink{}
	rec := start(t, recorder.Config{Sink: out, Interval: time.Hour})
	at := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	rec.Record(recorder.Snapshot{})
	rec.Record(recorder.Snapshot{
		Labels: map[string]string{"job": "nightly"}, TraceID: strings.Repeat("t", 600), RoomID: strings.Repeat("1", 600),
		UserAgent: "batch\r\n\x00/1 " + strings.Repeat("微", 200), Extra: map[string]string{"tenant": "shop\n\xff"}, Time: at,
	})
	equal(t, nil, rec.Flush(t.Context()), "flush")
	equal(t, 1, len(out.taken), "one of which nothing is known is not recorded")
	equal(t, recorder.Snapshot{
		Labels: map[string]string{"job": "nightly"}, TraceID: strings.Repeat("t", 512),
		UserAgent: "batch/1 " + strings.Repeat("微", 167), Extra: map[string]string{"tenant": "shop"}, Time: at,
	}, out.taken[0], "bounded")
}

func TestNew(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		cfg  recorder.Config
		want string
	}{
		{"no sink", recorder.Config{Labels: labels}, "recorder: Config.Sink is required"},
		{"no labels", recorder.Config{Sink: &sink{}}, "recorder: Config.Labels is required"},
		{"an empty label", recorder.Config{Sink: &sink{}, Labels: map[string]string{"service": ""}}, "recorder: Config.Labels: a"},
		{"no link", recorder.Config{Sink: recorder.Relay{URL: "relay:8060"}, Labels: labels}, "recorder: Relay.URL: expected"},
		{
			"labels that are not looked up",
			recorder.Config{Sink: recorder.Redis(do(nil), recorder.RedisOptions{}), Labels: map[string]string{"app": "pay"}},
			"recorder: Config.Labels has all labels of none",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := recorder.New(tc.cfg)
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Fatalf("got %v, want %s", err, tc.want)
			}
		})
	}
}

// spanContext is the part of OpenTelemetry's that counts.
type spanContext struct{ id traceID }

type traceID string

func (t traceID) String() string { return string(t) }

func (s spanContext) HasTraceID() bool { return s.id != "" }

func (s spanContext) TraceID() traceID { return s.id }

type spanKey struct{}

func TestTrace(t *testing.T) {
	t.Parallel()
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	span := recorder.OpenTelemetry(func(ctx context.Context) spanContext {
		s, _ := ctx.Value(spanKey{}).(spanContext)
		return s
	})
	for _, tc := range []struct {
		name   string
		span   string
		header http.Header
		want   string
	}{
		{"nothing", "", nil, ""},
		{"the span first", "5pan", http.Header{"Traceparent": {parent}, "X-Request-Id": {"r1"}}, "5pan"},
		{"then traceparent", "", http.Header{"Traceparent": {parent}, "X-Request-Id": {"r1"}}, "0af7651916cd43dd8448eb211c80319c"},
		{"then the configured header", "", http.Header{"X-Request-Id": {"r1"}}, "r1"},
		{"a later version", "", http.Header{"Traceparent": {"cc" + parent[2:] + "-what"}}, "0af7651916cd43dd8448eb211c80319c"},
		{"a forbidden version", "", http.Header{"Traceparent": {"ff" + parent[2:]}}, ""},
		{"all zero", "", http.Header{"Traceparent": {"00-" + strings.Repeat("0", 32) + parent[35:]}}, ""},
		{"upper case", "", http.Header{"Traceparent": {strings.ToUpper(parent)}}, ""},
		{"too short", "", http.Header{"Traceparent": {parent[:54]}}, ""},
		{"not hexadecimal", "", http.Header{"Traceparent": {strings.Replace(parent, "0af7", "0afg", 1)}, "X-Request-Id": {"r1"}}, "r1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			out := &sink{}
			rec := start(t, recorder.Config{Sink: out, TraceID: span, TraceHeader: "X-Request-Id", Interval: time.Hour})
			req := httptest.NewRequest(http.MethodGet, "/", nil)
			req.Header = tc.header
			req = req.WithContext(context.WithValue(req.Context(), spanKey{}, spanContext{traceID(tc.span)}))
			rec.Observe(req, http.StatusInternalServerError, 0)
			equal(t, nil, rec.Flush(t.Context()), "flush")
			equal(t, tc.want, out.traces(), "trace")
		})
	}
}

func FuzzTraceparent(f *testing.F) {
	f.Add("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	f.Add("----")
	out := &sink{}
	rec := start(f, recorder.Config{Sink: out, Interval: time.Hour})
	f.Fuzz(func(t *testing.T, header string) {
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.Header.Set("Traceparent", header)
		rec.Observe(req, http.StatusBadGateway, 0)
		out.taken = nil
		_ = rec.Flush(t.Context())
		for _, s := range out.taken {
			if len(s.TraceID) != 32 || !strings.Contains(header, s.TraceID) {
				t.Fatalf("%q made %q", header, s.TraceID)
			}
		}
	})
}
