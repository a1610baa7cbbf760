package templates

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"
)

// The hidden functions that bound an execution. See run.
const (
	enterFunction = "enter"
	leaveFunction = "leave"
	boundFunction = "bound"
)

// guard bounds parsed templates. Without it text/template has no bound: {{range 2000000000}}{{end}} would keep a
// processor busy for good. At the head of each loop it puts an empty text: writing it calls the output, which looks at
// the clock. Around each template that may call itself it puts enter and leave. To each computation that outlives its
// line it appends bound, since only those can grow from round to round.
//
// Templates that are guarded stay as they are, so that copies may share them.
func guard(trees map[string]*parse.Tree) {
	var fresh []*parse.Tree
	for _, t := range trees {
		if !isTick(t.Root) {
			fresh = append(fresh, t)
		}
	}
	for _, t := range fresh {
		recursive := callsItself(t, trees)
		walk(t.Root, func(n parse.Node) {
			switch n := n.(type) {
			case *parse.RangeNode:
				n.List.Nodes = slices.Insert(n.List.Nodes, 0, tick(n.Pos))
			case *parse.ActionNode:
				if len(n.Pipe.Decl) > 0 {
					bound(n.Pipe)
				}
			case *parse.TemplateNode:
				bound(n.Pipe)
			}
		})
		if recursive {
			t.Root.Nodes = append([]parse.Node{call(enterFunction, t.Root.Pos)}, t.Root.Nodes...)
			t.Root.Nodes = append(t.Root.Nodes, call(leaveFunction, t.Root.Pos))
		}
		t.Root.Nodes = slices.Insert(t.Root.Nodes, 0, tick(t.Root.Pos))
	}
}

// tick is an empty text. The parser makes none.
func tick(pos parse.Pos) parse.Node { return &parse.TextNode{NodeType: parse.NodeText, Pos: pos} }

// isTick reports whether a list begins with a tick.
func isTick(list *parse.ListNode) bool {
	if len(list.Nodes) == 0 {
		return false
	}
	text, ok := list.Nodes[0].(*parse.TextNode)
	return ok && len(text.Text) == 0
}

// callsItself reports whether calls from t lead back to it.
func callsItself(t *parse.Tree, trees map[string]*parse.Tree) bool {
	found := false
	eachCall(t, trees, func(_ *parse.Tree, call *parse.TemplateNode) {
		found = found || trees[call.Name] == t
	})
	return found
}

// eachCall visits the calls in t and in all templates that t calls, each once.
func eachCall(t *parse.Tree, trees map[string]*parse.Tree, visit func(in *parse.Tree, call *parse.TemplateNode)) {
	seen := map[*parse.Tree]bool{}
	var follow func(t *parse.Tree)
	follow = func(t *parse.Tree) {
		if t == nil || seen[t] {
			return
		}
		seen[t] = true
		walk(t.Root, func(n parse.Node) {
			if call, ok := n.(*parse.TemplateNode); ok {
				visit(t, call)
				follow(trees[call.Name])
			}
		})
	}
	follow(t)
}

// call is {{ $_ := name }}: an assignment, because html/template leaves that alone.
func call(name string, pos parse.Pos) parse.Node {
	return &parse.ActionNode{NodeType: parse.NodeAction, Pos: pos, Line: 1, Pipe: &parse.PipeNode{
		NodeType: parse.NodePipe, Pos: pos, Line: 1,
		Decl: []*parse.VariableNode{{NodeType: parse.NodeVariable, Pos: pos, Ident: []string{"$_"}}},
		Cmds: []*parse.CommandNode{command(name, pos)},
	}}
}

func command(name string, pos parse.Pos) *parse.CommandNode {
	return &parse.CommandNode{
		NodeType: parse.NodeCommand, Pos: pos, Args: []parse.Node{parse.NewIdentifier(name).SetPos(pos)},
	}
}

// bound appends "| bound" to a pipeline that computes something; what only names a value stays as it is.
func bound(p *parse.PipeNode) {
	if p == nil || len(p.Cmds) == 0 {
		return
	}
	switch p.Cmds[0].Args[0].(type) {
	case *parse.IdentifierNode, *parse.PipeNode, *parse.ChainNode:
	default:
		if len(p.Cmds) == 1 {
			return
		}
	}
	p.Cmds = append(p.Cmds, command(boundFunction, p.Pos))
}

// constant returns the text of a template that has no actions.
func constant(t *parse.Tree) (string, bool) {
	var text strings.Builder
	for _, n := range t.Root.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			text.Write(n.Text)
		case *parse.CommentNode:
		default:
			return "", false
		}
	}
	return text.String(), true
}

// missingTemplate follows the calls from t and tells of the first of a template that does not exist.
func missingTemplate(t *parse.Tree, trees map[string]*parse.Tree) error {
	var fault error
	eachCall(t, trees, func(in *parse.Tree, call *parse.TemplateNode) {
		if fault == nil && trees[call.Name] == nil {
			location, _ := in.ErrorContext(call)
			fault = fmt.Errorf("template: %s: template %q is not defined", location, call.Name)
		}
	})
	return fault
}

