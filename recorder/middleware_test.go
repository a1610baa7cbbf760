//go:build go1.25

package recorder_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alertrelay/relay/recorder"
)

// TestWhatIsRecorded goes through the ways in which a request can end.
func TestWhatIsRecorded(t *testing.T) {
	t.Parallel()
	status := func(codes ...int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for _, code := range codes {
				w.WriteHeader(code)
			}
		}
	}
	for _, tc := range []struct {
		name    string
		handler http.HandlerFunc
		want    bool
	}{
		{"nothing written", func(http.ResponseWriter, *http.Request) {}, false},
		{"200", status(200), false},
		{"404", status(404), false},
		{"500", status(500), true},
		{"503", status(503), true},
		{"early hints, then 500", status(103, 500), true},
		{"early hints, then 200", status(103, 200), false},
		{"the first status counts", status(200, 500), false},
		{"a body, then 500", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "ok")
			w.WriteHeader(http.StatusInternalServerError)
		}, false},
		{"a panic", func(http.ResponseWriter, *http.Request) { panic("oh") }, true},
		{"a panic after 200", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK); panic("oh") }, true},
		{"given up on purpose", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false},
		{"slow", func(http.ResponseWriter, *http.Request) { time.Sleep(3 * time.Second) }, true},
		{"almost slow", func(http.ResponseWriter, *http.Request) { time.Sleep(2 * time.Second) }, false},
		{"hijacked and long", func(w http.ResponseWriter, _ *http.Request) {
			_, _, _ = http.NewResponseController(w).Hijack()
			time.Sleep(time.Hour)
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				out := &sink{}
				rec := start(t, recorder.Config{
					Sink: out, Slow: 2*time.Second + 1, Interval: 24 * time.Hour,
					Room: func(r *http.Request) string { return r.PathValue("room") },
				})
				mux := http.NewServeMux()
				mux.Handle("/rooms/{room}", tc.handler)
				req := httptest.NewRequest(http.MethodGet, "/rooms/10086", nil)
				req.Header.Set("User-Agent", "RoomClient/3.2")
				func() {
					defer func() { _ = recover() }()
					rec.Middleware(mux).ServeHTTP(full{httptest.NewRecorder()}, req)
				}()
				equal(t, nil, rec.Flush(t.Context()), "flush")
				if !tc.want {
					equal(t, 0, len(out.taken), "snapshots")
					return
				}
				equal(t, []recorder.Snapshot{{
					Labels: labels, RoomID: "10086", UserAgent: "RoomClient/3.2", Time: time.Now().UTC(),
				}}, out.taken, "snapshots")
			})
		})
	}
}

// full is a response writer that can hijack and copy, as the server's own.
type full struct{ *httptest.ResponseRecorder }

func (full) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, nil }

func (w full) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.Copy(w.ResponseRecorder, src)
	w.Header().Set("X-Copied-By", "the server")
	return n, err
}

// TestPanicsGoOn: with the value and the stack that they had.
func TestPanicsGoOn(t *testing.T) {
	t.Parallel()
	rec := start(t, recorder.Config{Sink: &sink{}})
	for _, cause := range []any{"oh", http.ErrAbortHandler, errors.New("oh")} {
		func() {
			defer func() { equal(t, cause, recover(), "cause") }()
			handler := rec.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(cause) }))
			handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		}()
	}
}

// only hides all abilities of a writer but those of http.ResponseWriter.
type only struct{ http.ResponseWriter }

type onlyHijacks struct {
	http.ResponseWriter
	http.Hijacker
}

func TestAbilitiesAreKept(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name             string
		writer           http.ResponseWriter
		flushes, hijacks bool
	}{
		{"none", only{httptest.NewRecorder()}, false, false},
		{"flushes", httptest.NewRecorder(), true, false},
		{"hijacks", onlyHijacks{only{httptest.NewRecorder()}, full{}}, false, true},
		{"both", full{httptest.NewRecorder()}, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			rec := start(t, recorder.Config{Sink: &sink{}})
			rec.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, flushes := w.(http.Flusher)
				equal(t, tc.flushes, flushes, "flushes")
				_, hijacks := w.(http.Hijacker)
				equal(t, tc.hijacks, hijacks, "hijacks")
				equal(t, tc.writer, w.(interface{ Unwrap() http.ResponseWriter }).Unwrap(), "unwrapped")
				_, err := io.Copy(w, plainReader{strings.NewReader("body")})
				equal(t, nil, err, "copy")
				equal[error](t, http.ErrNotSupported, w.(http.Pusher).Push("/", nil), "push")
			})).ServeHTTP(tc.writer, httptest.NewRequest(http.MethodGet, "/", nil))
			if tc.name == "both" {
				equal(t, "the server", tc.writer.Header().Get("X-Copied-By"), "copied by")
			}
		})
	}
}

