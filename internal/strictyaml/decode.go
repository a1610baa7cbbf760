package strictyaml

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// The bounds of what a document may unfold to by its aliases.
const (
	maxDepth = 100
	maxNodes = 1 << 18
)

// An Unmarshaler reads itself from YAML: the interface that prometheus/common and yaml.v2 know. unmarshal may be called
// several times, with values of different types; it is as strict as Decode, and its faults are reported with their paths.
type Unmarshaler interface {
	UnmarshalYAML(unmarshal func(any) error) error
}

// Elsewhere explains a key that is unknown here, but that a person has reason to expect: it returns the text to show
// instead of "unknown field", or nothing. The path is that of the key.
type Elsewhere func(path, key string) string

// Decode reads the document into the struct that into points to and returns all that is wrong, in the order of the file.
// What is right has been read nevertheless. Keys that are absent leave their fields as they are.
func (d *Document) Decode(into any, elsewhere Elsewhere) []Fault {
	dec := decoder{doc: d, elsewhere: elsewhere, unfolding: make(map[string]bool)}
	if d.body != nil {
		dec.value("", d.body, reflect.ValueOf(into).Elem())
	}
	return dec.faults
}

// A decoder walks the tree beside the values it fills.
type decoder struct {
	doc       *Document
	elsewhere Elsewhere
	faults    []Fault
	unfolding map[string]bool // the aliases on the way to the node at hand
	depth     int
	nodes     int
}

// errReported ends an UnmarshalYAML whose fault has been noted already.
var errReported = errors.New("reported")

// value reads node into an addressable value.
func (d *decoder) value(path string, node ast.Node, into reflect.Value) {
	d.depth++
	defer func() { d.depth-- }()
	if d.nodes++; d.depth > maxDepth || d.nodes > maxNodes {
		if d.nodes <= maxNodes+1 {
			d.addf(path, "nested too deeply, or too many aliases")
		}
		return
	}
	if alias, ok := node.(*ast.AliasNode); ok {
		name := alias.Value.GetToken().Value
		if d.unfolding[name] {
			d.addf(path, "alias of something that contains it")
			return
		}
		d.unfolding[name] = true
		defer delete(d.unfolding, name)
	}
	node, ok := d.resolve(path, node)
	if !ok || node.Type() == ast.NullType {
		return
	}
	if into.Kind() == reflect.Pointer {
		if into.IsNil() {
			into.Set(reflect.New(into.Type().Elem()))
		}
		d.value(path, node, into.Elem())
		return
	}
	switch u := into.Addr().Interface().(type) {
	case Unmarshaler:
		d.unmarshaler(path, node, u)
		return
	case yaml.BytesUnmarshaler, yaml.NodeUnmarshaler:
		if err := yaml.NodeToValue(node, u, yaml.Strict()); err != nil {
			d.addf(path, "%s", describe(err))
		}
		return
	case encoding.TextUnmarshaler:
		if text, ok := d.text(path, node); ok {
			if err := u.UnmarshalText([]byte(text)); err != nil {
				d.addf(path, "%s", describe(err))
			}
		}
		return
	}
	switch into.Kind() {
	case reflect.Struct:
		d.structure(path, node, into)
	case reflect.Map:
		d.dictionary(path, node, into)
	case reflect.Slice:
		d.list(path, node, into)
	case reflect.Interface:
		if v := d.any(path, node); v != nil {
			into.Set(reflect.ValueOf(v))
		}
	default:
		d.scalar(path, node, into)
	}
}

// resolve follows aliases, anchors and tags to the node that holds the value.
func (d *decoder) resolve(path string, node ast.Node) (ast.Node, bool) {
	for range maxDepth {
		switch n := node.(type) {
		case nil:
			return nil, false
		case *ast.AnchorNode:
			node = n.Value
		case *ast.TagNode:
			node = n.Value
		case *ast.AliasNode:
			target, ok := d.doc.anchors[n.Value.GetToken().Value]
			if !ok {
				d.addf(path, "alias of an anchor that is not there")
				return nil, false
			}
			node = target
		default:
			return node, true
		}
	}
	d.addf(path, "alias of itself")
	return nil, false
}

// unmarshaler lets a type read itself. A type may try one form after another, so the faults of a failed try count only
// when the type gives up.
func (d *decoder) unmarshaler(path string, node ast.Node, u Unmarshaler) {
	var failed []Fault
	err := u.UnmarshalYAML(func(v any) error {
		target := reflect.ValueOf(v)
		if target.Kind() != reflect.Pointer || target.IsNil() {
			return errors.New("cannot be read")
		}
		before := len(d.faults)
		d.value(path, node, target.Elem())
		if len(d.faults) == before {
			return nil
		}
		failed = append([]Fault(nil), d.faults[before:]...)
		d.faults = d.faults[:before]
		return errReported
	})
	switch {
	case err == nil:
	case failed != nil:
		d.faults = append(d.faults, failed...)
	default:
		d.addf(path, "%s", describe(err))
	}
}

