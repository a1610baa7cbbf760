package webhook

import (
	"log/slog"
	"net/http"
	"net/http/pprof"

	"github.com/gin-gonic/gin"
)

// probes adds the paths that say how the relay is. They ask for no token: those who probe have none.
func probes(engine *gin.Engine, ready func() error) {
	healthy := func(c *gin.Context) { c.String(http.StatusOK, "The relay is healthy.\n") }
	isReady := func(c *gin.Context) {
		if ready != nil {
			if err := ready(); err != nil {
				c.String(http.StatusServiceUnavailable, "The relay is not ready: %s.\n", err)
				return
			}
		}
		c.String(http.StatusOK, "The relay is ready.\n")
	}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		engine.Handle(method, "/-/healthy", healthy)
		engine.Handle(method, "/-/ready", isReady)
	}
}

// reload reads the configuration again. A bad one leaves the old one in force, and its faults are the answer.
func (in *wayIn) reload(c *gin.Context) {
	if err := in.Reload(c.Request.Context()); err != nil {
		in.Logger.LogAttrs(c, slog.LevelError, "Reload refused", slog.Any("err", err))
		c.String(http.StatusInternalServerError, "The configuration was not reloaded: %s\n", err)
		return
	}
	c.String(http.StatusOK, "The configuration was reloaded.\n")
}

// profile shows how the process spends its time and memory.
func profile(c *gin.Context) {
	handle := pprof.Index // the list, and most profiles by their name
	switch c.Param("name") {
	case "/cmdline":
		handle = pprof.Cmdline
	case "/profile":
		handle = pprof.Profile
	case "/symbol":
		handle = pprof.Symbol
	case "/trace":
		handle = pprof.Trace
	}
	handle(c.Writer, c.Request)
}
