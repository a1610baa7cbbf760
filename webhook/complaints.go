package webhook

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"
)

const (
	// complaintPause is how long a refusal is not logged again: Alertmanager repeats a refused webhook until it is mended.
	complaintPause = time.Minute
	// maxComplaints bounds the refusals remembered, and so the lines logged in complaintPause.
	maxComplaints = 64
)

// complaints logs refused requests, each cause at each path once in complaintPause, with how often it came since. It is
// safe for concurrent use.
type complaints struct {
	logger *slog.Logger
	now    func() time.Time

	mu   sync.Mutex
	seen map[grievance]*complaint
}

// A grievance is what is logged only once.
type grievance struct{ cause, path string }

type complaint struct {
	logged time.Time
	more   int // times since
}

func (c *complaints) log(ctx context.Context, level slog.Level, what grievance, attrs ...slog.Attr) {
	more, due := c.due(what)
	if !due {
		return
	}
	attrs = append(attrs, slog.String("reason", what.cause), slog.String("path", what.path))
	if more > 0 {
		attrs = append(attrs, slog.Int("not_logged_before", more))
	}
	c.logger.LogAttrs(ctx, level, "Refused a request", attrs...)
}

// due reports whether what is to be logged now, and how often it was not since the last time.
func (c *complaints) due(what grievance) (more int, due bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	last := c.seen[what]
	if last != nil && now.Sub(last.logged) < complaintPause {
		last.more++
		return 0, false
	}
	if last != nil {
		more = last.more
	} else if !c.room(now) {
		return 0, false
	}
	c.seen[what] = &complaint{logged: now}
	return more, true
}

// room reports whether one more can be remembered. It forgets what came long ago.
func (c *complaints) room(now time.Time) bool {
	if c.seen == nil {
		c.seen = map[grievance]*complaint{}
	}
	if len(c.seen) >= maxComplaints {
		maps.DeleteFunc(c.seen, func(_ grievance, old *complaint) bool { return now.Sub(old.logged) >= complaintPause })
	}
	return len(c.seen) < maxComplaints
}
