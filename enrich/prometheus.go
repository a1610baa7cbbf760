package enrich

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/template"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/httpclient"
)

// maxPrometheusAnswer bounds an answer of Prometheus, in bytes.
const maxPrometheusAnswer = 4 << 20

// errBadExpression says that Prometheus cannot read an expression, such as one that another system has written.
var errBadExpression = errors.New("bad expression")

// A prometheusAPI is a Prometheus, or what answers like one.
type prometheusAPI struct {
	client *http.Client
	url    string
}

// exemplars asks for the exemplars of all series in an expression, and returns the best of them, best first:
// https://prometheus.io/docs/prometheus/latest/querying/api/#querying-exemplars
func (p prometheusAPI) exemplars(ctx context.Context, expression string, start, end time.Time) ([]exemplar, error) {
	form := url.Values{"query": {expression}, "start": {seconds(start)}, "end": {seconds(end)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/api/v1/query_exemplars", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("query exemplars: %w", httpclient.Redact(err))
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var series []exemplarSeries
	if err := p.do(req, &series); err != nil {
		return nil, fmt.Errorf("query exemplars: %w", err)
	}
	return bestFirst(series), nil
}

// How recordings are named by Prometheus' convention: level:metric:operations.
var (
	recordedName = regexp.MustCompile(`(?:[a-zA-Z_][a-zA-Z0-9_]*)?:[a-zA-Z0-9_:]*`)
	// notAName is where a colon means something else: a text, or the step of a subquery.
	notAName = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\[[^\]]*\]`)
)

// recorded returns the expressions behind the recorded series in an expression, as one; empty when there are none, or when
// Prometheus does not tell its rules:
// https://prometheus.io/docs/prometheus/latest/querying/api/#rules
func (p prometheusAPI) recorded(ctx context.Context, expression string) string {
	names := recordedName.FindAllString(notAName.ReplaceAllString(expression, " "), maxExpressions)
	if len(names) == 0 {
		return ""
	}
	query := url.Values{"type": {"record"}, "rule_name[]": names} // an old Prometheus answers with all rules
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/api/v1/rules?"+query.Encode(), nil)
	if err != nil {
		return ""
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Type, Name, Query string }
		}
	}
	if err := p.do(req, &rules); err != nil {
		return ""
	}
	var behind []string
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			if rule.Type == "recording" && slices.Contains(names, rule.Name) && len(behind) < maxExpressions {
				behind = append(behind, "("+rule.Query+")")
			}
		}
	}
	return strings.Join(behind, " or ")
}

// do makes a call and decodes the data of its answer.
func (p prometheusAPI) do(req *http.Request, data any) error {
	resp, err := p.client.Do(req)
	if err != nil {
		return httpclient.Redact(err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return errBadExpression
	default:
		return fmt.Errorf("it answers %s", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPrometheusAnswer+1))
	if err != nil {
		return fmt.Errorf("read answer: %w", httpclient.Redact(err))
	}
	if len(body) > maxPrometheusAnswer {
		return fmt.Errorf("the answer is longer than %d bytes", maxPrometheusAnswer)
	}
	answer := struct {
		Status string `json:"status"`
		Data   any    `json:"data"`
	}{Data: data}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("the answer has status %q", answer.Status)
	}
	return nil
}

func seconds(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1e3, 'f', 3, 64) }

// An exemplarSeries is a series with its exemplars.
type exemplarSeries struct {
	Labels    map[string]string `json:"seriesLabels"`
	Exemplars []exemplar        `json:"exemplars"`
}

// An exemplar is one request that a series counted.
type exemplar struct {
	Labels    template.KV `json:"labels"`
	Value     string      `json:"value"`
	Timestamp float64     `json:"timestamp"` // seconds since 1970

	series map[string]string
	failed bool    // its series counts requests that failed
	size   float64 // the value, of a histogram: seconds, mostly
}

// What is kept of an answer: a few exemplars of each series, and of many series those with the best.
const (
	keptOfSeries = 2
	keptOfAnswer = 1000
)

// bestFirst returns what is kept of series, in the order of compare.
func bestFirst(series []exemplarSeries) []exemplar {
	var best []exemplar
	for _, s := range series {
		s.rank()
		slices.SortStableFunc(s.Exemplars, compare)
		best = append(best, s.Exemplars[:min(len(s.Exemplars), keptOfSeries)]...)
	}
	slices.SortStableFunc(best, compare)
	return slices.Clone(best[:min(len(best), keptOfAnswer)])
}

// rank works out by what the exemplars of the series are compared with those of others.
func (s *exemplarSeries) rank() {
	_, bucket := s.Labels["le"]
	failed := false
	for _, name := range []string{"code", "status", "status_code", "http_status_code", "http_response_status_code"} {
		failed = failed || strings.HasPrefix(s.Labels[name], "5")
	}
	for i := range s.Exemplars {
		e := &s.Exemplars[i]
		e.series = s.Labels
		if bucket {
			e.size, _ = strconv.ParseFloat(e.Value, 64)
		} else {
			e.failed = failed
		}
	}
}

// compare puts first what tells most of the trouble: a ratio of errors counts requests that succeeded as well, and of a
// histogram the largest is what took longest. Then the newer one.
func compare(a, b exemplar) int {
	switch {
	case a.failed != b.failed && a.failed:
		return -1
	case a.failed != b.failed:
		return 1
	default:
		return cmp.Or(cmp.Compare(b.size, a.size), cmp.Compare(b.Timestamp, a.Timestamp))
	}
}

// fits reports whether an alert may be about the exemplar's series: they differ in no label that both have. A rule leaves
// most labels of a series out and adds some of its own.
func (e exemplar) fits(a *relay.Alert) bool {
	for name, value := range e.series {
		if of, ok := a.Labels[name]; ok && of != value {
			return false
		}
	}
	return true
}

func (e exemplar) time() time.Time { return time.UnixMilli(int64(e.Timestamp * 1e3)).UTC() }
