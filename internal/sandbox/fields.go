package sandbox

import (
	"encoding/json"
	"slices"
)

// fields are the names that the vendor's document gives an object's fields, each with the fields beneath it; nil beneath
// what is no object. The fields of a list are those of its items.
//
// The vendors ignore what they do not know, and a name in other capitals is another name to them, unlike to Go.
type fields map[string]fields

// prune returns a JSON object without what the vendor would ignore, and the paths of that, sorted. What is no JSON
// object stays as it is.
func (f fields) prune(body []byte) ([]byte, []string) {
	var object map[string]any
	if json.Unmarshal(body, &object) != nil {
		return body, nil
	}
	var unknown []string
	f.pruneValue(object, "", &unknown)
	if len(unknown) == 0 {
		return body, nil
	}
	slices.Sort(unknown)
	pruned, err := json.Marshal(object)
	if err != nil {
		return body, unknown
	}
	return pruned, slices.Compact(unknown)
}

func (f fields) pruneValue(v any, path string, unknown *[]string) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			f.pruneValue(item, path, unknown)
		}
	case map[string]any:
		for name, value := range v {
			beneath, ok := f[name]
			if !ok {
				*unknown = append(*unknown, path+name)
				delete(v, name)
			} else if beneath != nil {
				beneath.pruneValue(value, path+name+".", unknown)
			}
		}
	}
}

// flags says of each what the vendor would not.
func flagsOf(unknown []string) []string {
	var flags []string
	for _, path := range unknown {
		flags = append(flags, "unknown field "+path)
	}
	return flags
}
