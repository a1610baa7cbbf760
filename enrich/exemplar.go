package enrich

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/httpclient"
)

// DefaultExemplarTimeout is how long Prometheus may take to answer.
const DefaultExemplarTimeout = time.Second

// Exemplars is the section snapshots.exemplars: of the configuration.
type Exemplars struct {
	// URL is the Prometheus that is asked, http://prometheus:9090, whatever address an alert names.
	URL string `yaml:"url"`
	// Timeout bounds one query; default 1s, which is also the bound of all look-ups together.
	Timeout model.Duration `yaml:"timeout,omitempty"`
	// HTTPConfig is for the calls to Prometheus; default: the proxy of the environment, no authentication.
	HTTPConfig *promconfig.HTTPClientConfig `yaml:"http_config,omitempty"`
}

func (c *Exemplars) validate(f *fault.List) {
	if c == nil {
		return
	}
	switch u, err := url.Parse(c.URL); {
	case c.URL == "":
		f.In("url").Addf("is required")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		f.In("url").Addf("expected a link that starts with http:// or https://")
	case u.User != nil:
		f.In("url").Addf("a password does not belong here: use http_config")
	case u.RawQuery != "" || u.Fragment != "":
		f.In("url").Addf("expected the address of Prometheus, without ? and #")
	}
	if c.Timeout < 0 {
		f.In("timeout").Addf("must be more than 0")
	}
	if c.HTTPConfig != nil {
		f.In("http_config").Add(c.HTTPConfig.Validate())
	}
}

const (
	// maxExpression bounds the expressions that are asked for, in bytes.
	maxExpression = 16 << 10
	// maxExpressions bounds the queries of one notification, parallelExpressions those under way for it at the same time.
	// A notification of one rule has one.
	maxExpressions      = 16
	parallelExpressions = 4
	// answerTime is how long an answer is used again, by the notifications that a rule's alerts come in. maxAnswers bounds
	// how many are kept.
	answerTime = 15 * time.Second
	maxAnswers = 64
	// maxRecorded is how deep recorded series may be computed from recorded series.
	maxRecorded = 4
)

// exemplarSource asks Prometheus for the exemplars of an alert's expression: a trace that is known to have been among what
// the rule counted, and the room where the exemplar carries it.
type exemplarSource struct {
	prometheus prometheusAPI
	fields     alertSource
	maxAge     time.Duration
	timeout    time.Duration

	mu   sync.Mutex
	kept map[question]*answer
}

// FromExemplars returns the Source that asks the Prometheus of cfg.Exemplars, which must be there. The error names the key.
func FromExemplars(cfg Config) (Source, error) {
	client, err := httpclient.New(cfg.Exemplars.HTTPConfig, "exemplars")
	if err != nil {
		return nil, fault.At("exemplars.http_config", err)
	}
	fields := newAlertSource(cfg.fields())
	// Beside OpenTelemetry's and Micrometer's trace_id these are in use.
	fields.traceID = append(fields.traceID[:len(fields.traceID):len(fields.traceID)], TraceID, "traceID", "traceId", "TraceID")
	return &exemplarSource{
		prometheus: prometheusAPI{client, strings.TrimSuffix(cfg.Exemplars.URL, "/")},
		fields:     fields,
		maxAge:     cfg.maxAge(),
		timeout:    cmp.Or(time.Duration(cfg.Exemplars.Timeout), DefaultExemplarTimeout),
		kept:       map[question]*answer{},
	}, nil
}

// Name implements Source.
func (*exemplarSource) Name() relay.Source { return relay.SourceExemplar }

