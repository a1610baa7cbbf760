//go:build go1.25

package recorder_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/alertrelay/relay/recorder"
)

// printed is a Sink that prints what it takes.
type printed struct{}

func (printed) Put(_ context.Context, snapshots []recorder.Snapshot) error {
	for _, s := range snapshots {
		fmt.Println(s.Labels, s.TraceID, s.RoomID, s.UserAgent)
	}
	return nil
}

func Example() {
	rec, err := recorder.New(recorder.Config{
		Sink:   printed{}, // in an application: recorder.Relay{URL: "http://relay:8060", Token: token}
		Labels: map[string]string{"service": "pay"},
		Room:   func(r *http.Request) string { return r.PathValue("room") },
		Slow:   2 * time.Second,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rooms/{room}/pay", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "cannot pay", http.StatusBadGateway)
	})
	service := rec.Middleware(mux) // http.ListenAndServe(":8080", service)

	req := httptest.NewRequest(http.MethodGet, "/rooms/10086/pay", nil)
	req.Header.Set("User-Agent", "RoomClient/3.2")
	req.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	service.ServeHTTP(httptest.NewRecorder(), req)

	_ = rec.Close(context.Background()) // when the application ends
	// Output: map[service:pay] 4bf92f3577b34da6a3ce929d0e0e4736 10086 RoomClient/3.2
}

// A job has no HTTP request: it says itself what there is to know.
func ExampleRecorder_Record() {
	rec, err := recorder.New(recorder.Config{Sink: printed{}, Labels: map[string]string{"job": "settlement"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	rec.Record(recorder.Snapshot{TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", RoomID: "10086", UserAgent: "settlement/1.4"})
	_ = rec.Close(context.Background())
	// Output: map[job:settlement] 4bf92f3577b34da6a3ce929d0e0e4736 10086 settlement/1.4
}
