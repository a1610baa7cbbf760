package config

import (
	_ "embed"
	"encoding/json"
	"errors"
	"maps"
	"path"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/internal/strictyaml"
)

// descriptions are the comments of the fields behind the keys: a test writes them with -update.
//
//go:embed descriptions.json
var descriptions []byte

// Schema returns the JSON Schema of a configuration file, for editors and pipelines. It knows keys and the forms of their
// values; what a value means, and which keys go together, check-config alone knows.
func Schema() []byte {
	s := schemas{defs: map[string]any{}, described: map[string]string{}}
	_ = json.Unmarshal(descriptions, &s.described) // a test reads it
	root := s.object(reflect.TypeFor[Config]())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Configuration of the relay"
	root["required"] = []string{"route", "receivers"}
	root["$defs"] = s.defs
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // texts, lists and maps: nothing in it can fail
	}
	return append(text, '\n')
}

// schemas makes the schema of each type once.
type schemas struct {
	defs      map[string]any
	described map[string]string
}

// of is the schema of values of a type.
func (s *schemas) of(t reflect.Type) map[string]any {
	switch t {
	case reflect.TypeFor[model.Duration]():
		return map[string]any{"type": "string", "pattern": `^(0|([0-9]+(y|w|d|h|m|s|ms))+)$`}
	case reflect.TypeFor[secret.String](), reflect.TypeFor[promconfig.Secret](), reflect.TypeFor[promconfig.URL]():
		return map[string]any{"type": "string"}
	case reflect.TypeFor[relay.Backlog]():
		return map[string]any{"enum": []relay.Backlog{relay.BacklogMerge, relay.BacklogEach}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Struct:
		return s.reference(t)
	case reflect.Slice:
		return map[string]any{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64, reflect.Uint, reflect.Uint64:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.String:
		return map[string]any{"type": []string{"string", "number"}} // as YAML reads a phone number without quotes
	default:
		return map[string]any{}
	}
}

// reference is where the schema of a struct stands, so that a route may hold routes.
func (s *schemas) reference(t reflect.Type) map[string]any {
	name := typeName(t)
	if _, done := s.defs[name]; !done {
		s.defs[name] = nil // it may refer to itself
		s.defs[name] = s.whole(t)
	}
	return map[string]any{"$ref": "#/$defs/" + name}
}

// whole is an object, or one that may be written shorter, as a text.
func (s *schemas) whole(t reflect.Type) map[string]any {
	if short, ok := reflect.New(t).Interface().(yaml.InterfaceUnmarshaler); ok && short.UnmarshalYAML(asText) == nil {
		return map[string]any{"anyOf": []any{map[string]any{"type": "string"}, s.object(t)}}
	}
	return s.object(t)
}

// asText decodes a text, into whatever takes one.
func asText(into any) error {
	switch into := into.(type) {
	case *any:
		*into = "text"
		return nil
	case *string, *secret.String:
		return nil
	default:
		return errors.New("expected text")
	}
}

// object has the keys of a struct, and of those inline in it.
func (s *schemas) object(t reflect.Type) map[string]any {
	properties := map[string]any{}
	others := s.addKeys(t, properties)
	return map[string]any{"type": "object", "properties": properties, "additionalProperties": others}
}

// addKeys adds the keys of a struct, and tells whether it takes others.
func (s *schemas) addKeys(t reflect.Type, properties map[string]any) (others bool) {
	for field := range t.Fields() {
		key, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case !field.IsExported() || key == "-":
		case strings.Contains(options, "inline"):
			others = s.addInline(field.Type, properties) || others
		default:
			if key == "" {
				key = strings.ToLower(field.Name)
			}
			property := s.of(field.Type)
			if text := s.described[typeName(t)+"."+key]; text != "" {
				property = maps.Clone(property)
				property["description"] = text
			}
			if key == "locale" {
				property["enum"] = []string{relay.LocaleChinese, relay.LocaleEnglish}
			}
			properties[key] = property
		}
	}
	return others
}

// addInline adds the keys of what is inline: a struct, or the integrations of a receiver. A map takes any.
func (s *schemas) addInline(t reflect.Type, properties map[string]any) (others bool) {
	if open, ok := reflect.New(t).Interface().(strictyaml.Open); ok {
		for _, key := range open.Keys() {
			properties[key] = s.of(reflect.TypeOf(open.NewValue(key)))
		}
		return false
	}
	if t.Kind() == reflect.Struct {
		return s.addKeys(t, properties)
	}
	return t.Kind() == reflect.Map
}

// typeName is what a type is called in the schema: dingtalk.Config.
func typeName(t reflect.Type) string { return path.Base(t.PkgPath()) + "." + t.Name() }
