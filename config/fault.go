package config

import (
	"cmp"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/strictyaml"
)

// A Fault is one thing wrong with a configuration, or worth a warning, at a line of a file.
type Fault struct {
	File    string
	Line    int    // from 1; 0 when it belongs to no line
	Path    string // receivers[0].slack_configs[1]; empty for the whole file
	Message string
	Warning bool
}

// String returns file, line, key path and message: config.yaml:12: receivers[0]: unknown field "nam".
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		b.WriteString(":" + strconv.Itoa(f.Line))
	}
	b.WriteString(": ")
	if f.Path != "" {
		b.WriteString(f.Path + ": ")
	}
	return b.String() + f.Message
}

// LogValue shows a fault in one line, whatever the form of the log.
func (f Fault) LogValue() slog.Value { return slog.StringValue(f.String()) }

// An Error is all that is wrong with a configuration, in the order of the file.
type Error struct{ Faults []Fault }

// Error returns one line for each fault.
func (e *Error) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// report sorts what decoding and validation found into warnings and the error, which is nil when there are only those.
func (c *Config) report(decoding []strictyaml.Fault, validation []fault.Fault) (warnings []Fault, err error) {
	var all []Fault
	for _, f := range decoding {
		all = append(all, Fault{File: c.file, Line: f.Line, Path: f.Path, Message: c.redact(f.Message)})
	}
	for _, f := range validation {
		all = append(all, Fault{
			File: c.file, Line: c.line(f.Path), Path: f.Path, Message: c.redact(f.Message), Warning: f.Warning,
		})
	}
	slices.SortStableFunc(all, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })

	var wrong []Fault
	seen := make(map[Fault]bool)
	for _, f := range all {
		switch {
		case seen[f]:
		case f.Warning:
			warnings = append(warnings, f)
		default:
			wrong = append(wrong, f)
		}
		seen[f] = true
	}
	if len(wrong) > 0 {
		return warnings, &Error{wrong}
	}
	return warnings, nil
}

// redact takes the configuration's own secrets out of a message, whoever wrote it.
func (c *Config) redact(message string) string {
	for _, s := range c.secrets {
		message = strings.ReplaceAll(message, s, "<secret>")
	}
	return message
}
