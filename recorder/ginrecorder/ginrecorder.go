// Package ginrecorder lets a recorder watch the requests of a gin router:
//
//	router.Use(gin.Recovery(), otelgin.Middleware("pay"), ginrecorder.New(rec))
//
// It needs gin and no other module, not even the recorder's, so that the two can be of different versions.
package ginrecorder

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// A Recorder is what looks at a request that has ended: *recorder.Recorder.
type Recorder interface {
	Observe(req *http.Request, status int, took time.Duration)
}

// New returns the middleware. Parameters of the route are path values of the request that the recorder gets:
//
//	Room: func(r *http.Request) string { return r.PathValue("room") },
//
// A panic goes on as it came, so gin.Recovery may stand before it or after it.
func New(rec Recorder) gin.HandlerFunc {
	return func(c *gin.Context) {
		began := time.Now()
		defer func() {
			took := time.Since(began)
			cause := recover()
			for _, p := range c.Params {
				c.Request.SetPathValue(p.Key, p.Value)
			}
			switch {
			case cause == http.ErrAbortHandler: //nolint:errorlint // net/http compares it so
			case cause != nil:
				rec.Observe(c.Request, http.StatusInternalServerError, took)
			case c.IsWebsocket():
				rec.Observe(c.Request, c.Writer.Status(), 0) // a long connection is not a slow one
			default:
				rec.Observe(c.Request, c.Writer.Status(), took)
			}
			if cause != nil {
				panic(cause)
			}
		}()
		c.Next()
	}
}
