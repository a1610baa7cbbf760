package templates

import (
	"errors"
	"fmt"
	htmltemplate "html/template"
	"runtime"
	"slices"
	"strings"
	"sync"
	texttemplate "text/template"
	"time"

	"github.com/alertrelay/relay"
)

// The locales that the default texts are written in.
const (
	LocaleChinese = "zh-CN"
	LocaleEnglish = "en"
)

// Locales lists the locales of the default texts.
func Locales() []string { return []string{LocaleChinese, LocaleEnglish} }

// Defaults of a Config.
const (
	DefaultLocale  = LocaleChinese
	DefaultTimeout = time.Second
	DefaultMaxText = 200_000   // bytes
	DefaultMaxHTML = 1_000_000 // bytes
)

// maxDepth bounds how deep templates may call each other. Alertmanager's own go three deep.
const maxDepth = 500

// A Config says which templates a Set holds and how it renders. The zero value is the default texts in Chinese, UTC.
type Config struct {
	// Globs are the absolute paths of a team's own templates. They are loaded after the default ones, in order, and
	// may define any block anew.
	Globs []string
	// Locale is zh-CN or en: the one meant where a caller names none. Default: DefaultLocale.
	Locale string
	// Timezone is the IANA name of the zone that times are shown in. Default: UTC.
	Timezone string
	// ExternalURL is where people reach the relay, for templates: .RelayURL.
	ExternalURL string
	// Timeout bounds one execution. Default: DefaultTimeout.
	Timeout time.Duration
	// MaxText and MaxHTML bound the bytes of one result. Default: DefaultMaxText, DefaultMaxHTML.
	MaxText, MaxHTML int
}

// A Set is the templates of one configuration, compiled. It is safe for concurrent use.
type Set struct {
	config    Config
	languages map[string]*language
	warnings  []error

	mu       sync.Mutex
	compiled map[sourceKey]*compiled
	zones    map[string]*Set
}

var _ relay.Renderer = (*Set)(nil)

// A sourceKey is what makes two templates the same.
type sourceKey struct {
	locale, src string
	html        bool
}

// New loads and compiles the templates of c. Its error joins as many faults as were found, each with its file and line.
func New(c Config) (*Set, error) {
	if c.Locale == "" {
		c.Locale = DefaultLocale
	}
	if c.Timezone == "" {
		c.Timezone = "UTC"
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.MaxText == 0 {
		c.MaxText = DefaultMaxText
	}
	if c.MaxHTML == 0 {
		c.MaxHTML = DefaultMaxHTML
	}
	s := &Set{config: c, languages: map[string]*language{}, compiled: map[sourceKey]*compiled{}}

	zone, err := time.LoadLocation(c.Timezone)
	if err != nil {
		return nil, fmt.Errorf("timezone: %w", err)
	}
	if !slices.Contains(Locales(), c.Locale) {
		return nil, unknownLocale(c.Locale)
	}
	files, warnings, err := readGlobs(c.Globs)
	if err != nil {
		return nil, err
	}
	s.warnings = warnings
	for _, locale := range Locales() {
		l, err := newLanguage(locale, zone, files)
		if err != nil {
			return nil, err
		}
		s.languages[locale] = l
	}
	s.warnings = append(s.warnings, s.languages[c.Locale].missing(files)...)
	return s, nil
}

// Warnings are what looks wrong in the templates but keeps nothing from working: a glob without a match, a call of a
// template that nobody defines, in a template that nobody has called yet.
func (s *Set) Warnings() []error { return s.warnings }

// In returns the same templates for another time zone, under its IANA name: the same Set for the same name.
func (s *Set) In(timezone string) (relay.Renderer, error) {
	if timezone == s.config.Timezone {
		return s, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if set := s.zones[timezone]; set != nil {
		return set, nil
	}
	config := s.config
	config.Timezone = timezone
	set, err := New(config)
	if err != nil {
		return nil, err
	}
	if s.zones == nil {
		s.zones = map[string]*Set{}
	}
	s.zones[timezone] = set
	return set, nil
}

// Text implements relay.Renderer.
func (s *Set) Text(locale, src string) (relay.Template, error) {
	return s.template(sourceKey{locale: locale, src: src})
}

// HTML implements relay.Renderer.
func (s *Set) HTML(locale, src string) (relay.Template, error) {
	return s.template(sourceKey{locale: locale, src: src, html: true})
}

// template compiles a source, once.
func (s *Set) template(key sourceKey) (relay.Template, error) {
	if key.locale == "" {
		key.locale = s.config.Locale
	}
	l := s.languages[key.locale]
	if l == nil {
		return nil, unknownLocale(key.locale)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.compiled[key]; c != nil {
		return c, nil
	}
	if len(key.src) > maxSource {
		return nil, fmt.Errorf("template of %d bytes is longer than %d", len(key.src), maxSource)
	}
	c := &compiled{config: &s.config, words: l.words, limit: s.config.MaxText, free: make(chan *executor, runtime.GOMAXPROCS(0))}
	var err error
	if key.html {
		c.limit = s.config.MaxHTML
		err = c.compileHTML(l, key.src)
	} else {
		err = c.compileText(l, key.src)
	}
	if err != nil {
		return nil, err
	}
	s.compiled[key] = c
	return c, nil
}

func unknownLocale(locale string) error {
	return fmt.Errorf("unknown locale %q: want one of %s", locale, strings.Join(Locales(), ", "))
}

// A language is all templates of a set in one locale.
type language struct {
	locale string
	zone   *time.Location
	// builtin are the words as we ship them, words as the team changed them.
	builtin, words words

	text *texttemplate.Template
	html *htmltemplate.Template
}

// newLanguage parses Alertmanager's templates, ours and the team's, in this order: the later definition holds.
func newLanguage(locale string, zone *time.Location, files []file) (*language, error) {
	l := &language{locale: locale, zone: zone}
	var err error
	if l.text, l.html, err = alertmanagerTemplates(l.functions(), new(run).functions(l)); err != nil {
		return nil, err
	}
	builtin, err := builtinFiles()
	if err != nil {
		return nil, err
	}
	if err := l.parse(builtin); err != nil {
		return nil, err
	}
	if l.builtin, err = l.readWords(); err != nil {
		return nil, err
	}
	if err := l.parse(files); err != nil {
		return nil, err
	}
	if l.words, err = l.readWords(); err != nil {
		return nil, err
	}
	trees := treesOf(l.text.Templates())
	for _, t := range trees {
		l.words.fold(t)
	}
	guard(trees)
	guard(htmlTreesOf(l.html.Templates()))
	return l, nil
}

// parse adds the templates that files define.
func (l *language) parse(files []file) error {
	var faults []error
	for _, f := range files {
		if _, err := l.text.New(f.name).Parse(f.content); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", f.path, withColumn(err, f.content, func(src string) error { return parses(l.text, f.name, src) })))
			continue
		}
		if _, err := l.html.New(f.name).Parse(f.content); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", f.path, err))
		}
	}
	return errors.Join(faults...)
}