// missingWord follows the calls from t and tells of the first of a word that the locale lacks. A word whose key is
// computed is found when it is wanted.
func (l *language) missingWord(t *parse.Tree, trees map[string]*parse.Tree) error {
	var fault error
	look := func(in *parse.Tree) {
		if in == nil {
			return
		}
		eachWord(in.Root, func(n *parse.StringNode) {
			if _, ok := l.words[n.Text]; !ok && fault == nil {
				location, _ := in.ErrorContext(n)
				fault = fmt.Errorf("template: %s: no word %q in %s", location, n.Text, l.locale)
			}
		})
	}
	look(t)
	eachCall(t, trees, func(_ *parse.Tree, call *parse.TemplateNode) { look(trees[call.Name]) })
	return fault
}

// eachWord visits the key of each {{ word "key" }} below a node, wherever in a pipeline it stands.
func eachWord(root parse.Node, visit func(*parse.StringNode)) {
	var pipe func(p *parse.PipeNode)
	pipe = func(p *parse.PipeNode) {
		if p == nil {
			return
		}
		for _, c := range p.Cmds {
			if name, ok := c.Args[0].(*parse.IdentifierNode); ok && name.Ident == "word" && len(c.Args) > 1 {
				if key, ok := c.Args[1].(*parse.StringNode); ok {
					visit(key)
				}
			}
			for _, arg := range c.Args {
				if inner, ok := arg.(*parse.PipeNode); ok {
					pipe(inner)
				}
			}
		}
	}
	walk(root, func(n parse.Node) {
		switch n := n.(type) {
		case *parse.ActionNode:
			pipe(n.Pipe)
		case *parse.IfNode:
			pipe(n.Pipe)
		case *parse.RangeNode:
			pipe(n.Pipe)
		case *parse.WithNode:
			pipe(n.Pipe)
		case *parse.TemplateNode:
			pipe(n.Pipe)
		}
	})
}

// missing tells of each call in the team's files of a template that nobody defines, or of a word that the locale lacks.
func (l *language) missing(files []file) []error {
	ours := map[string]file{}
	for _, f := range files {
		ours[f.name] = f
	}
	var faults []error
	for _, t := range l.text.Templates() {
		if t.Tree == nil {
			continue
		}
		f, ok := ours[t.ParseName]
		if !ok {
			continue
		}
		walk(t.Root, func(n parse.Node) {
			if call, ok := n.(*parse.TemplateNode); ok && l.text.Lookup(call.Name) == nil {
				location, _ := t.ErrorContext(n)
				faults = append(faults, fmt.Errorf("%s: template: %s: template %q is not defined", f.path, location, call.Name))
			}
		})
		eachWord(t.Root, func(n *parse.StringNode) {
			if _, ok := l.words[n.Text]; !ok {
				location, _ := t.ErrorContext(n)
				faults = append(faults, fmt.Errorf("%s: template: %s: no word %q in %s", f.path, location, n.Text, l.locale))
			}
		})
	}
	return faults
}

// walk visits the nodes that stand in a template's text, outermost first.
func walk(n parse.Node, visit func(parse.Node)) {
	list := func(l *parse.ListNode) {
		if l != nil {
			walk(l, visit)
		}
	}
	visit(n)
	switch n := n.(type) {
	case *parse.ListNode:
		for _, n := range n.Nodes {
			walk(n, visit)
		}
	case *parse.IfNode:
		list(n.List)
		list(n.ElseList)
	case *parse.RangeNode:
		list(n.List)
		list(n.ElseList)
	case *parse.WithNode:
		list(n.List)
		list(n.ElseList)
	}
}

// withColumn adds the column to a parse error. It finds it by breaking the line at each place where white space may
// stand, from the right: the first break that moves the fault to the next line stands before it.
func withColumn(err error, src string, try func(src string) error) error {
	// text/template's error of a source it cannot parse names the line alone.
	at := regexp.MustCompile(`^template: (.*?):(\d+): `).FindStringSubmatchIndex(err.Error())
	if at == nil {
		return err
	}
	text := err.Error()
	line, _ := strconv.Atoi(text[at[4]:at[5]])
	lines := strings.SplitAfter(src, "\n")
	if line < 1 || line > len(lines) || len(lines[line-1]) > maxColumns {
		return err
	}
	before, after := strings.Join(lines[:line-1], ""), strings.Join(lines[line:], "")
	moved := text[:at[4]] + strconv.Itoa(line+1) + text[at[5]:]
	this := lines[line-1]
	for i := len(this) - 1; i > 0; i-- {
		if !strings.ContainsRune(" \t|({", rune(this[i])) {
			continue
		}
		if e := try(before + this[:i] + "\n" + this[i:] + after); e != nil && e.Error() == moved {
			rest := strings.TrimLeft(this[i:], " \t|({")
			column := len(this) - len(rest) // counted from 0, as text/template does in its other errors
			return fmt.Errorf("%s:%d%s%w", text[:at[5]], column, text[at[5]:at[1]], parseError(text[at[1]:]))
		}
	}
	return err
}

// maxColumns bounds the lines that withColumn looks into, in bytes.
const maxColumns = 1000

// A parseError is what is wrong with a source, without the place.
type parseError string

func (e parseError) Error() string { return string(e) }
