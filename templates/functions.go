package templates

import (
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"time"
)

// functions are ours, beside Alertmanager's. They read l when they are called, so l may be filled in later.
func (l *language) functions() map[string]any {
	functions := map[string]any{
		"word":         func(key string, args ...any) (string, error) { return l.words.word(key, args...) },
		"severityWord": func(severity string) string { return l.words.severity(severity) },
		"duration":     func(d time.Duration) string { return l.words.duration(d) },
		"localTime":    func(t time.Time) string { return t.In(l.zone).Format("2006-01-02 15:04:05 MST") },
		"locale":       func() string { return l.locale },

		"mark":       mark,
		"wecomColor": wecomColor,
		"hexColor":   hexColor,

		"humanize":           humanize,
		"humanize1024":       humanize1024,
		"humanizePercentage": humanizePercentage,

		"clean":   clean,
		"oneLine": oneLine,
		"cut":     cut,
		"short":   short,
		"httpURL": httpURL,
		"origin":  origin,
		"client":  client,

		"plain":        plain,
		"mdDingTalk":   mdDingTalk,
		"mdWeCom":      mdWeCom,
		"mdWeComV2":    mdWeComV2,
		"mrkdwn":       mrkdwn,
		"linkDingTalk": linkDingTalk,
		"linkWeCom":    linkWeCom,
		"linkWeComV2":  linkWeComV2,
		"linkSlack":    linkSlack,

		"default":   func(fallback, s string) string { return orElse(s, fallback) },
		"contains":  func(part, s string) bool { return strings.Contains(s, part) },
		"hasPrefix": func(prefix, s string) bool { return strings.HasPrefix(s, prefix) },
		"hasSuffix": func(suffix, s string) bool { return strings.HasSuffix(s, suffix) },
	}
	maps.Copy(functions, new(run).functions(l))
	return functions
}

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// clock is a time as short as it can be told: without the date when it was today.
func clock(zone *time.Location, now, t time.Time) string {
	t, now = t.In(zone), now.In(zone)
	switch {
	case t.Year() != now.Year():
		return t.Format("2006-01-02 15:04 MST")
	case t.YearDay() != now.YearDay():
		return t.Format("01-02 15:04 MST")
	default:
		return t.Format("15:04 MST")
	}
}

// span is a stretch of time as short as it can be told: the zone once, the date of its end only when it is another day.
func span(zone *time.Location, now, start, end time.Time) string {
	if end.IsZero() {
		return clock(zone, now, start)
	}
	from, to := start.In(zone), end.In(zone)
	short := "15:04 MST"
	if from.Year() != to.Year() || from.YearDay() != to.YearDay() {
		short = "01-02 15:04 MST"
	}
	begin := clock(zone, now, start)
	return strings.TrimSuffix(begin, from.Format(" MST")) + " – " + to.Format(short)
}

// humanize is a number with a metric prefix and four significant digits, as in Prometheus' templates.
func humanize(v any) (string, error) {
	n, err := number(v)
	if err != nil || n == 0 || math.IsNaN(n) || math.IsInf(n, 0) {
		return fmt.Sprintf("%.4g", n), err
	}
	prefixes := []string{"", "k", "M", "G", "T", "P", "E", "Z", "Y"}
	if math.Abs(n) < 1 {
		prefixes = []string{"", "m", "u", "n", "p", "f", "a", "z", "y"}
		i := 0
		for math.Abs(n) < 1 && i < len(prefixes)-1 {
			n *= 1000
			i++
		}
		return fmt.Sprintf("%.4g%s", n, prefixes[i]), nil
	}
	return scaled(n, 1000, prefixes), nil
}

// humanize1024 is humanize with binary prefixes.
func humanize1024(v any) (string, error) {
	n, err := number(v)
	if err != nil || math.Abs(n) <= 1 || math.IsNaN(n) || math.IsInf(n, 0) {
		return fmt.Sprintf("%.4g", n), err
	}
	return scaled(n, 1024, []string{"", "ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"}), nil
}

func scaled(n, base float64, prefixes []string) string {
	i := 0
	for math.Abs(n) >= base && i < len(prefixes)-1 {
		n /= base
		i++
	}
	return fmt.Sprintf("%.4g%s", n, prefixes[i])
}

// humanizePercentage is a ratio as a percentage with four significant digits.
func humanizePercentage(v any) (string, error) {
	n, err := number(v)
	return fmt.Sprintf("%.4g%%", n*100), err
}

// number reads what templates hold as numbers: strings of annotations, results of len.
func number(v any) (float64, error) {
	switch v := v.(type) {
	case float64:
		return v, nil
	case int:
		return float64(v), nil
	case int64:
		return float64(v), nil
	case uint64:
		return float64(v), nil
	case time.Duration:
		return v.Seconds(), nil
	case string:
		n, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		if err != nil {
			return 0, fmt.Errorf("%q is no number", v)
		}
		return n, nil
	default:
		return 0, fmt.Errorf("%T is no number", v)
	}
}
