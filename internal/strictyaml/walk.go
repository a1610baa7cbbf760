package strictyaml

import (
	"reflect"
	"strconv"
)

// Walk visits a value and all below it, each with the path that Decode gives it. Visit gets an addressable value, except
// for the values of plain maps, and tells whether to go below it. Nil pointers and unexported fields are not visited.
func Walk(v any, visit func(path string, v reflect.Value) bool) {
	walk("", reflect.ValueOf(v), visit)
}

func walk(path string, v reflect.Value, visit func(string, reflect.Value) bool) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	if !visit(path, v) {
		return
	}
	switch v.Kind() { //nolint:exhaustive // all other kinds have nothing below them
	case reflect.Struct:
		walkStruct(path, v, visit)
	case reflect.Slice:
		for i := range v.Len() {
			walk(path+"["+strconv.Itoa(i)+"]", v.Index(i), visit)
		}
	case reflect.Map:
		for iter := v.MapRange(); iter.Next(); {
			if iter.Key().Kind() == reflect.String {
				walk(join(path, iter.Key().String()), iter.Value(), visit)
			}
		}
	}
}

func walkStruct(path string, v reflect.Value, visit func(string, reflect.Value) bool) {
	if !v.CanAddr() { // a map's value: a copy can be visited
		addressable := reflect.New(v.Type()).Elem()
		addressable.Set(v)
		v = addressable
	}
	f := fieldsOf(v)
	for _, key := range f.order {
		walk(join(path, key), f.byKey[key], visit)
	}
	if f.open != nil {
		f.open.Each(func(key string, value any) { walk(join(path, key), reflect.ValueOf(value), visit) })
	}
	if f.rest.IsValid() {
		walk(path, f.rest, visit)
	}
}