// describe gives the text of a type's own error, without the value that a URL's or the library's error quotes.
func describe(err error) string {
	var ofURL *url.Error
	if errors.As(err, &ofURL) {
		return "not a valid URL"
	}
	var ofYAML yaml.Error
	if errors.As(err, &ofYAML) {
		return "not a valid value"
	}
	return err.Error()
}

// structure reads a mapping into the fields of a struct.
func (d *decoder) structure(path string, node ast.Node, into reflect.Value) {
	pairs, ok := d.pairs(path, node)
	if !ok {
		return
	}
	fields := fieldsOf(into)
	for _, p := range pairs {
		at := join(path, p.key)
		d.note(at, p.line)
		if field, ok := fields.byKey[p.key]; ok {
			d.value(at, p.value, field)
			continue
		}
		if fields.open != nil {
			if v := fields.open.NewValue(p.key); v != nil {
				d.value(at, p.value, reflect.ValueOf(v).Elem())
				fields.open.Put(p.key, v)
				continue
			}
		}
		if fields.rest.IsValid() {
			d.entry(at, p, fields.rest)
			continue
		}
		d.unknown(path, p, fields.keys())
	}
}

// unknown reports a key that has no field.
func (d *decoder) unknown(path string, p pair, known []string) {
	fault := Fault{Line: p.line, Path: path}
	switch {
	case d.elsewhere != nil && d.elsewhere(join(path, p.key), p.key) != "":
		fault.Message = d.elsewhere(join(path, p.key), p.key)
	case !isKey(p.key):
		fault.Message = "unknown field"
	default:
		fault.Message = fmt.Sprintf("unknown field %q", p.key)
		if near := nearest(p.key, known); near != "" {
			fault.Message += fmt.Sprintf(", did you mean %q?", near)
		}
	}
	d.faults = append(d.faults, fault)
}

// dictionary reads a mapping into a map with text keys.
func (d *decoder) dictionary(path string, node ast.Node, into reflect.Value) {
	pairs, ok := d.pairs(path, node)
	if !ok {
		return
	}
	if into.IsNil() {
		into.Set(reflect.MakeMapWithSize(into.Type(), len(pairs)))
	}
	for _, p := range pairs {
		at := join(path, p.key)
		d.note(at, p.line)
		d.entry(at, p, into)
	}
}

// entry reads one pair into a map.
func (d *decoder) entry(path string, p pair, into reflect.Value) {
	t := into.Type()
	if t.Key().Kind() != reflect.String {
		d.addf(path, "cannot be read")
		return
	}
	if into.IsNil() {
		into.Set(reflect.MakeMap(t))
	}
	v := reflect.New(t.Elem()).Elem()
	d.value(path, p.value, v)
	into.SetMapIndex(reflect.ValueOf(p.key).Convert(t.Key()), v)
}

// list reads a sequence into a slice.
func (d *decoder) list(path string, node ast.Node, into reflect.Value) {
	seq, ok := node.(*ast.SequenceNode)
	if !ok {
		d.addf(path, "expected a list, found %s", nodeName(node))
		return
	}
	out := reflect.MakeSlice(into.Type(), len(seq.Values), len(seq.Values))
	for i, item := range seq.Values {
		at := path + "[" + strconv.Itoa(i) + "]"
		d.note(at, lineOf(item))
		d.value(at, item, out.Index(i))
	}
	into.Set(out)
}

// A pair is one key of a mapping with its value.
type pair struct {
	key   string
	line  int
	value ast.Node
}

// pairs returns the keys of a mapping in their order, merged ones (<<) last. A key given twice is a fault.
func (d *decoder) pairs(path string, node ast.Node) ([]pair, bool) {
	mapping, ok := node.(ast.MapNode)
	if !ok {
		d.addf(path, "expected keys and values, found %s", nodeName(node))
		return nil, false
	}
	var own, merged []pair
	seen := make(map[string]bool)
	for iter := mapping.MapRange(); iter.Next(); {
		if iter.Key().IsMergeKey() {
			merged = append(merged, d.merged(path, iter.Value())...)
			continue
		}
		p, ok := d.pair(path, iter.Key(), iter.Value())
		if !ok {
			continue
		}
		if seen[p.key] {
			d.faults = append(d.faults, Fault{Line: p.line, Path: join(path, p.key), Message: "given twice"})
			continue
		}
		seen[p.key] = true
		own = append(own, p)
	}
	for _, p := range merged {
		if !seen[p.key] {
			seen[p.key] = true
			own = append(own, p)
		}
	}
	return own, true
}

// pair reads a key. It must be a scalar.
func (d *decoder) pair(path string, key, value ast.Node) (pair, bool) {
	if k, ok := key.(*ast.MappingKeyNode); ok {
		key = k.Value
	}
	line := lineOf(key)
	key, ok := d.resolve(path, key)
	if !ok {
		return pair{}, false
	}
	text, ok := scalarText(key)
	if !ok {
		d.addf(path, "expected text as a key, found %s", nodeName(key))
		return pair{}, false
	}
	return pair{text, line, value}, true
}

