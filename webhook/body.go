package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/sync/semaphore"
)

const (
	// maxBody bounds one webhook: about 20,000 alerts. Alertmanager sets no bound of its own.
	maxBody = 10 << 20
	// maxBigBodies bounds the bytes of all bodies that are not yet answered, those up to smallBody not counted. What is
	// made of a body takes several times its size.
	maxBigBodies = 32 << 20
	// maxBigRecords bounds the bytes of snapshots in the same way. They have room of their own, so that no application
	// takes that of webhooks.
	maxBigRecords = 8 << 20
	smallBody     = 64 << 10
)

// A body is a webhook's. It counts against maxBigBodies until it is released, when its notification is taken.
type body struct {
	bytes   []byte
	release func()
}

// read reads the body within its bounds of size and time, and of memory for all.
func (in *wayIn) read(c *gin.Context) (body, error) {
	r := c.Request
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		c.Header("Accept-Encoding", "identity")
		return body{}, &refusal{
			code: http.StatusUnsupportedMediaType, cause: "encoded body",
			text: "the body is compressed (Content-Encoding): send it as it is",
		}
	}
	deadline := time.Now().Add(in.ReadTimeout)
	connection := http.NewResponseController(c.Writer)
	// Not every writer has deadlines; those of net/http have.
	_ = connection.SetReadDeadline(deadline)
	if r.ContentLength > maxBody {
		return body{}, in.tooLarge(r)
	}

	release, err := admit(r, in.bigBodies, maxBody, deadline)
	if err != nil {
		return body{}, err
	}
	b, err := readUpTo(r.Body, r.ContentLength)
	switch {
	case err == nil: // the deadline stays for bodies that are not read to their end: net/http reads on in them
		_ = connection.SetReadDeadline(time.Time{})
	case errors.Is(err, errTooLarge):
		release()
		return body{}, in.tooLarge(r)
	case err != nil: // too slow, cut off, or gone: the next try may have a better network
		release()
		c.Header("Connection", "close")
		return body{}, unavailable("body not read", fmt.Errorf("read body: %w", err))
	}
	return body{b, release}, nil
}

// admit waits until there is room for another big body; one that does not say its length takes the most it may have.
func admit(
	r *http.Request, room *semaphore.Weighted, most int64, deadline time.Time,
) (release func(), err error) {
	size := r.ContentLength
	switch {
	case size < 0:
		size = most
	case size <= smallBody:
		return func() {}, nil
	}
	ctx, cancel := context.WithDeadline(r.Context(), deadline)
	defer cancel()
	if err := room.Acquire(ctx, size); err != nil {
		return nil, unavailable("too many big bodies", errors.New("too many big bodies at one time"))
	}
	return func() { room.Release(size) }, nil
}

var errTooLarge = errors.New("body too large")

// readUpTo reads at most maxBody; size is what is announced, negative when nothing is.
func readUpTo(r io.Reader, size int64) ([]byte, error) {
	if size >= 0 {
		b := make([]byte, size)
		_, err := io.ReadFull(r, b)
		return b, err
	}
	b, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	if err == nil && len(b) > maxBody {
		err = errTooLarge
	}
	return b, err
}

// tooLarge refuses a body. It reads on for a while, so that a sender that is still writing comes to see the answer.
func (in *wayIn) tooLarge(r *http.Request) error {
	_, _ = io.CopyN(io.Discard, r.Body, 2*maxBody)
	return &refusal{
		code: http.StatusRequestEntityTooLarge, cause: "too large",
		text: fmt.Sprintf("the body is larger than %d MiB: set max_alerts in Alertmanager's webhook_config", maxBody>>20),
	}
}
