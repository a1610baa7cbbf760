package config_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/config"
)

// A schema is the part of JSON Schema that config.Schema uses.
type schema struct {
	Ref         string             `json:"$ref"`
	Defs        map[string]*schema `json:"$defs"`
	Type        any                `json:"type"`
	Properties  map[string]*schema `json:"properties"`
	Additional  json.RawMessage    `json:"additionalProperties"`
	Items       *schema            `json:"items"`
	AnyOf       []*schema          `json:"anyOf"`
	Enum        []any              `json:"enum"`
	Pattern     string             `json:"pattern"`
	Required    []string           `json:"required"`
	Description string             `json:"description"`
}

func readSchema(t *testing.T) *schema {
	t.Helper()
	var s schema
	require.NoError(t, json.Unmarshal(config.Schema(), &s))
	return &s
}

// faults are what is wrong with a value, by its path.
func (s *schema) faults(root *schema, path string, v any) []string {
	if s.Ref != "" {
		return root.Defs[strings.TrimPrefix(s.Ref, "#/$defs/")].faults(root, path, v)
	}
	for _, choice := range s.AnyOf {
		if len(choice.faults(root, path, v)) == 0 {
			return nil
		}
	}
	if len(s.AnyOf) > 0 {
		return []string{path + ": none of the choices"}
	}
	var wrong []string
	kinds := kindsOf(v)
	if s.Type != nil && !slices.ContainsFunc(kinds, func(k string) bool { return strings.Contains(fmt.Sprint(s.Type), k) }) {
		wrong = append(wrong, fmt.Sprintf("%s: %s, want %v", path, kinds[0], s.Type))
	}
	if text, ok := v.(string); ok && s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(text) {
		wrong = append(wrong, path+": not "+s.Pattern)
	}
	if len(s.Enum) > 0 && !strings.Contains(fmt.Sprint(s.Enum), fmt.Sprint(v)) {
		wrong = append(wrong, path+": not one of those known")
	}
	switch v := v.(type) {
	case []any:
		for i, item := range v {
			wrong = append(wrong, s.Items.faults(root, fmt.Sprintf("%s[%d]", path, i), item)...)
		}
	case map[string]any:
		for key, item := range v {
			var other schema
			switch property, known := s.Properties[key]; {
			case known:
				wrong = append(wrong, property.faults(root, path+"."+key, item)...)
			case json.Unmarshal(s.Additional, &other) != nil:
				wrong = append(wrong, path+"."+key+": unknown")
			default:
				wrong = append(wrong, other.faults(root, path+"."+key, item)...)
			}
		}
		for _, key := range s.Required {
			if _, ok := v[key]; !ok {
				wrong = append(wrong, path+"."+key+": required")
			}
		}
	}
	return wrong
}

func kindsOf(v any) []string {
	switch v.(type) {
	case string:
		return []string{"string"}
	case bool:
		return []string{"boolean"}
	case int, int64, uint64:
		return []string{"integer", "number"}
	case float64:
		return []string{"number"}
	case []any:
		return []string{"array"}
	case map[string]any:
		return []string{"object"}
	}
	return []string{fmt.Sprintf("%T", v)}
}

func TestSchemaTakesWhatTheRelayTakes(t *testing.T) {
	t.Parallel()
	s := readSchema(t)
	for _, file := range []string{"../config.yaml", "testdata/pasted.yaml"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var v map[string]any
		require.NoError(t, yaml.Unmarshal(text, &v))
		require.Empty(t, s.faults(s, "", v), file)
	}
	var wrong map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(`{dedupe: {window: soon}, rout: {}, receivers: [{slack_configs: {}}]}`), &wrong))
	require.ElementsMatch(t, []string{
		".dedupe.window: not ^(0|([0-9]+(y|w|d|h|m|s|ms))+)$", ".rout: unknown", ".route: required",
		".receivers[0].slack_configs: object, want array",
	}, s.faults(s, "", wrong))
}

// TestSchemaHasEveryKey: what the reference pages name in their tables of keys is in the schema.
func TestSchemaHasEveryKey(t *testing.T) {
	t.Parallel()
	text := string(config.Schema())
	pages, err := filepath.Glob("../docs/reference/receivers/*.md")
	require.NoError(t, err)
	keys := regexp.MustCompile("`([a-z][a-z0-9_.]*)`")
	cells := regexp.MustCompile("(?m)^\\| (`[^|]*`) \\|")
	for _, page := range append(pages, "../docs/reference/configuration.md") {
		content, err := os.ReadFile(page)
		require.NoError(t, err)
		_, tables, found := strings.Cut(string(content), "## Keys\n")
		if !found {
			_, tables, _ = strings.Cut(string(content), "## The file\n")
		} else {
			tables, _, _ = strings.Cut(tables, "\n## ")
		}
		for _, row := range cells.FindAllStringSubmatch(tables, -1) {
			for _, key := range keys.FindAllStringSubmatch(row[1], -1) {
				for part := range strings.SplitSeq(key[1], ".") {
					known := strings.Contains(text, `"`+part+`": {`)
					require.True(t, known, "%s names %s", page, key[1])
				}
			}
		}
	}
}

// TestDescriptions: what the keys are described by are comments of fields that exist. With -update it takes them anew.
func TestDescriptions(t *testing.T) {
	t.Parallel()
	const file = "descriptions.json"
	if *update {
		text, err := json.MarshalIndent(comments(t), "", "  ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(file, append(text, '\n'), 0o600))
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var described map[string]string
	require.NoError(t, json.Unmarshal(text, &described))
	now := comments(t)
	for key := range described {
		require.Contains(t, now, key, "go test ./config -update takes the comments anew")
	}
	require.NotEmpty(t, readSchema(t).Properties["templates"].Description)
}

// comments are those of the fields with a yaml tag, by package, type and key.
func comments(t *testing.T) map[string]string {
	t.Helper()
	folders, err := filepath.Glob("../*")
	require.NoError(t, err)
	nested, err := filepath.Glob("../receivers/*")
	require.NoError(t, err)
	internal, err := filepath.Glob("../internal/*")
	require.NoError(t, err)
	found := map[string]string{}
	for _, folder := range append(append(append(folders, ".."), nested...), internal...) {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		require.NoError(t, err)
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
			require.NoError(t, err)
			ast.Inspect(f, func(n ast.Node) bool {
				if spec, ok := n.(*ast.TypeSpec); ok {
					if s, ok := spec.Type.(*ast.StructType); ok {
						addComments(found, f.Name.Name+"."+spec.Name.Name, s)
					}
				}
				return true
			})
		}
	}
	return found
}

func addComments(found map[string]string, in string, s *ast.StructType) {
	for _, field := range s.Fields.List {
		if field.Tag == nil {
			continue
		}
		key, _, _ := strings.Cut(reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("yaml"), ",")
		text := field.Doc.Text()
		if text == "" {
			text = field.Comment.Text()
		}
		if text = strings.Join(strings.Fields(text), " "); key != "" && key != "-" && text != "" {
			found[in+"."+key] = text
		}
	}
}
