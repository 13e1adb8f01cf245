// Package obj has the few helpers that reading and writing JSON trees takes. KubeVirt's own Go types
// are not to be had as a module, so objects stay trees here.
package obj

import (
	"encoding/json"
	"strconv"

	"k8s.io/apimachinery/pkg/api/resource"
)

// M is a JSON object.
type M = map[string]any

// Get walks down; nil when a step is missing or no object.
func Get(m M, path ...string) any {
	var v any = m
	for _, key := range path {
		next, ok := v.(M)
		if !ok {
			return nil
		}
		v = next[key]
	}
	return v
}

// Has says whether the field is there and not null.
func Has(m M, path ...string) bool { return Get(m, path...) != nil }

// Map is the object at the path, nil when there is none.
func Map(m M, path ...string) M {
	v, _ := Get(m, path...).(M)
	return v
}

// Str is the string at the path, "" when there is none.
func Str(m M, path ...string) string {
	v, _ := Get(m, path...).(string)
	return v
}

// Bool is the boolean at the path, false when there is none.
func Bool(m M, path ...string) bool {
	v, _ := Get(m, path...).(bool)
	return v
}

// Int is the whole number at the path, 0 when there is none.
func Int(m M, path ...string) int64 {
	switch v := Get(m, path...).(type) {
	case int64:
		return v
	case int:
		return int64(v)
	case float64:
		return int64(v)
	case json.Number:
		n, _ := v.Int64()
		return n
	}
	return 0
}

// List is the objects of the list at the path; what is no object in it is left out.
func List(m M, path ...string) []M {
	items, _ := Get(m, path...).([]any)
	out := make([]M, 0, len(items))
	for _, item := range items {
		if entry, ok := item.(M); ok {
			out = append(out, entry)
		}
	}
	return out
}

// Strings is the list of strings at the path.
func Strings(m M, path ...string) []string {
	items, _ := Get(m, path...).([]any)
	out := make([]string, 0, len(items))
	for _, item := range items {
		if s, ok := item.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// Set writes a value, making the objects on the way.
func Set(m M, value any, path ...string) {
	for _, key := range path[:len(path)-1] {
		next, ok := m[key].(M)
		if !ok {
			next = M{}
			m[key] = next
		}
		m = next
	}
	m[path[len(path)-1]] = value
}

// Default writes the value only where there is none.
func Default(m M, value any, path ...string) {
	if !Has(m, path...) {
		Set(m, value, path...)
	}
}

// Delete removes a field.
func Delete(m M, path ...string) {
	parent := Map(m, path[:len(path)-1]...)
	if parent != nil {
		delete(parent, path[len(path)-1])
	}
}

// Anys turns objects into a list as JSON has it.
func Anys(items []M) []any {
	out := make([]any, 0, len(items))
	for _, item := range items {
		out = append(out, item)
	}
	return out
}

// Append adds to the list at the path.
func Append(m M, value any, path ...string) {
	items, _ := Get(m, path...).([]any)
	Set(m, append(append([]any{}, items...), value), path...)
}

// Copy is a deep copy.
func Copy(m M) M {
	if m == nil {
		return nil
	}
	return copyAny(m).(M)
}

func copyAny(v any) any {
	switch t := v.(type) {
	case M:
		out := make(M, len(t))
		for k, e := range t {
			out[k] = copyAny(e)
		}
		return out
	case []any:
		out := make([]any, len(t))
		for i, e := range t {
			out[i] = copyAny(e)
		}
		return out
	}
	return v
}

// Quantity reads a quantity written as a string or a number; ok is false where there is none.
func Quantity(m M, path ...string) (resource.Quantity, bool) {
	var text string
	switch v := Get(m, path...).(type) {
	case string:
		text = v
	case int64:
		text = strconv.FormatInt(v, 10)
	case float64:
		text = strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return resource.Quantity{}, false
	}
	q, err := resource.ParseQuantity(text)
	return q, err == nil
}
