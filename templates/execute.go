package templates

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io"
	"reflect"
	"strings"
	texttemplate "text/template"
	"text/template/parse"
	"time"

	"github.com/alertrelay/relay"
)

// sourceName is what errors call the source text handed to Text and HTML. Blocks are called by their own names.
const sourceName = "template"

// A compiled template is parsed and checked. Executing it takes an executor from the free ones, or makes one more: a
// template whose functions know the execution they belong to can only execute once at a time.
type compiled struct {
	config *Config
	words  words // of its language
	limit  int   // bytes of the result
	// constant is the result of a template without actions.
	constant   string
	isConstant bool

	make func() (*executor, error)
	free chan *executor
}

// An executor executes one compiled template, again and again.
type executor struct {
	run     *run
	out     bytes.Buffer
	execute func(w io.Writer, dot any) error
}

// compileText parses src over a copy of the language's templates, so that what src defines stays its own.
func (c *compiled) compileText(l *language, src string) error {
	t, err := l.text.Clone()
	if err != nil {
		return err
	}
	if t, err = t.New(sourceName).Parse(src); err != nil {
		return withColumn(err, src, func(src string) error { return parses(l.text, sourceName, src) })
	}
	return c.begin(l, t.Tree, treesOf(t.Templates()), func() (*executor, error) {
		own, err := t.Clone()
		if err != nil {
			return nil, err
		}
		e := &executor{run: new(run)}
		e.run.include = own.ExecuteTemplate
		e.execute = own.Funcs(e.run.functions(l)).Execute
		return e, nil
	})
}

// compileHTML is compileText for HTML. Escaping happens here too, since it finds faults of its own.
func (c *compiled) compileHTML(l *language, src string) error {
	t, err := l.html.Clone()
	if err != nil {
		return err
	}
	if t, err = t.New(sourceName).Parse(src); err != nil {
		return withColumn(err, src, func(src string) error { return parses(l.text, sourceName, src) })
	}
	return c.begin(l, t.Tree, htmlTreesOf(t.Templates()), func() (*executor, error) {
		own, err := t.Clone()
		if err != nil {
			return nil, err
		}
		e := &executor{run: new(run)}
		e.execute = own.Funcs(e.run.functions(l)).Execute
		// The first execution escapes; it ends at the first byte.
		if err := e.execute(noOutput{}, nil); !errors.Is(err, errNoOutput) {
			return nil, err
		}
		return e, nil
	})
}

// begin checks a parsed template among all that it may call, guards them, and makes the first executor.
func (c *compiled) begin(
	l *language, t *parse.Tree, all map[string]*parse.Tree, another func() (*executor, error),
) error {
	if c.constant, c.isConstant = constant(t); c.isConstant {
		return nil
	}
	if err := cmp.Or(missingTemplate(t, all), l.missingWord(t, all)); err != nil {
		return err
	}
	guard(all)
	c.make = another
	e, err := c.make()
	if err != nil {
		return err
	}
	c.free <- e
	return nil
}

// treesOf are the parsed templates by name.
func treesOf(templates []*texttemplate.Template) map[string]*parse.Tree {
	trees := map[string]*parse.Tree{}
	for _, t := range templates {
		if t.Tree != nil && t.Root != nil {
			trees[t.Name()] = t.Tree
		}
	}
	return trees
}

func htmlTreesOf(templates []*htmltemplate.Template) map[string]*parse.Tree {
	trees := map[string]*parse.Tree{}
	for _, t := range templates {
		if t.Tree != nil && t.Tree.Root != nil {
			trees[t.Name()] = t.Tree
		}
	}
	return trees
}

// parses tries a source without keeping anything of it.
func parses(base *texttemplate.Template, name, src string) error {
	t, err := base.Clone()
	if err == nil {
		_, err = t.New(name).Parse(src)
	}
	return err
}

// Execute implements relay.Template.
func (c *compiled) Execute(v relay.View) (string, error) {
	if c.isConstant {
		return c.constant, nil
	}
	e, err := c.take()
	if err != nil {
		return "", err
	}
	defer c.give(e)

	dot := newData(v, c.config.ExternalURL)
	dot.words = c.words
	e.run.begin(dot, c.config.Timeout, c.limit)
	e.out.Reset()
	if err := e.execute(e.run.output(&e.out), dot); err != nil {
		return "", err
	}
	return e.out.String(), nil
}

func (c *compiled) take() (*executor, error) {
	select {
	case e := <-c.free:
		return e, nil
	default:
		return c.make()
	}
}

// keepBuffer is up to what size an executor keeps its buffer for the next execution, in bytes.
const keepBuffer = 64 << 10

