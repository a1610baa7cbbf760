// Package strictyaml reads YAML into Go values and reports everything wrong with it at once, each fault with its line and
// the path of its key, and none with a value of the file: a value may be a secret.
//
// goccy/go-yaml parses. The walk over its tree is ours, because the library's own decoder stops at the first unknown key
// and quotes the lines around it.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxSize bounds a file. A configuration of a thousand receivers is below a tenth of it.
const maxSize = 4 << 20

// byteOrderMark begins a file that some editors write.
const byteOrderMark = "\uFEFF"

// A Document is one parsed YAML file.
type Document struct {
	body    ast.Node // nil when the file is empty
	anchors map[string]ast.Node
	lines   map[string]int // key path → line
}

// A Fault is one thing wrong with a document, at a line and below a key path.
type Fault struct {
	Line    int    // from 1; 0 when unknown
	Path    string // receivers[0].slack_configs[1]; empty at the top
	Message string
}

// Parse reads the syntax of a file. Of a file that is not YAML it returns the first fault, and no document.
func Parse(data []byte) (doc *Document, fault *Fault) {
	if len(data) > maxSize {
		return nil, &Fault{Message: fmt.Sprintf("file is larger than %d bytes", maxSize)}
	}
	defer func() {
		if recover() != nil { // the parser meets odd bytes with a panic now and then
			doc, fault = nil, &Fault{Message: "not valid YAML"}
		}
	}()
	data = bytes.TrimPrefix(data, []byte(byteOrderMark))
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, syntaxFault(err, data)
	}
	doc = &Document{anchors: make(map[string]ast.Node), lines: make(map[string]int)}
	for _, d := range file.Docs {
		if d.Body == nil || d.Body.Type() == ast.CommentGroupType {
			continue
		}
		if doc.body != nil {
			return nil, &Fault{Line: lineOf(d.Body), Message: "a second YAML document; one is expected"}
		}
		doc.body = d.Body
	}
	if doc.body == nil {
		return doc, nil
	}
	ast.Walk(anchorCollector{doc}, doc.body)
	return doc, nil
}

// Line returns the line of the key at path, or of the nearest key above it that is in the file; 0 when there is none. It
// knows the paths that Decode has visited.
func (d *Document) Line(path string) int {
	for path != "" {
		if line, ok := d.lines[path]; ok {
			return line
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return 0
}

// syntaxFault keeps line and text of a parser's error, and leaves out the source it quotes. It knows the mistake that is
// made most: a template without quotes.
func syntaxFault(err error, data []byte) *Fault {
	fault := &Fault{Message: "not valid YAML"}
	var e yaml.Error
	if !errors.As(err, &e) {
		return fault
	}
	if message := e.GetMessage(); !strings.ContainsAny(message, "\"'`\n") || isPunctuation(message) {
		fault.Message += ": " + message
	}
	if tk := e.GetToken(); tk != nil {
		fault.Line = tokenLine(tk)
	}
	if lines := bytes.Split(data, []byte("\n")); fault.Line > 0 && fault.Line <= len(lines) {
		if bytes.Contains(lines[fault.Line-1], []byte(": {{")) {
			fault.Message += "; a template must stand in quotes"
		}
	}
	return fault
}

// isPunctuation tells whether all that a parser's message quotes are single characters, like "could not find ']'".
func isPunctuation(message string) bool {
	for i, quoted := range strings.Split(message, "'") {
		if i%2 == 1 && len(quoted) > 1 {
			return false
		}
	}
	return !strings.ContainsAny(message, "\"`\n")
}

// An anchorCollector notes the anchors of a document.
type anchorCollector struct{ doc *Document }

// Visit notes an anchor; of several with one name the first counts.
func (c anchorCollector) Visit(node ast.Node) ast.Visitor {
	if a, ok := node.(*ast.AnchorNode); ok && a.Name != nil && a.Value != nil {
		name := a.Name.GetToken().Value
		if _, taken := c.doc.anchors[name]; !taken {
			c.doc.anchors[name] = a.Value
		}
	}
	return c
}

func lineOf(node ast.Node) int {
	if node == nil {
		return 0
	}
	return tokenLine(node.GetToken())
}

func tokenLine(tk *token.Token) int {
	if tk == nil || tk.Position == nil {
		return 0
	}
	return tk.Position.Line
}
