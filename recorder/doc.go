// Package recorder is what a Go application imports so that its alerts show which request suffered: trace id, room and
// client of requests that end in a 5xx, panic, or are slow.
//
//	rec, err := recorder.New(recorder.Config{
//		Sink:   recorder.Relay{URL: "http://relay:8060", Token: token},
//		Labels: map[string]string{"service": "pay"},
//		Room:   func(r *http.Request) string { return r.PathValue("room") },
//	})
//	…
//	http.ListenAndServe(":8080", rec.Middleware(mux))
//
// The middleware only looks on: requests, answers and panics pass unchanged. What it finds waits in a small queue and is
// sent by one goroutine, about once a second; when the queue is full or the relay is away, snapshots are dropped and
// counted, and no request is slowed or failed by it.
//
// The package needs the standard library alone, so that an application inherits nothing. OpenTelemetry and go-redis are
// reached through their functions (see OpenTelemetry and Redis), gin through the module recorder/ginrecorder.
package recorder
