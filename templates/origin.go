package templates

import (
	"strings"

	"github.com/alertrelay/relay"
)

// What the webhook request says about itself is its sender's: Alertmanager's trace, and seldom that of a customer. A
// message names it by other words than the context of the alert, and Alertmanager's name it does not show at all.

// origin is the key of the word for a trace or a client, as key names it: another one when it is the sender's.
func origin(key string, s relay.Snapshot) string {
	field := "trace_id"
	if key == "client" {
		field = "user_agent"
	}
	if s.Sources[field] == relay.SourceRequest {
		return key + "_webhook"
	}
	return key
}

// client is whose device, client or service it was; empty when all that is known is that Alertmanager sent the webhook.
func client(s relay.Snapshot) string {
	if s.Sources["user_agent"] == relay.SourceRequest && strings.HasPrefix(s.UserAgent, "Alertmanager/") {
		return ""
	}
	return s.UserAgent
}
