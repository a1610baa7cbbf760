package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"github.com/alertrelay/relay/recorder"
)

// seen is a Sink that keeps what it took.
type seen struct {
	mu    sync.Mutex
	taken []recorder.Snapshot
}

func (s *seen) Put(_ context.Context, snapshots []recorder.Snapshot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = append(s.taken, snapshots...)
	return nil
}

const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// TestService: gin, OpenTelemetry, client_golang and the recorder see the same request.
func TestService(t *testing.T) {
	sink := &seen{}
	rec, err := recorder.New(recorder.Config{
		Sink: sink, Labels: map[string]string{"service": "pay"},
		Room:    func(r *http.Request) string { return r.PathValue("room") },
		TraceID: recorder.OpenTelemetry(trace.SpanContextFromContext),
	})
	if err != nil {
		t.Fatal(err)
	}
	service := router(rec)
	get := func(target string, traced bool) *httptest.ResponseRecorder {
		req := httptest.NewRequest(http.MethodGet, target, nil)
		req.Header.Set("User-Agent", "RoomClient/3.2")
		req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
		if traced {
			req.Header.Set("Traceparent", parent)
		}
		w := httptest.NewRecorder()
		service.ServeHTTP(w, req)
		return w
	}
	if w := get("/rooms/7/pay", true); w.Code != http.StatusOK {
		t.Fatal(w.Code)
	}
	if w := get("/rooms/10086/pay?fail=true", true); w.Code != http.StatusInternalServerError {
		t.Fatal(w.Code)
	}
	if w := get("/rooms/10010/pay?panic=true", false); w.Code != http.StatusInternalServerError {
		t.Fatal(w.Code)
	}
	exposed := get("/metrics", false).Body.String()
	if err := rec.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	if len(sink.taken) != 2 {
		t.Fatalf("recorded: %+v", sink.taken)
	}
	failed, panicked := sink.taken[0], sink.taken[1]
	if failed.TraceID != parent[3:35] || failed.RoomID != "10086" || failed.UserAgent != "RoomClient/3.2" {
		t.Errorf("the failure: %+v", failed)
	}
	if len(panicked.TraceID) != 32 || panicked.TraceID == failed.TraceID || panicked.RoomID != "10010" {
		t.Errorf("the panic, in a trace of its own: %+v", panicked)
	}
	want := `http_requests_total{code="500"} 2.0 # {room_id="10010",trace_id="` + panicked.TraceID + `"} 1.0`
	if !strings.Contains(exposed, want) {
		t.Errorf("no exemplar %s in:\n%s", want, exposed)
	}
}

// TestGoRedis: the Do of its clients is what recorder.Redis takes.
func TestGoRedis(t *testing.T) {
	client := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: []string{"127.0.0.1:1"}, MaxRetries: -1})
	err := recorder.Redis(client.Do, recorder.RedisOptions{}).Put(t.Context(), []recorder.Snapshot{
		{Labels: map[string]string{"service": "pay"}, TraceID: "t"},
	})
	if err == nil || !strings.HasPrefix(err.Error(), "put snapshots: SET: ") {
		t.Error(err)
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
}
