package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// The bounds of the API.
const (
	apiTimeout = 30 * time.Second
	maxIDs     = 1000
	maxAPIBody = 1 << 20
)

// An envelope is Prometheus' form of an answer.
type envelope struct {
	Status    string   `json:"status"`
	Data      any      `json:"data,omitempty"`
	ErrorType string   `json:"errorType,omitempty"`
	Error     string   `json:"error,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
}

// addAPI adds the paths of /api/v1 to a group that asks for the API's token.
func (in *wayIn) addAPI(g *gin.RouterGroup) {
	api := g.Group("/api/v1", func(c *gin.Context) { c.Header("Cache-Control", "no-store") })
	if in.Operations != nil {
		api.GET("/notifications", in.notifications)
		api.GET("/notifications/:id", in.notification)
		api.GET("/deliveries", in.deliveries)
		api.GET("/dead-letters", in.deadLetters)
		api.POST("/dead-letters/requeue", in.requeue)
		api.POST("/dead-letters/drop", in.drop)
	}
	if in.Snapshots != nil {
		api.PUT("/snapshots", in.recordSnapshots)
		api.GET("/snapshots", in.snapshots)
	}
}

// An apiCall returns the data of an answer, with warnings.
type apiCall func(ctx context.Context, c *gin.Context) (any, []string, error)

func (in *wayIn) answer(c *gin.Context, call apiCall) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), apiTimeout)
	defer cancel()
	data, warnings, err := call(ctx, c)
	if err == nil {
		c.JSON(http.StatusOK, envelope{Status: "success", Data: data, Warnings: warnings})
		return
	}
	code, kind := http.StatusServiceUnavailable, "unavailable"
	text := "the store does not answer: try again; the relay's log says why"
	wrong := (*requestError)(nil)
	switch {
	case errors.As(err, &wrong):
		code, kind, text = wrong.code, "bad_data", wrong.Error()
	case errors.Is(err, ErrBadCursor):
		code, kind, text = http.StatusBadRequest, "bad_data", `parameter "cursor": it is not one of this list`
	case errors.Is(err, ErrNotFound):
		code, kind, text = http.StatusNotFound, "not_found", "nothing is known about it, or not any more"
	case errors.Is(err, ErrFull):
		text = "the store is full: nothing was done, try again when the backlog is shorter"
	default:
		in.Logger.LogAttrs(c, slog.LevelError, "An API request failed",
			slog.String("path", c.FullPath()), slog.Any("err", err))
	}
	c.JSON(code, envelope{Status: "error", ErrorType: kind, Error: text})
}

// A requestError is about a request that can never be answered.
type requestError struct {
	code int
	text string
}

func (e *requestError) Error() string { return e.text }

func wrong(format string, args ...any) error {
	return &requestError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func (in *wayIn) notifications(c *gin.Context) { in.answer(c, in.findNotifications) }

func (in *wayIn) findNotifications(ctx context.Context, c *gin.Context) (any, []string, error) {
	p := readParameters(c.Request.URL)
	q := NotificationQuery{
		Page: p.page(), Receiver: p.text("receiver"), GroupKey: p.text("groupKey"),
		Status: p.oneOf("status", "firing", "resolved"), Since: p.time("since"), Until: p.time("until"),
	}
	if err := p.end(); err != nil {
		return nil, nil, err
	}
	rows, next, err := in.Operations.Notifications(ctx, q)
	return struct {
		Notifications []Notification `json:"notifications"`
		NextCursor    string         `json:"nextCursor,omitempty"`
	}{orEmpty(rows), next}, nil, err
}

func (in *wayIn) notification(c *gin.Context) { in.answer(c, in.findNotification) }

func (in *wayIn) findNotification(ctx context.Context, c *gin.Context) (any, []string, error) {
	if err := readParameters(c.Request.URL).end(); err != nil {
		return nil, nil, err
	}
	n, err := in.Operations.Notification(ctx, c.Param("id"))
	n.Deliveries, n.Events, n.Stored = orEmpty(n.Deliveries), orEmpty(n.Events), orEmpty(n.Stored)
	return n, nil, err
}

func (in *wayIn) deliveries(c *gin.Context) { in.answer(c, in.findDeliveries) }

func (in *wayIn) findDeliveries(ctx context.Context, c *gin.Context) (any, []string, error) {
	p := readParameters(c.Request.URL)
	q := DeliveryQuery{
		Page: p.page(), Filter: p.filter(),
		States: p.anyOf("state", "pending", "retrying", "sent", "merged", "failed"),
	}
	if err := p.end(); err != nil {
		return nil, nil, err
	}
	rows, next, err := in.Operations.Deliveries(ctx, q)
	return struct {
		Deliveries []Delivery `json:"deliveries"`
		NextCursor string     `json:"nextCursor,omitempty"`
	}{orEmpty(rows), next}, nil, err
}

func (in *wayIn) deadLetters(c *gin.Context) { in.answer(c, in.findDeadLetters) }

func (in *wayIn) findDeadLetters(ctx context.Context, c *gin.Context) (any, []string, error) {
	p := readParameters(c.Request.URL)
	q := DeadLetterQuery{Page: p.page(), Filter: p.filter(), Reason: p.text("reason")}
	if err := p.end(); err != nil {
		return nil, nil, err
	}
	rows, next, err := in.Operations.DeadLetters(ctx, q)
	return struct {
		DeadLetters []DeadLetter `json:"deadLetters"`
		NextCursor  string       `json:"nextCursor,omitempty"`
	}{orEmpty(rows), next}, nil, err
}

// An order names dead letters to requeue or to drop.
type order struct {
	IDs []string `json:"ids"`
	// Force requeues also what newer news of its group makes old.
	Force bool `json:"force"`
}

func (in *wayIn) requeue(c *gin.Context) { in.answer(c, in.orderRequeue) }

func (in *wayIn) orderRequeue(ctx context.Context, c *gin.Context) (any, []string, error) {
	o, err := readOrder(c)
	if err != nil {
		return nil, nil, err
	}
	decisions, err := in.Operations.Requeue(ctx, o.IDs, o.Force)
	done, refused, warnings := judged(decisions, "requeued")
	return struct {
		Requeued []string        `json:"requeued"`
		Refused  []refusedLetter `json:"refused"`
	}{done, refused}, warnings, err
}

func (in *wayIn) drop(c *gin.Context) { in.answer(c, in.orderDrop) }

func (in *wayIn) orderDrop(ctx context.Context, c *gin.Context) (any, []string, error) {
	o, err := readOrder(c)
	if err == nil && o.Force {
		err = wrong(`field "force": dropping needs none`)
	}
	if err != nil {
		return nil, nil, err
	}
	decisions, err := in.Operations.Drop(ctx, o.IDs)
	done, refused, warnings := judged(decisions, "dropped")
	return struct {
		Dropped []string        `json:"dropped"`
		Refused []refusedLetter `json:"refused"`
	}{done, refused}, warnings, err
}

func readOrder(c *gin.Context) (order, error) {
	var o order
	err := readJSON(c, &o, `{"ids": ["…"]}`)
	switch {
	case err != nil:
		return order{}, err
	case len(o.IDs) == 0:
		return order{}, wrong(`field "ids": name at least one dead letter`)
	case len(o.IDs) > maxIDs:
		return order{}, wrong(`field "ids": %d are more than %d`, len(o.IDs), maxIDs)
	}
	return o, nil
}

// readJSON reads the body into what it is to be. It asks for JSON by name, which a form on a page of somebody else cannot
// send.
func readJSON(c *gin.Context, into any, form string) error {
	if kind, _, err := mime.ParseMediaType(c.GetHeader("Content-Type")); err != nil || kind != "application/json" {
		return &requestError{http.StatusUnsupportedMediaType, "the body must be JSON: Content-Type: application/json"}
	}
	d := json.NewDecoder(http.MaxBytesReader(c.Writer, c.Request.Body, maxAPIBody))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if _, more := d.Token(); err == nil && !errors.Is(more, io.EOF) {
		err = errors.New("there is more after it")
	}
	switch tooLong := (*http.MaxBytesError)(nil); {
	case errors.As(err, &tooLong):
		return apiBodyTooLong()
	case errors.Is(err, os.ErrDeadlineExceeded): // the next try may have a better network
		return fmt.Errorf("read body: %w", err)
	case err != nil:
		return wrong(`the body must be %s: %s`, form, strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

func apiBodyTooLong() error {
	return &requestError{http.StatusRequestEntityTooLarge, "the body is longer than 1 MiB"}
}

// A refusedLetter stays as it is.
type refusedLetter struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
	Error  string `json:"error"`
}

// judged sorts what was done from what was refused.
func judged(decisions []Decision, what string) (done []string, refused []refusedLetter, warnings []string) {
	done, refused = []string{}, []refusedLetter{}
	for _, d := range decisions {
		if d.Reason == "" {
			done = append(done, d.ID)
		} else {
			refused = append(refused, refusedLetter{d.ID, d.Reason, d.Text})
		}
	}
	if len(refused) > 0 {
		warnings = []string{fmt.Sprintf("%d of %d dead letters were not %s", len(refused), len(decisions), what)}
	}
	return done, refused, warnings
}

// orEmpty makes no rows an empty list, not null.
func orEmpty[T any](rows []T) []T {
	if rows == nil {
		return []T{}
	}
	return rows
}
