package redis

import (
	"sync/atomic"
	"time"
)

// A serverClock is about what the server's clock shows, for what need not be exact. Its zero value does not know.
type serverClock struct{ ahead atomic.Pointer[time.Duration] }

// set notes what it showed at a time of this process.
func (c *serverClock) set(server, here time.Time) {
	ahead := server.Sub(here)
	c.ahead.Store(&ahead)
}

// now tells what it shows at a time of this process, and whether that is known.
func (c *serverClock) now(here time.Time) (time.Time, bool) {
	ahead := c.ahead.Load()
	if ahead == nil {
		return time.Time{}, false
	}
	return here.Add(*ahead), true
}
