package sandbox

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"time"
)

// maxBody bounds what an endpoint reads: WeCom's uploads of 20 MB and some room, so that too long can be told.
const maxBody = 24 << 20

// keptOfRefused is how much of a body is kept that was not delivered: enough to see what was wrong with it.
const keptOfRefused = 64 << 10

// call is one HTTP request to a vendor, read.
type call struct {
	*http.Request
	account string
	now     time.Time
	body    []byte
}

// caller is the address that the request came from.
func (c *call) caller() string {
	host, _, err := net.SplitHostPort(c.RemoteAddr)
	if err != nil {
		return c.RemoteAddr
	}
	return host
}

// ruling is what a vendor decides about a call. A nil message is not delivered, unless delivered says that the call
// changed one. Each of edits changes the message of the inbox that it reports true for.
type ruling struct {
	answer    answer
	verdict   Verdict
	message   *Message
	delivered bool
	edits     []func(*Message) bool
}

// endpoint is what the three HTTP vendors have in common: faults, reading, recording, answering.
type endpoint struct {
	faults

	inbox string
	board *board
}

// serve takes one request through its fault to the vendor's judgement and back.
func (e *endpoint) serve(w http.ResponseWriter, r *http.Request, account string, judge func(*call) ruling) {
	fault := e.next(account)
	c := &call{Request: r, account: account}
	if fault.closeBefore {
		e.record(c, ruling{verdict: Verdict{Text: "closed before reading"}}, fault)
		panic(http.ErrAbortHandler) // net/http closes the connection and says nothing
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
		http.Error(w, http.StatusText(http.StatusRequestEntityTooLarge), http.StatusRequestEntityTooLarge)
		return
	} else if err != nil {
		panic(http.ErrAbortHandler)
	}
	c.body = body
	if !fault.pause(r.Context()) {
		e.record(c, ruling{verdict: Verdict{Text: "the caller has gone"}}, fault)
		panic(http.ErrAbortHandler)
	}
	c.now = e.board.now()
	if fault.answer != nil {
		e.record(c, ruling{verdict: Verdict{Code: fault.answer.status, Text: string(fault.answer.body)}}, fault)
		write(r.Context(), w, *fault.answer, fault.drip)
		return
	}
	v := judge(c)
	e.record(c, v, fault)
	if fault.closeAfter {
		panic(http.ErrAbortHandler)
	}
	if fault.change != nil {
		v.answer = fault.change(v.answer)
	}
	write(r.Context(), w, v.answer, fault.drip)
}

func (e *endpoint) record(c *call, v ruling, fault Fault) {
	at := c.now
	if at.IsZero() {
		at = e.board.now()
	}
	v.verdict.Delivered = v.message != nil || v.delivered
	if v.message != nil {
		v.message.At, v.message.Inbox, v.message.Account, v.message.Body = at, e.inbox, c.account, c.body
	}
	r := Request{At: at, Inbox: e.inbox, Account: c.account, Verdict: v.verdict, Fault: fault.name}
	if e.board.keep > 0 {
		r.Method, r.Path, r.Query = c.Method, c.URL.Path, c.URL.Query()
		r.Header, r.Body = c.Header.Clone(), c.body
		if !v.verdict.Delivered {
			r.Body = r.Body[:min(len(r.Body), keptOfRefused)]
		}
	}
	e.board.record(r, v.message, v.edits...)
}

// write sends the answer, byte by byte when it drips.
func write(ctx context.Context, w http.ResponseWriter, a answer, drip time.Duration) {
	maps.Copy(w.Header(), a.header)
	w.Header().Set("Content-Type", a.contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	if drip == 0 {
		_, _ = w.Write(a.body)
		return
	}
	for i := range a.body {
		_, _ = w.Write(a.body[i : i+1])
		_ = http.NewResponseController(w).Flush()
		if !sleep(ctx, drip) {
			return
		}
	}
}
