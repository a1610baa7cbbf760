package config

import (
	"fmt"
	"strings"
)

// elsewhere explains keys that a reader of Alertmanager's documentation has reason to expect.
func elsewhere(_, key string) string {
	switch key {
	case "group_by", "group_wait", "group_interval", "repeat_interval", "resolve_timeout",
		"inhibit_rules", "time_intervals", "mute_time_intervals", "active_time_intervals":
		return fmt.Sprintf("%q does not belong here: Alertmanager does this", key)
	case "webhook_configs", "pagerduty_configs", "opsgenie_configs", "victorops_configs", "pushover_configs",
		"sns_configs", "telegram_configs", "discord_configs", "webex_configs", "msteams_configs",
		"msteamsv2_configs", "jira_configs", "rocketchat_configs", "incidentio_configs", "mattermost_configs":
		name, _ := strings.CutSuffix(key, "_configs")
		return fmt.Sprintf("%q does not belong here: Alertmanager itself sends to %s", key, name)
	}
	return ""
}
