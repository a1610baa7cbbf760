package strictyaml

import (
	"reflect"
	"slices"
	"strings"
)

// Open is a part of a struct, tagged inline, whose keys are known only at run time.
type Open interface {
	// Keys are the keys it takes.
	Keys() []string
	// NewValue returns a pointer to read the value of key into; nil when it does not take the key.
	NewValue(key string) any
	// Put keeps what was read.
	Put(key string, value any)
	// Each calls f with every key it holds and its value, in the order of Keys.
	Each(f func(key string, value any))
}

// fields are the keys of a struct: its own and those of structs inline in it.
type fields struct {
	order []string
	byKey map[string]reflect.Value
	rest  reflect.Value // inline map that takes all other keys
	open  Open
}

// fieldsOf reads the tags of an addressable struct.
func fieldsOf(v reflect.Value) fields {
	f := fields{byKey: make(map[string]reflect.Value)}
	f.add(v)
	return f
}

func (f *fields) add(v reflect.Value) {
	t := v.Type()
	for i := range t.NumField() {
		field := t.Field(i)
		key, inline := keyOf(field)
		switch {
		case !field.IsExported() || key == "-":
		case !inline:
			f.order = append(f.order, key)
			f.byKey[key] = v.Field(i)
		case field.Type.Kind() == reflect.Struct:
			f.add(v.Field(i))
		default:
			if open, ok := v.Field(i).Addr().Interface().(Open); ok {
				f.open = open
			} else if field.Type.Kind() == reflect.Map {
				f.rest = v.Field(i)
			}
		}
	}
}

// keyOf reads the yaml tag of a field.
func keyOf(field reflect.StructField) (key string, inline bool) {
	parts := strings.Split(field.Tag.Get("yaml"), ",")
	if slices.Contains(parts[1:], "inline") {
		return "", true
	}
	if parts[0] == "" {
		return strings.ToLower(field.Name), false
	}
	return parts[0], false
}

func (f *fields) keys() []string {
	if f.open == nil {
		return f.order
	}
	return append(slices.Clone(f.order), f.open.Keys()...)
}

// nearest returns the known key that key was probably meant to be; empty when none is near.
func nearest(key string, known []string) string {
	best, least := "", 1+max(1, len(key)/3)
	for _, k := range known {
		if n := distance(strings.ToLower(key), k); n < least {
			best, least = k, n
		}
	}
	return best
}

// distance counts the letters to insert, drop, replace or swap with the next, to get from a to b.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