func (c *compiled) give(e *executor) {
	e.run.end()
	if e.out.Cap() > keepBuffer {
		e.out = bytes.Buffer{}
	}
	select {
	case c.free <- e:
	default:
	}
}

// A run is one execution: what its functions must know of it.
type run struct {
	// include executes a template of the same executor. It stays over executions.
	include func(w io.Writer, name string, dot any) error

	dot      *Data
	deadline time.Time
	timeout  time.Duration
	limit    int // bytes of the result
	depth    int
}

func (r *run) begin(dot *Data, timeout time.Duration, limit int) {
	*r = run{include: r.include, limit: limit, dot: dot, deadline: time.Now().Add(timeout), timeout: timeout}
}

func (r *run) end() { *r = run{include: r.include} }

// functions are those that belong to an execution. now and since are Alertmanager's, by the clock of the delivery, as are
// our clock and span; routeLabels never executes a value, because here values come from the request.
func (r *run) functions(l *language) map[string]any {
	return map[string]any{
		enterFunction: r.enter,
		leaveFunction: r.leave,
		boundFunction: r.bound,
		"include":     r.includeText,
		"clock":       func(t time.Time) string { return clock(l.zone, r.dot.Now, t) },
		"span":        func(start, end time.Time) string { return span(l.zone, r.dot.Now, start, end) },
		"now":         func() time.Time { return r.dot.Now },
		"since":       func(t time.Time) time.Duration { return r.dot.Now.Sub(t) },
		"routeLabels": func(name string) string { return r.dot.RouteLabels[name] },
	}
}

// includeText is {{ template }} with a result that can be worked on: {{ include "relay.title" . | cut 78 }}.
func (r *run) includeText(name string, dot any) (string, error) {
	if r.include == nil {
		return "", errors.New("include is for text templates")
	}
	if _, err := r.bound(reflect.ValueOf(dot)); err != nil {
		return "", err
	}
	if _, err := r.enter(); err != nil {
		return "", err
	}
	defer r.leave()
	var out strings.Builder
	err := r.include(r.output(&out), name, dot)
	return out.String(), err
}

// output is w within the bounds of the run.
func (r *run) output(w io.Writer) io.Writer { return &output{w: w, run: r, left: r.limit} }

// tick ends an execution that takes too long.
func (r *run) tick() error {
	if time.Now().After(r.deadline) {
		return fmt.Errorf("template: %s: rendering takes longer than %s", sourceName, r.timeout)
	}
	return nil
}

// enter ends an execution that goes too deep. The guard calls it at the head of each template that may call itself.
func (r *run) enter() (string, error) {
	if r.depth++; r.depth > maxDepth {
		return "", fmt.Errorf("templates call each other more than %d deep", maxDepth)
	}
	return "", r.tick()
}

// leave takes back an enter. The guard calls it at the end of the same templates.
func (r *run) leave() string {
	r.depth--
	return ""
}

// bound ends an execution whose values grow too large. The guard calls it with each computed value that is kept.
func (r *run) bound(v reflect.Value) (reflect.Value, error) {
	if left := r.limit - weight(v, r.limit); left < 0 {
		return reflect.Value{}, fmt.Errorf("a value holds more than %d bytes", r.limit)
	}
	return v, nil
}

// weight is about how many bytes a value prints, counted until it is over limit. Only what templates can build counts:
// strings, and lists and maps of anything.
func weight(v reflect.Value, limit int) int {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	total := 1
	switch {
	case v.Kind() == reflect.String:
		return v.Len()
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Interface:
		for i := 0; i < v.Len() && total <= limit; i++ {
			total += weight(v.Index(i), limit-total)
		}
	case v.Kind() == reflect.Map && v.Type().Elem().Kind() == reflect.Interface:
		for entry := v.MapRange(); entry.Next() && total <= limit; {
			total += 1 + weight(entry.Value(), limit-total)
		}
	}
	return total
}

// noOutput refuses everything.
type noOutput struct{}

func (noOutput) Write([]byte) (int, error) { return 0, errNoOutput }

var errNoOutput = errors.New("no output")

// An output takes what an execution writes, in bounds: it refuses what goes beyond the limit or comes too late.
type output struct {
	w      io.Writer
	run    *run
	left   int // bytes
	writes int
}

// writesPerLook is how many writes go by before the output looks at the clock.
const writesPerLook = 64

func (o *output) Write(p []byte) (int, error) {
	if o.writes++; o.writes%writesPerLook == 0 {
		if err := o.run.tick(); err != nil {
			return 0, err
		}
	}
	if o.left -= len(p); o.left < 0 {
		return 0, fmt.Errorf("template: %s: the result is longer than %d bytes", sourceName, o.run.limit)
	}
	return o.w.Write(p)
}
