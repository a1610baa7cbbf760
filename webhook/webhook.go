// Package webhook is the way in: HTTP, authentication, limits, decoding, and the answer. It is the first stage on the path
// of a notification and hands each one to the Intake, which makes it durable.
//
// Promise: 200 is answered only after that, and whatever a retry can mend is answered with 503, because Alertmanager
// repeats a 5xx at once and a 4xx (429 too) only at the next group_interval, when the alert may be gone. Never a redirect:
// Alertmanager follows one with an empty GET and takes its 200 for delivery. docs/reference/http.md lists the answers.
package webhook

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/semaphore"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/wire"
)

// An Intake takes notifications. It may be called concurrently.
type Intake interface {
	// Take makes a notification durable, or recognises it as a duplicate of one that is. Its context ends when the sender
	// has waited long enough, not when the sender goes away: what was begun is finished. Errors are ErrUnknownReceiver,
	// or anything that a retry may mend.
	Take(ctx context.Context, r Request) (Answer, error)
}

// ErrUnknownReceiver means that the receiver in the path is not configured.
var ErrUnknownReceiver = errors.New("unknown receiver")

// A Request is a webhook that was read and found right.
type Request struct {
	// Notification has its ID and ReceivedAt. The rest of the relay's own fields is empty, whatever the body said.
	Notification *relay.Notification
	// Path is where it was sent, for the dedupe slot and the history: /webhook or /webhook/{receiver}, unescaped, with
	// ?room_id= when that was given, because another room is another destination.
	Path string
	// Receiver is the one in the path; empty for the routing tree.
	Receiver string
	// Snapshot is what the request says about itself: its trace and its client.
	Snapshot relay.Snapshot
	// Room is its ?room_id=.
	Room string
}

// An Answer is what became of a Request.
type Answer struct {
	// ID is the notification's, or that of the first copy.
	ID        string
	Duplicate bool
}

// Options are what a handler is made of.
type Options struct {
	Intake Intake
	Auth   Auth
	// Ready says why the relay cannot take notifications now; nil means that it always can.
	Ready func() error
	// Reload reads the configuration again; nil means that /-/reload does not exist. Its error is shown to the caller.
	Reload func(ctx context.Context) error
	// Operations and Snapshots are behind /api/v1; what is nil does not exist there.
	Operations Operations
	Snapshots  Snapshots
	// Metrics are kept over reloads; Gatherer is what /metrics shows, nil nothing.
	Metrics  *Metrics
	Gatherer prometheus.Gatherer
	Logger   *slog.Logger
	// ReadTimeout bounds the reading of a body (default 10s), TakeTimeout the call of the Intake (default 5s): together
	// they stay below the 15 s after which a second Alertmanager sends its copy.
	ReadTimeout, TakeTimeout time.Duration
}

// Defaults of Options.
const (
	DefaultReadTimeout = 10 * time.Second
	DefaultTakeTimeout = 5 * time.Second
)

// New returns the handler of all paths.
func New(o Options) http.Handler {
	if o.ReadTimeout == 0 {
		o.ReadTimeout = DefaultReadTimeout
	}
	if o.TakeTimeout == 0 {
		o.TakeTimeout = DefaultTakeTimeout
	}
	in := &wayIn{
		Options:    o,
		complaints: &complaints{logger: o.Logger, now: time.Now},
		ids:        newIDs(),
		bigBodies:  semaphore.NewWeighted(maxBigBodies),
		bigRecords: semaphore.NewWeighted(maxBigRecords),
		readers:    sync.Pool{New: func() any { return new(wire.Reader) }},
	}

	engine := newEngine()
	engine.NoRoute(in.noRoute)
	engine.NoMethod(in.noMethod)
	engine.POST("/webhook", in.receive)
	engine.POST("/webhook/:receiver", in.receive)
	probes(engine, o.Ready)
	if o.Gatherer != nil {
		engine.GET("/metrics", gin.WrapH(promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{EnableOpenMetrics: true})))
	}
	operator := engine.Group("", in.requireAPI)
	if o.Reload != nil {
		operator.POST("/-/reload", in.reload)
		operator.PUT("/-/reload", in.reload)
	}
	in.addAPI(operator)
	operator.GET("/debug/pprof/*name", profile)
	return engine
}

// Public returns the handler of the listener without authentication: health only.
func Public(ready func() error) http.Handler {
	engine := newEngine()
	probes(engine, ready)
	return engine
}

// newEngine returns gin without what rewrites paths: a redirected webhook is a lost one.
func newEngine() *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.RedirectTrailingSlash = false
	engine.RedirectFixedPath = false
	engine.HandleMethodNotAllowed = true
	engine.UseEscapedPath = true      // always as it was sent, so that a name is unescaped exactly once;
	engine.UnescapePathValues = false // gin would turn its plus into a space: receive unescapes it
	return engine
}

// wayIn is what the handlers share.
type wayIn struct {
	Options
	complaints *complaints
	ids        *ids
	bigBodies  *semaphore.Weighted // bytes of webhooks
	bigRecords *semaphore.Weighted // bytes of snapshots
	readers    sync.Pool           // of *wire.Reader
}
