package templates

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"text/template/parse"
)

// The hidden functions that bound an execution. See run.
const (
	tickFunction  = "tick"
	enterFunction = "enter"
	leaveFunction = "leave"
	boundFunction = "bound"
)

// guard puts the hidden calls into a parsed template: enter at its head, leave at its end, tick at the head of each
// loop, bound at the end of each computation that outlives its line, since only those can grow from round to round.
// Without them text/template has no bound: {{range 2000000000}}{{end}} would keep a processor busy for good. Guarding
// twice does nothing.
func guard(t *parse.Tree) {
	if t == nil || t.Root == nil || isCall(t.Root, enterFunction) {
		return
	}
	walk(t.Root, func(n parse.Node) {
		switch n := n.(type) {
		case *parse.RangeNode:
			n.List.Nodes = append([]parse.Node{call(tickFunction, n.Pos, n.Line)}, n.List.Nodes...)
		case *parse.ActionNode:
			if len(n.Pipe.Decl) > 0 {
				bound(n.Pipe)
			}
		case *parse.TemplateNode:
			bound(n.Pipe)
		}
	})
	nodes := append([]parse.Node{call(enterFunction, t.Root.Pos, 1)}, t.Root.Nodes...)
	t.Root.Nodes = append(nodes, call(leaveFunction, t.Root.Pos, 1))
}

// call is {{ $_ := name }}: an assignment, because html/template leaves that alone.
func call(name string, pos parse.Pos, line int) parse.Node {
	return &parse.ActionNode{NodeType: parse.NodeAction, Pos: pos, Line: line, Pipe: &parse.PipeNode{
		NodeType: parse.NodePipe, Pos: pos, Line: line,
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
	switch first := p.Cmds[0].Args[0].(type) {
	case *parse.IdentifierNode:
		if first.Ident == tickFunction {
			return
		}
	case *parse.PipeNode, *parse.ChainNode:
	default:
		if len(p.Cmds) == 1 {
			return
		}
	}
	p.Cmds = append(p.Cmds, command(boundFunction, p.Pos))
}

// isCall reports whether a list begins with call(name).
func isCall(list *parse.ListNode, name string) bool {
	if len(list.Nodes) == 0 {
		return false
	}
	a, ok := list.Nodes[0].(*parse.ActionNode)
	if !ok || len(a.Pipe.Cmds) != 1 || len(a.Pipe.Cmds[0].Args) != 1 {
		return false
	}
	ident, ok := a.Pipe.Cmds[0].Args[0].(*parse.IdentifierNode)
	return ok && ident.Ident == name
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
func missingTemplate(t *parse.Tree, lookup func(name string) *parse.Tree) error {
	seen := map[string]bool{}
	var follow func(t *parse.Tree) error
	follow = func(t *parse.Tree) error {
		var fault error
		walk(t.Root, func(n parse.Node) {
			call, ok := n.(*parse.TemplateNode)
			if !ok || fault != nil || seen[call.Name] {
				return
			}
			called := lookup(call.Name)
			if called == nil || called.Root == nil {
				location, _ := t.ErrorContext(n)
				fault = fmt.Errorf("template: %s: template %q is not defined", location, call.Name)
				return
			}
			seen[call.Name] = true
			fault = follow(called)
		})
		return fault
	}
	return follow(t)
}

// missing tells of each call in the team's files of a template that nobody defines.
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
	}
	return faults
}

// walk visits the nodes that stand in a template's text, outermost first.
func walk(n parse.Node, visit func(parse.Node)) {
	list := func(l *parse.ListNode) {
		if l == nil {
			return
		}
		for _, n := range l.Nodes {
			walk(n, visit)
		}
	}
	visit(n)
	switch n := n.(type) {
	case *parse.ListNode:
		list(n)
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
