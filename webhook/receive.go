package webhook

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/oklog/ulid/v2"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/wire"
)

// receive takes one webhook from the first byte to the answer.
func (in *wayIn) receive(c *gin.Context) {
	began := time.Now()
	answer, err := in.take(c, began)
	code := http.StatusOK
	if err != nil {
		code = in.refuse(c, err)
	} else {
		in.accept(c, answer)
	}
	in.Metrics.answered(code, time.Since(began))
}

func (in *wayIn) take(c *gin.Context, began time.Time) (answer Answer, err error) {
	defer func() {
		if r := recover(); r != nil {
			in.Logger.LogAttrs(c, slog.LevelError, "Panic in the way of a webhook",
				slog.Any("err", r), slog.String("stack", string(debug.Stack())))
			err = unavailable("internal error", fmt.Errorf("panic: %v", r))
		}
	}()
	receiver, err := url.PathUnescape(c.Param("receiver"))
	if err != nil {
		return Answer{}, badRequest("bad path", "the receiver in the path is not well escaped")
	}
	if err := in.Auth.webhook(receiver).check(c.Request); err != nil {
		return Answer{}, err
	}
	body, err := in.read(c)
	if err != nil {
		return Answer{}, err
	}
	defer body.release()
	reader := in.readers.Get().(*wire.Reader)
	defer in.readers.Put(reader)
	n, err := decode(reader, body.bytes)
	if err != nil {
		return Answer{}, badRequest("bad body", err.Error())
	}
	if n.ID, err = in.ids.at(began); err != nil {
		return Answer{}, unavailable("no id", err)
	}
	n.ReceivedAt = began.UTC()
	return in.hand(c, request(c.Request, n, receiver))
}

// request says where n was sent and by whom.
func request(r *http.Request, n *relay.Notification, receiver string) Request {
	req := Request{
		Notification: n,
		Path:         "/webhook",
		Receiver:     receiver,
		Snapshot:     relay.Snapshot{TraceID: traceID(r.Header.Get("Traceparent")), UserAgent: r.UserAgent()},
	}
	if receiver != "" {
		req.Path += "/" + receiver
	}
	if r.URL.RawQuery != "" {
		req.Room = r.URL.Query().Get("room_id")
	}
	if req.Room != "" {
		req.Path += "?room_id=" + req.Room
	}
	return req
}

// traceID returns the trace id of a W3C traceparent; empty when it is not one: https://www.w3.org/TR/trace-context/
func traceID(traceparent string) string {
	const version, id, rest = 3, 32, 1 + 16 + 1 + 2 // "00-", the id, "-", the parent's id, "-", flags
	if len(traceparent) < version+id+rest || traceparent[2] != '-' || traceparent[version+id] != '-' {
		return ""
	}
	trace := traceparent[version : version+id]
	if strings.Trim(trace, "0123456789abcdef") != "" || strings.Trim(trace, "0") == "" {
		return ""
	}
	return trace
}

// hand gives a request to the Intake. Its context outlives a sender that goes away: what was begun is finished.
func (in *wayIn) hand(c *gin.Context, r Request) (Answer, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request.Context()), in.TakeTimeout)
	defer cancel()
	answer, err := in.Intake.Take(ctx, r)
	switch {
	case errors.Is(err, ErrUnknownReceiver):
		return Answer{}, &refusal{
			code: http.StatusNotFound, cause: "unknown receiver",
			text: fmt.Sprintf("receiver %.100q is not configured: correct the URL in Alertmanager or add it to receivers:", r.Receiver),
		}
	case errors.Is(err, ErrFull):
		return Answer{}, unavailable("the store is full", err)
	case err != nil:
		return Answer{}, unavailable("not taken", err)
	}
	in.Metrics.taken(answer.Duplicate, r.Notification.Alerts)
	return answer, nil
}

// ids makes ULIDs that rise, also within a millisecond.
type ids struct{ entropy *ulid.LockedMonotonicReader }

func newIDs() *ids {
	return &ids{&ulid.LockedMonotonicReader{MonotonicReader: ulid.Monotonic(rand.Reader, 0)}}
}

func (i *ids) at(t time.Time) (string, error) {
	id, err := ulid.New(ulid.Timestamp(t), i.entropy)
	return id.String(), err
}