// plainReader hides that a reader can write itself.
type plainReader struct{ io.Reader }

// TestRealServers streams through the middleware over HTTP/1 and HTTP/2.
func TestRealServers(t *testing.T) {
	t.Parallel()
	for _, version := range []int{1, 2} {
		out := &sink{}
		rec := start(t, recorder.Config{Sink: out, Interval: time.Hour})
		server := httptest.NewUnstartedServer(rec.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			equal(t, version, r.ProtoMajor, "version")
			if r.URL.Path == "/fail" {
				http.Error(w, "no", http.StatusBadGateway)
				return
			}
			control := http.NewResponseController(w)
			equal(t, nil, control.SetWriteDeadline(time.Now().Add(time.Minute)), "deadline")
			_, _ = io.WriteString(w, "first\n")
			equal(t, nil, control.Flush(), "flush")
			<-r.Context().Done() // the client has read the first line and goes
		})))
		server.EnableHTTP2 = version == 2
		server.StartTLS()
		defer server.Close()
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		equal(t, nil, err, "request")
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(resp.Body).ReadString('\n')
		equal(t, nil, err, "read while the handler is at work")
		equal(t, "first\n", line, "line")
		cancel()
		resp.Body.Close()

		resp, err = server.Client().Get(server.URL + "/fail")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		equal(t, 502, resp.StatusCode, "status")
		equal(t, nil, rec.Flush(t.Context()), "flush")
		equal(t, 1, len(out.taken), "snapshots")
		equal(t, "Go-http-client/"+string(rune('0'+version))+".", out.taken[0].UserAgent[:len("Go-http-client/1.")], "client")
	}
}

func BenchmarkMiddleware(b *testing.B) {
	for _, bc := range []struct {
		name   string
		status int
	}{{"success", http.StatusOK}, {"failure, recorded", http.StatusInternalServerError}} {
		b.Run(bc.name, func(b *testing.B) {
			rec := start(b, recorder.Config{
				Sink: &sink{put: func(context.Context, []recorder.Snapshot) error { return recorder.ErrRefused }},
				Slow: time.Second, Queue: 1 << 30, Interval: time.Millisecond,
				Room: func(*http.Request) string { return "10086" },
			})
			handler := rec.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(bc.status) }))
			req := httptest.NewRequest(http.MethodGet, "/", nil)
			req.Header.Set("User-Agent", "RoomClient/3.2")
			req.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
			w := full{httptest.NewRecorder()}
			b.ReportAllocs()
			for b.Loop() {
				handler.ServeHTTP(w, req)
			}
		})
	}
	b.Run("failure, queue full", func(b *testing.B) {
		rec := start(b, recorder.Config{Sink: &sink{}, Queue: 1, Interval: time.Hour})
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.Header.Set("User-Agent", "RoomClient/3.2")
		b.ReportAllocs()
		for b.Loop() {
			rec.Observe(req, http.StatusInternalServerError, 0)
		}
	})
}

// TestPanicOfTheApplicationsFunctions is not one of the request: it stays as it was answered, or panics as it did.
func TestPanicOfTheApplicationsFunctions(t *testing.T) {
	t.Parallel()
	broken := func(*http.Request) string { panic("broken") }
	for _, tc := range []struct {
		name string
		cfg  recorder.Config
	}{
		{"Room", recorder.Config{Room: broken}},
		{"TraceID", recorder.Config{TraceID: broken}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			out := &sink{}
			tc.cfg.Sink = out
			rec := start(t, tc.cfg)
			serve := func(handler http.HandlerFunc) (status int, cause any) {
				w := httptest.NewRecorder()
				defer func() { status, cause = w.Code, recover() }()
				rec.Middleware(handler).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
				return
			}
			status, cause := serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
			equal(t, http.StatusBadGateway, status, "status")
			equal(t, nil, cause, "panic of a request that was answered")
			_, cause = serve(func(http.ResponseWriter, *http.Request) { panic("oh") })
			equal(t, any("oh"), cause, "panic of the handler")
			equal(t, recorder.Stats{Dropped: 2}, rec.Stats(), "stats")
		})
	}
}