// Find implements Source. It asks once for each expression, and fails when no answer came to any.
func (s *exemplarSource) Find(ctx context.Context, alerts relay.Alerts) ([]relay.Snapshot, error) {
	known := make([]relay.Snapshot, len(alerts))
	var failure error
	answered := false
	for i, a := range s.answers(ctx, questions(alerts)) {
		if a == nil {
			continue
		}
		select {
		case <-a.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if a.err != nil {
			failure = a.err
			continue
		}
		answered = true
		known[i] = s.best(&alerts[i], a.exemplars)
	}
	if !answered {
		return nil, failure
	}
	return known, nil
}

// answers returns the answer to each question, at its index, and asks for those that nobody has asked for; nil where there
// is no question, or where the notification has too many. Some may not be done yet: others wait for them as well.
func (s *exemplarSource) answers(ctx context.Context, asked []question) []*answer {
	all := make([]*answer, len(asked))
	each := map[question]*answer{}
	var queries errgroup.Group
	queries.SetLimit(parallelExpressions)
	for i, q := range asked {
		if q.expression == "" {
			continue
		}
		if each[q] == nil && len(each) < maxExpressions {
			a, fresh := s.answer(q)
			each[q] = a
			if fresh {
				queries.Go(func() error { s.ask(ctx, q, a); return nil })
			}
		}
		all[i] = each[q]
	}
	_ = queries.Wait()
	return all
}

// A question is what Prometheus is asked: the exemplars of an expression around a time.
type question struct {
	expression string
	began      time.Time // of the alert, to the minute: a rule's alerts have one
}

// questions returns what to ask for each alert, at its index; without an expression there is nothing to ask.
func questions(alerts relay.Alerts) []question {
	all := make([]question, len(alerts))
	expressions := map[string]string{} // by link: the alerts of a rule have one
	for i := range alerts {
		link := alerts[i].GeneratorURL
		expression, known := expressions[link]
		if !known {
			expression = expressionOf(link)
			expressions[link] = expression
		}
		all[i] = question{expression, alerts[i].StartsAt.Truncate(time.Minute)}
	}
	return all
}

// expressionOf returns the expression of a rule, which Prometheus puts into the link to its graph; empty when it is not
// there. Of the link nothing else is used: who asked the host that an alert names would ask whatever a forged alert wants.
func expressionOf(link string) string {
	if len(link) > 3*maxExpression { // escaped, it is up to three times as long
		return ""
	}
	u, err := url.Parse(link)
	if err != nil {
		return ""
	}
	expression := u.Query().Get("g0.expr")
	if len(expression) > maxExpression {
		return ""
	}
	return expression
}

// An answer is complete when done is closed.
type answer struct {
	done      chan struct{}
	at        time.Time
	exemplars []exemplar // best first
	err       error
}

// answer returns the answer to q, and whether it is a fresh one: then the caller is to ask for it.
func (s *exemplarSource) answer(q question) (_ *answer, fresh bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.kept[q]; a != nil && now.Sub(a.at) < answerTime {
		return a, false
	}
	if len(s.kept) >= maxAnswers {
		for q, a := range s.kept {
			if now.Sub(a.at) >= answerTime {
				delete(s.kept, q)
			}
		}
	}
	a := &answer{done: make(chan struct{}), at: now}
	if len(s.kept) < maxAnswers {
		s.kept[q] = a
	}
	return a, true
}

// ask asks Prometheus and completes a. A failure is not kept.
func (s *exemplarSource) ask(ctx context.Context, q question, a *answer) {
	defer close(a.done)
	a.exemplars, a.err = s.query(ctx, q)
	if a.err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept[q] == a {
		delete(s.kept, q)
	}
}

// query asks for what was observed from maxAge before the alert began until as long after it. Other notifications may wait
// for the answer as well, so a query under way does not end with the one that came first.
func (s *exemplarSource) query(ctx context.Context, q question) ([]exemplar, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	start, end := q.began.Add(-s.maxAge), q.began.Add(s.maxAge)
	if now := time.Now(); now.Before(end) {
		end = now
	}
	expression := q.expression
	for range maxRecorded {
		found, err := s.prometheus.exemplars(ctx, expression, start, end)
		if errors.Is(err, errBadExpression) {
			return nil, nil // nothing is known of it, and Prometheus is well
		}
		if err != nil || len(found) > 0 {
			return found, err
		}
		// A series that a rule records has none: those that it is computed from may have.
		if expression = s.prometheus.recorded(ctx, expression); expression == "" {
			return nil, nil
		}
	}
	return nil, nil
}

// best returns what the best exemplar for an alert carries. Where the trace of the alert is known it has to be of that
// trace: fields of two requests do not go together.
func (s *exemplarSource) best(a *relay.Alert, exemplars []exemplar) relay.Snapshot {
	for _, e := range exemplars {
		if !e.fits(a) {
			continue
		}
		known := s.read(e)
		if known.TraceID != "" && (a.Snapshot.TraceID == "" || a.Snapshot.TraceID == known.TraceID) {
			return known
		}
	}
	return relay.Snapshot{}
}

// read returns what an exemplar carries.
func (s *exemplarSource) read(e exemplar) relay.Snapshot {
	carrier := relay.Alert{}
	carrier.Labels = e.Labels
	known := s.fields.of(&carrier)
	known.Time = e.time()
	return known
}
