package route

import (
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/alertmanager/matcher/parse"
	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
)

// Config is a node of the tree, route: of the configuration, in Alertmanager's keys. Grouping and times are not among
// them: Alertmanager did that before the relay saw the notification.
type Config struct {
	// Receiver takes what no child takes; default: the parent's.
	Receiver string `yaml:"receiver,omitempty"`
	// Matchers must all match, in Alertmanager's syntax. They see the alert's labels, and its routing room as room_id.
	Matchers []string `yaml:"matchers,omitempty"`
	// Match and MatchRE are Alertmanager's older form of Matchers: label and value, label and regular expression.
	Match   map[string]string `yaml:"match,omitempty"`
	MatchRE map[string]string `yaml:"match_re,omitempty"`
	// Continue lets the siblings after this node see the alert too.
	Continue bool     `yaml:"continue,omitempty"`
	Routes   []Config `yaml:"routes,omitempty"`
}

// Validate adds what is wrong with the tree. receivers are the names that exist.
func (c *Config) Validate(f *fault.List, receivers map[string]bool) {
	if c.Receiver == "" {
		f.In("receiver").Addf("is required: the root route takes what no other route takes")
	}
	if len(c.Matchers)+len(c.Match)+len(c.MatchRE) > 0 {
		f.Addf("the root route must not have any matchers: it takes what no other route takes")
	}
	if c.Continue {
		f.In("continue").Addf("the root route has no siblings to continue with")
	}
	c.validate(f, receivers)
}

func (c *Config) validate(f *fault.List, receivers map[string]bool) {
	if c.Receiver != "" && !receivers[c.Receiver] {
		f.In("receiver").Addf("receiver %q is not in receivers:", c.Receiver)
	}
	ValidateMatchers(c.Matchers, f.In("matchers"))
	for _, name := range slices.Sorted(maps.Keys(c.MatchRE)) {
		if _, err := labels.NewMatcher(labels.MatchRegexp, name, c.MatchRE[name]); err != nil {
			f.In("match_re").In(name).Addf("%s", err)
		}
	}
	if len(c.Match) > 0 {
		f.In("match").Warnf("is deprecated in Alertmanager: use matchers")
	}
	if len(c.MatchRE) > 0 {
		f.In("match_re").Warnf("is deprecated in Alertmanager: use matchers")
	}
	for i := range c.Routes {
		c.Routes[i].validate(f.In("routes").Item(i), receivers)
	}
}

// ValidateMatchers adds what is wrong with a list of matchers. The list is at their key.
func ValidateMatchers(lines []string, f *fault.List) {
	for i, line := range lines {
		if _, doubt, err := parseMatchers(line); err != nil {
			f.Item(i).Addf("%s", err)
		} else if doubt != "" {
			f.Item(i).Warnf("%s", doubt)
		}
	}
}

// NewMatchers compiles a list of matchers that ValidateMatchers found no fault with. What it returns reports whether an
// alert fits them all, seen as a route sees it, and may be called concurrently.
func NewMatchers(lines []string) (func(*relay.Alert) bool, error) {
	c := Config{Matchers: lines}
	matchers, err := c.matchers()
	return func(a *relay.Alert) bool { return fit(matchers, a) }, err
}

// matchers compiles the three forms.
func (c *Config) matchers() (labels.Matchers, error) {
	var all labels.Matchers
	for name, value := range c.Match {
		m, err := labels.NewMatcher(labels.MatchEqual, name, value)
		if err != nil {
			return nil, fault.At("match."+name, err)
		}
		all = append(all, m)
	}
	for name, value := range c.MatchRE {
		m, err := labels.NewMatcher(labels.MatchRegexp, name, value)
		if err != nil {
			return nil, fault.At("match_re."+name, err)
		}
		all = append(all, m)
	}
	for i, line := range c.Matchers {
		ms, _, err := parseMatchers(line)
		if err != nil {
			return nil, fault.At(fmt.Sprintf("matchers[%d]", i), err)
		}
		all = append(all, ms...)
	}
	return all, nil
}

// parseMatchers reads a line as Alertmanager does in its default mode: by the newer parser, and by the classic one where
// only that can read it or where they disagree. In both cases doubt says what to write instead.
func parseMatchers(line string) (matchers labels.Matchers, doubt string, err error) {
	newer, err := parse.Matchers(line)
	classic, classicErr := labels.ParseMatchers(line)
	switch reading := labels.Matchers(classic).String(); {
	case err == nil && (classicErr != nil || newer.String() == reading):
		return newer, "", nil //nolint:nilerr // only the classic parser refuses it
	case err == nil:
		return classic, fmt.Sprintf("is read as %s, as Alertmanager does; write it so to be clear", reading), nil
	case classicErr == nil:
		return classic, "only the classic syntax allows this; write " + reading, nil
	default:
		return nil, "", err
	}
}
