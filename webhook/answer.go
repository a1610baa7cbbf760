package webhook

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// retryAfter is for senders that read Retry-After. Alertmanager does not: it comes again after half a second.
const retryAfter = "5"

// A refusal is an answer other than 200.
type refusal struct {
	code int
	// cause names the kind of fault in constant words: log lines of one cause are held back for a while.
	cause string
	// text is the answer; Alertmanager prints it in its log. It never holds a secret.
	text string
	// err is for the relay's own log.
	err error
}

// Error returns the text of the answer.
func (r *refusal) Error() string { return r.text }

// Unwrap returns what only the relay's log shows.
func (r *refusal) Unwrap() error { return r.err }

// badRequest is a webhook that can never be taken.
func badRequest(cause, text string) error {
	return &refusal{code: http.StatusBadRequest, cause: cause, text: text}
}

// unavailable is what a retry can mend.
func unavailable(cause string, err error) error {
	return &refusal{
		code: http.StatusServiceUnavailable, cause: cause,
		text: cause + ": send it again; the relay's log says why", err: err,
	}
}

// accept answers a webhook that is durable.
func (in *wayIn) accept(c *gin.Context, answer Answer) {
	status := "accepted"
	if answer.Duplicate {
		status = "duplicate"
	}
	c.JSON(http.StatusOK, struct {
		Status string `json:"status"`
		ID     string `json:"id"`
	}{status, answer.ID})
}

// refuse answers and logs err, and returns the code it answered with.
func (in *wayIn) refuse(c *gin.Context, err error) int {
	var r *refusal
	if !errors.As(err, &r) {
		errors.As(unavailable("internal error", err), &r)
	}
	switch r.code {
	case http.StatusServiceUnavailable:
		c.Header("Retry-After", retryAfter)
	case http.StatusUnauthorized:
		c.Header("WWW-Authenticate", `Bearer realm="relay"`)
	}
	c.AbortWithStatusJSON(r.code, struct {
		Status string `json:"status"`
		Error  string `json:"error"`
	}{"error", r.text})

	level, why := slog.LevelWarn, r.text
	if r.err != nil {
		level, why = slog.LevelError, r.err.Error()
	}
	sender, _, _ := net.SplitHostPort(c.Request.RemoteAddr)
	in.complaints.log(c, level, grievance{r.cause, fmt.Sprintf("%.100s", c.Request.URL.Path)},
		slog.Int("code", r.code), slog.String("err", why), slog.String("method", c.Request.Method),
		slog.String("sender", sender))
	return r.code
}

func (in *wayIn) noRoute(c *gin.Context) {
	in.refuseUncommon(c, &refusal{
		code: http.StatusNotFound, cause: "no such path",
		text: "no such path: webhooks go to /webhook or /webhook/{receiver}, without a slash at the end",
	})
}

// noMethod finds Allow set by gin.
func (in *wayIn) noMethod(c *gin.Context) {
	in.refuseUncommon(c, &refusal{
		code: http.StatusMethodNotAllowed, cause: "wrong method",
		text: "wrong method: this path takes " + c.Writer.Header().Get("Allow"),
	})
}

func (in *wayIn) refuseUncommon(c *gin.Context, r *refusal) {
	began := time.Now()
	in.Metrics.answered(in.refuse(c, r), time.Since(began))
}
