package templates

import (
	"strings"

	"github.com/alertrelay/relay"
)

// rank orders severities, the worst highest. What it does not know stands between info and warning.
func rank(severity string) int {
	switch strings.ToLower(severity) {
	case "disaster", "emergency", "fatal", "critical", "crit", "page", "p0", "p1", "sev0", "sev1":
		return 5
	case "error", "err", "high", "major", "p2", "sev2":
		return 4
	case "warning", "warn", "medium", "average", "minor", "p3", "sev3":
		return 3
	case "info", "information", "informational", "notice", "low", "none", "debug", "ok", "p4", "p5", "sev4", "sev5":
		return 1
	default:
		return 2
	}
}

// mark is the sign that is seen before a word is read.
func mark(status, severity string) string {
	if status == "resolved" {
		return "✅"
	}
	switch rank(severity) {
	case 5:
		return "🔴"
	case 4:
		return "🟠"
	case 3:
		return "🟡"
	case 1:
		return "🔵"
	default:
		return "🟠"
	}
}

// markOf is the mark of an alert. What is no longer reported has neither ended nor does it fire, as far as anybody knows.
func markOf(a *relay.Alert) string {
	if a.Change == relay.ChangeGone {
		return "⚪"
	}
	return mark(a.Status, a.Severity())
}

// wecomColor is one of the three colours of WeCom's markdown.
func wecomColor(status, severity string) string {
	switch {
	case status == "resolved":
		return "info"
	case rank(severity) == 1:
		return "comment"
	default:
		return "warning"
	}
}

// hexColor is a colour for mail and Slack, dark enough for white text on it.
func hexColor(status, severity string) string {
	if status == "resolved" {
		return "#1a7f37"
	}
	switch rank(severity) {
	case 5:
		return "#c62828"
	case 3:
		return "#a35f00"
	case 1:
		return "#1565c0"
	default:
		return "#c93f13"
	}
}
