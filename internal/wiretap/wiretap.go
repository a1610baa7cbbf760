// Package wiretap shows a person what an integration says to its vendor and what the vendor answers: behind relay
// template render, where nothing is sent, and relay send-test. Nothing listens while the relay serves.
//
// It promises that no credential is among what it shows: of a URL only the words every caller uses, of headers and JSON
// nothing whose name speaks of a secret, and of an answer nothing of the URL's secrets.
package wiretap

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"unicode/utf8"
)

// ErrNotSent ends a call of which nothing may leave the process.
var ErrNotSent = errors.New("not sent: this is a preview")

// A Call is one request to a vendor, without its secrets.
type Call struct {
	Method string      `json:"method"`
	URL    string      `json:"url"`
	Header http.Header `json:"header,omitempty"`
	Body   Text        `json:"body,omitempty"`
	Answer *Answer     `json:"answer,omitempty"` // nil: none came

	secrets []string
}

// An Answer is what a vendor said to a Call.
type Answer struct {
	Status int         `json:"status"`
	Header http.Header `json:"header,omitempty"`
	Body   Text        `json:"body,omitempty"`
}

// Text is a body as it was sent. In JSON it is itself where it is JSON, else text.
type Text []byte

// MarshalJSON implements json.Marshaler.
func (t Text) MarshalJSON() ([]byte, error) {
	if json.Valid(t) {
		return t, nil
	}
	if !utf8.Valid(t) {
		return json.Marshal([]byte(t))
	}
	return json.Marshal(string(t))
}

// A Tap notes the calls made with its context. It may be used concurrently.
type Tap struct {
	send  bool
	mu    sync.Mutex
	calls []*Call
}

// New returns a Tap. Without send, every call ends in ErrNotSent once it is noted.
func New(send bool) *Tap { return &Tap{send: send} }

type key struct{}

// Listen returns a context whose calls the tap notes.
func (t *Tap) Listen(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, t) }

// Listening tells whether calls with this context are noted.
func Listening(ctx context.Context) bool { return ctx.Value(key{}) != nil }

// Calls are those noted, in order.
func (t *Tap) Calls() []Call {
	t.mu.Lock()
	defer t.mu.Unlock()
	calls := make([]Call, len(t.calls))
	for i, c := range t.calls {
		calls[i] = *c
	}
	return calls
}

// Begin notes a call that is about to be made, without its secrets. The result is nil when nobody listens; the error,
// ErrNotSent, says not to make it.
func Begin(ctx context.Context, c Call) (*Noted, error) {
	tap, ok := ctx.Value(key{}).(*Tap)
	if !ok {
		return nil, nil //nolint:nilnil // the usual case: nobody listens, and there is nothing to note
	}
	c.redact()
	tap.mu.Lock()
	defer tap.mu.Unlock()
	tap.calls = append(tap.calls, &c)
	if !tap.send {
		return nil, ErrNotSent
	}
	return &Noted{tap, &c}, nil
}

// Noted is a call that is being made. Its methods may be called on nil.
type Noted struct {
	tap  *Tap
	call *Call
}

// Answered notes the vendor's answer.
func (n *Noted) Answered(a Answer) {
	if n == nil {
		return
	}
	a.redact(n.call.secrets)
	n.tap.mu.Lock()
	defer n.tap.mu.Unlock()
	n.call.Answer = &a
}
