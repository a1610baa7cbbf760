package outboxtest_test

import (
	"testing"
	"time"

	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/outboxtest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	outboxtest.Run(t, func(_ *testing.T, now func() time.Time) outbox.Store { return outboxtest.NewMemory(now) })
}
