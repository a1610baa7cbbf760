package deliver

import (
	"sync"
	"sync/atomic"
)

// maxIdle is how many goroutines wait for the next job at most.
const maxIdle = 64

// A crew does jobs side by side, each in a goroutine of its own while it takes. Some goroutines stay for the next jobs:
// rendering needs a stack that a new one would have to grow first, by copying it several times.
type crew struct {
	next chan func() // to one that waits
	idle atomic.Int32
	all  sync.WaitGroup
}

func newCrew() *crew { return &crew{next: make(chan func())} }

// do starts a job; it never waits for another. Not to be called concurrently with end, or after it.
func (c *crew) do(job func()) {
	select {
	case c.next <- job:
	default:
		c.all.Go(func() { c.work(job) })
	}
}

func (c *crew) work(job func()) {
	for ok := true; ok; {
		job()
		if c.idle.Add(1) > maxIdle {
			c.idle.Add(-1)
			return
		}
		job, ok = <-c.next
		c.idle.Add(-1)
	}
}

// end waits for all jobs.
func (c *crew) end() {
	close(c.next)
	c.all.Wait()
}
