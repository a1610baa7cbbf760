package ginrecorder_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/alertrelay/relay/recorder/ginrecorder"
)

// watch is a Recorder that writes down what it sees.
type watch struct {
	room   string
	status int
	took   time.Duration
	calls  int
}

func (w *watch) Observe(req *http.Request, status int, took time.Duration) {
	*w = watch{req.PathValue("room"), status, took, w.calls + 1}
}

func TestNew(t *testing.T) {
	gin.SetMode(gin.TestMode)
	for _, tc := range []struct {
		name          string
		header        http.Header
		handler       gin.HandlerFunc
		status, calls int
	}{
		{"200", nil, func(c *gin.Context) { c.String(http.StatusOK, "ok") }, 200, 1},
		{"502", nil, func(c *gin.Context) { c.AbortWithStatus(http.StatusBadGateway) }, 502, 1},
		{"a panic", nil, func(*gin.Context) { panic("oh") }, 500, 1},
		{"given up on purpose", nil, func(*gin.Context) { panic(http.ErrAbortHandler) }, 0, 0},
		{
			"a WebSocket",
			http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}},
			func(c *gin.Context) { c.Status(http.StatusSwitchingProtocols) }, 101, 1,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			seen := &watch{}
			var cause any
			router := gin.New()
			router.Use(func(c *gin.Context) {
				defer func() {
					if cause = recover(); cause != nil {
						c.Abort()
					}
				}()
				c.Next()
			}, ginrecorder.New(seen))
			router.GET("/rooms/:room", tc.handler)
			req := httptest.NewRequest(http.MethodGet, "/rooms/10086", nil)
			req.Header = tc.header
			router.ServeHTTP(httptest.NewRecorder(), req)
			if seen.calls != tc.calls || seen.status != tc.status || tc.calls > 0 && seen.room != "10086" {
				t.Errorf("got %+v", *seen)
			}
			if (seen.took == 0) != (tc.header != nil || tc.calls == 0) {
				t.Errorf("got a time of %s", seen.took)
			}
			if panics := tc.name == "a panic" || tc.name == "given up on purpose"; panics != (cause != nil) {
				t.Errorf("the panic that went on: %v", cause)
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	gin.SetMode(gin.ReleaseMode)
	for _, bc := range []struct {
		name    string
		handler []gin.HandlerFunc
	}{
		{"without", nil},
		{"with", []gin.HandlerFunc{ginrecorder.New(&watch{})}},
	} {
		b.Run(bc.name, func(b *testing.B) {
			router := gin.New()
			router.GET("/rooms/:room", append(bc.handler, func(c *gin.Context) { c.Status(http.StatusOK) })...)
			req := httptest.NewRequest(http.MethodGet, "/rooms/10086", nil)
			w := httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				router.ServeHTTP(w, req)
			}
		})
	}
}