// merged returns the pairs that a merge key brings: those of one mapping, or of a list of them.
func (d *decoder) merged(path string, node ast.Node) []pair {
	d.depth++
	defer func() { d.depth-- }()
	if d.nodes++; d.depth > maxDepth || d.nodes > maxNodes {
		return nil
	}
	node, ok := d.resolve(path, node)
	if !ok {
		return nil
	}
	if seq, ok := node.(*ast.SequenceNode); ok {
		var all []pair
		for _, item := range seq.Values {
			all = append(all, d.merged(path, item)...)
		}
		return all
	}
	pairs, _ := d.pairs(path, node)
	return pairs
}

// any reads a value whose type the file decides.
func (d *decoder) any(path string, node ast.Node) any {
	switch n := node.(type) {
	case ast.MapNode:
		m := make(map[string]any)
		d.value(path, node, reflect.ValueOf(&m).Elem())
		return m
	case *ast.SequenceNode:
		s := []any{}
		d.value(path, node, reflect.ValueOf(&s).Elem())
		return s
	case ast.ScalarNode:
		return n.GetValue()
	}
	d.addf(path, "expected a value, found %s", nodeName(node))
	return nil
}

// scalar reads text, numbers, true and false.
func (d *decoder) scalar(path string, node ast.Node, into reflect.Value) {
	switch kind := into.Kind(); {
	case kind == reflect.String:
		if text, ok := d.text(path, node); ok {
			into.SetString(text)
		}
	case kind == reflect.Bool:
		b, ok := node.(*ast.BoolNode)
		if !ok {
			d.addf(path, "expected true or false, found %s", nodeName(node))
			return
		}
		into.SetBool(b.Value)
	case into.CanInt():
		v, ok := integer(node)
		if !ok || into.OverflowInt(v) {
			d.addf(path, "expected a whole number, found %s", nodeName(node))
			return
		}
		into.SetInt(v)
	case into.CanUint():
		v, ok := integer(node)
		if !ok || v < 0 || into.OverflowUint(uint64(v)) {
			d.addf(path, "expected a whole number of 0 or more, found %s", nodeName(node))
			return
		}
		into.SetUint(uint64(v))
	case into.CanFloat():
		v, ok := number(node)
		if !ok {
			d.addf(path, "expected a number, found %s", nodeName(node))
			return
		}
		into.SetFloat(v)
	default:
		d.addf(path, "cannot be read")
	}
}

// text reads a scalar as the text that stands in the file, so that a number or a phone number is text too.
func (d *decoder) text(path string, node ast.Node) (string, bool) {
	text, ok := scalarText(node)
	if !ok {
		d.addf(path, "expected text, found %s", nodeName(node))
	}
	return text, ok
}

func scalarText(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode, *ast.NullNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func integer(node ast.Node) (int64, bool) {
	n, ok := node.(*ast.IntegerNode)
	if !ok {
		return 0, false
	}
	switch v := n.Value.(type) {
	case int64:
		return v, true
	case uint64:
		return int64(v), v <= math.MaxInt64
	}
	return 0, false
}

func number(node ast.Node) (float64, bool) {
	if n, ok := node.(*ast.FloatNode); ok {
		return n.Value, true
	}
	v, ok := integer(node)
	return float64(v), ok
}

// nodeName names a kind of node as a person would.
func nodeName(node ast.Node) string {
	switch node.(type) {
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.SequenceNode:
		return "a list"
	case ast.MapNode:
		return "keys and values"
	case *ast.NullNode:
		return "nothing"
	}
	return "something else"
}

// note remembers where a key stands.
func (d *decoder) note(path string, line int) {
	if _, ok := d.doc.lines[path]; !ok {
		d.doc.lines[path] = line
	}
}

func (d *decoder) addf(path, format string, args ...any) {
	d.faults = append(d.faults, Fault{Line: d.doc.Line(path), Path: path, Message: fmt.Sprintf(format, args...)})
}

// join appends a key to a path. What does not look like a key may be a value gone astray, and is not shown.
func join(path, key string) string {
	key = Key(key)
	if path == "" {
		return key
	}
	return path + "." + key
}

// Key is what paths show of a key: itself, unless it looks like a secret on the wrong side of a colon.
func Key(key string) string {
	if !isKey(key) {
		return "<key>"
	}
	return key
}

// isKey tells whether a key looks like one. A secret is written in ASCII, a person's name need not be.
func isKey(key string) bool {
	return key != "" && len(key) <= 40 && !strings.ContainsFunc(key, func(r rune) bool {
		return !strings.ContainsRune(keyLetters, r) && (r < utf8.RuneSelf || !unicode.IsLetter(r))
	})
}

const keyLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
