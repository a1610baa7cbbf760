package recorder

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"time"
)

// Middleware watches the requests that next answers. A panic goes on as it came; http.ErrAbortHandler, by which a handler
// gives a request up on purpose, is not recorded.
//
// Where the server's http.ResponseWriter can flush, hijack, push or copy from a file, the one that next gets can as
// well, and http.ResponseController reaches it.
func (r *Recorder) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		a := &answer{ResponseWriter: w}
		began := time.Now()
		defer func() {
			took := time.Since(began)
			cause := recover()
			switch {
			case cause == http.ErrAbortHandler: //nolint:errorlint // net/http compares it so
			case cause != nil:
				r.Observe(req, http.StatusInternalServerError, took)
			case a.hijacked:
				r.Observe(req, a.status, 0)
			default:
				r.Observe(req, a.status, took)
			}
			if cause != nil {
				panic(cause)
			}
		}()
		next.ServeHTTP(a.as(), req)
	})
}

// An answer sees the status that a handler answers with. What it hides of the server's own writer, as gives back.
type answer struct {
	http.ResponseWriter

	status   int // 0 until it is written, or when it never is: the server writes 200 then
	hijacked bool
}

// as returns the writer with the abilities that the server's own has. Pushing and copying are always there: without the
// server's help they do what net/http documents for that case.
func (a *answer) as() http.ResponseWriter {
	_, flushes := a.ResponseWriter.(http.Flusher)
	_, hijacks := a.ResponseWriter.(http.Hijacker)
	switch {
	case flushes && hijacks:
		return both{a}
	case flushes:
		return flusher{a}
	case hijacks:
		return hijacker{a}
	default:
		return a
	}
}

// WriteHeader notes the status. Those below 200 but for 101 are not the answer yet.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && (status >= http.StatusOK || status == http.StatusSwitchingProtocols) {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// Write notes that the answer has begun, and so that no later status counts.
func (a *answer) Write(b []byte) (int, error) {
	a.begun()
	return a.ResponseWriter.Write(b)
}

// WriteString implements io.StringWriter.
func (a *answer) WriteString(s string) (int, error) {
	a.begun()
	return io.WriteString(a.ResponseWriter, s)
}

// ReadFrom lets the server copy by itself, from a file to the network without a buffer, where it can.
func (a *answer) ReadFrom(src io.Reader) (int64, error) {
	a.begun()
	return io.Copy(a.ResponseWriter, src)
}

// Push implements http.Pusher.
func (a *answer) Push(target string, opts *http.PushOptions) error {
	if p, ok := a.ResponseWriter.(http.Pusher); ok {
		return p.Push(target, opts)
	}
	return http.ErrNotSupported
}

func (a *answer) begun() {
	if a.status == 0 {
		a.status = http.StatusOK
	}
}

func (a *answer) flush() {
	a.begun()
	a.ResponseWriter.(http.Flusher).Flush()
}

func (a *answer) hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := a.ResponseWriter.(http.Hijacker).Hijack()
	a.hijacked = a.hijacked || err == nil
	return conn, rw, err
}

type flusher struct{ *answer }

func (w flusher) Flush() { w.flush() }

type hijacker struct{ *answer }

func (w hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.hijack() }

type both struct{ *answer }

func (w both) Flush() { w.flush() }

func (w both) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.hijack() }
