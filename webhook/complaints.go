package webhook

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// complaintPause is how long a cause is not logged again: Alertmanager repeats a refused webhook until it is mended.
	complaintPause = time.Minute
	// maxComplaints bounds the causes remembered. It is above the number of causes there are.
	maxComplaints = 64
)

// complaints logs refused requests, each cause once in complaintPause, with how often it came since. It is safe for concurrent use.
type complaints struct {
	logger *slog.Logger
	now    func() time.Time

	mu   sync.Mutex
	seen map[string]*complaint
}

type complaint struct {
	logged time.Time
	more   int // times since
}

func (c *complaints) log(ctx context.Context, level slog.Level, cause string, attrs ...slog.Attr) {
	more, due := c.due(cause)
	if !due {
		return
	}
	attrs = append(attrs, slog.String("reason", cause))
	if more > 0 {
		attrs = append(attrs, slog.Int("not_logged_before", more))
	}
	c.logger.LogAttrs(ctx, level, "Refused a request", attrs...)
}

// due reports whether cause is to be logged now, and how often it was not since the last time.
func (c *complaints) due(cause string) (more int, due bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	last := c.seen[cause]
	switch {
	case last == nil && len(c.seen) >= maxComplaints:
		return 0, false
	case last == nil:
		if c.seen == nil {
			c.seen = map[string]*complaint{}
		}
		c.seen[cause] = &complaint{logged: now}
		return 0, true
	case now.Sub(last.logged) < complaintPause:
		last.more++
		return 0, false
	default:
		more = last.more
		*last = complaint{logged: now}
		return more, true
	}
}
