package templates

import (
	"bytes"
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
	limit  int // bytes of the result
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

// compileText parses src over a copy of the templates in base, so that what src defines stays its own.
func (c *compiled) compileText(base *texttemplate.Template, src string) error {
	t, err := base.Clone()
	if err != nil {
		return err
	}
	if t, err = t.New(sourceName).Parse(src); err != nil {
		return withColumn(err, src, func(src string) error { return parses(base, sourceName, src) })
	}
	if c.constant, c.isConstant = constant(t.Tree); c.isConstant {
		return nil
	}
	if err := missingTemplate(t.Tree, func(name string) *parse.Tree {
		if called := t.Lookup(name); called != nil {
			return called.Tree
		}
		return nil
	}); err != nil {
		return err
	}
	for _, defined := range t.Templates() {
		guard(defined.Tree)
	}
	c.make = func() (*executor, error) {
		own, err := t.Clone()
		if err != nil {
			return nil, err
		}
		e := &executor{run: new(run)}
		e.run.include = own.ExecuteTemplate
		e.execute = own.Funcs(e.run.functions()).Execute
		return e, nil
	}
	return c.warm()
}

// compileHTML is compileText for HTML. Escaping happens here too, since it finds faults of its own; plain are the same
// templates as text.
func (c *compiled) compileHTML(base *htmltemplate.Template, plain *texttemplate.Template, src string) error {
	t, err := base.Clone()
	if err != nil {
		return err
	}
	if t, err = t.New(sourceName).Parse(src); err != nil {
		return withColumn(err, src, func(src string) error { return parses(plain, sourceName, src) })
	}
	if c.constant, c.isConstant = constant(t.Tree); c.isConstant {
		return nil
	}
	if err := missingTemplate(t.Tree, func(name string) *parse.Tree {
		if called := t.Lookup(name); called != nil {
			return called.Tree
		}
		return nil
	}); err != nil {
		return err
	}
	for _, defined := range t.Templates() {
		guard(defined.Tree)
	}
	c.make = func() (*executor, error) {
		own, err := t.Clone()
		if err != nil {
			return nil, err
		}
		e := &executor{run: new(run)}
		e.execute = own.Funcs(e.run.functions()).Execute
		// The first execution escapes; a run that has not begun ends at its first step.
		if err := e.execute(io.Discard, nil); !errors.Is(err, errNotBegun) {
			return nil, err
		}
		return e, nil
	}
	return c.warm()
}

// parses tries a source without keeping anything of it.
func parses(base *texttemplate.Template, name, src string) error {
	t, err := base.Clone()
	if err == nil {
		_, err = t.New(name).Parse(src)
	}
	return err
}

// warm makes the first executor.
func (c *compiled) warm() error {
	e, err := c.make()
	if err != nil {
		return err
	}
	c.free <- e
	return nil
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
	e.run.begin(dot, c.config.Timeout, c.limit)
	e.out.Reset()
	if err := e.execute(&limitedWriter{w: &e.out, left: c.limit, limit: c.limit}, dot); err != nil {
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

var errNotBegun = errors.New("the execution has not begun")

func (r *run) begin(dot *Data, timeout time.Duration, limit int) {
	*r = run{include: r.include, limit: limit, dot: dot, deadline: time.Now().Add(timeout), timeout: timeout}
}

func (r *run) end() { *r = run{include: r.include} }

// functions are those that belong to an execution. now and since are Alertmanager's, by the clock of the delivery;
// routeLabels never executes a value, because here values come from the request.
func (r *run) functions() map[string]any {
	return map[string]any{
		tickFunction:  r.tick,
		enterFunction: r.enter,
		leaveFunction: r.leave,
		boundFunction: r.bound,
		"include":     r.includeText,
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
	var out strings.Builder
	err := r.include(&limitedWriter{w: &out, left: r.limit, limit: r.limit}, name, dot)
	return out.String(), err
}

// tick ends an execution that takes too long. The guard calls it at each round of a loop.
func (r *run) tick() (string, error) {
	if r.dot == nil {
		return "", errNotBegun
	}
	if time.Now().After(r.deadline) {
		return "", fmt.Errorf("rendering takes longer than %s", r.timeout)
	}
	return "", nil
}

// enter ends an execution that goes too deep. The guard calls it at the head of each template.
func (r *run) enter() (string, error) {
	if r.depth++; r.depth > maxDepth {
		return "", fmt.Errorf("templates call each other more than %d deep", maxDepth)
	}
	return r.tick()
}

// leave takes back an enter. The guard calls it at the end of each template.
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

// A limitedWriter refuses what goes beyond its limit.
type limitedWriter struct {
	w           io.Writer
	left, limit int
}

func (l *limitedWriter) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, fmt.Errorf("the result is longer than %d bytes", l.limit)
	}
	return l.w.Write(p)
}
