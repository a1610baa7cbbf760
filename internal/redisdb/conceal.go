package redisdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/alertrelay/relay/internal/secret"
)

// A concealer keeps passwords out of what is printed. A proxy that does not know HELLO or AUTH repeats their arguments in
// its error.
type concealer struct {
	mu     sync.Mutex
	values []string // the last few: a file may have been rotated
}

// reveal reads a password, and knows it from then on.
func (c *concealer) reveal(v secret.Value) (string, error) {
	text, err := v.Reveal()
	if err != nil || text == "" {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.values, text) {
		c.values = append(c.values, text)
		c.values = c.values[max(0, len(c.values)-4):]
	}
	return text, nil
}

// text returns s without passwords.
func (c *concealer) text(s string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range c.values {
		s = strings.ReplaceAll(s, v, "<secret>")
	}
	return s
}

// error returns err, or another in its place when it shows a password.
func (c *concealer) error(err error) error {
	if text := c.text(err.Error()); text != err.Error() {
		return errors.New(text)
	}
	return err
}

// logging gives what go-redis prints to the log. While a server is down it prints a line for each failed try, so these are
// for debugging.
type logging struct {
	logger  *slog.Logger
	conceal *concealer
}

// Printf logs one line.
func (l logging) Printf(ctx context.Context, format string, v ...any) {
	if l.logger.Enabled(ctx, slog.LevelDebug) {
		l.logger.DebugContext(ctx, "Client of Redis", "detail", l.conceal.text(fmt.Sprintf(format, v...)))
	}
}
