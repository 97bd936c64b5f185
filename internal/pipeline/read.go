package pipeline

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// object is one JSON Schema.
type object = map[string]any

// shape is a part of the file format. One Go type says both what the parser
// takes and what the JSON Schema allows, so that the two cannot drift apart.
type shape interface {
	// read fills the shape from n and reports what does not fit.
	read(r *report, n *yaml.Node)
	// schema is the JSON Schema (draft-07) of what read takes.
	schema() object
}

// scalar is a single value: its text as written, checked and kept by set.
type scalar interface {
	set(text string) error
	kind() string // wantString, wantInt or wantBool
	schema() object
}

// val is a scalar and where it stands. The zero val was not in the file.
type val[T any, P interface {
	*T
	scalar
}] struct {
	V   T
	at  mark
	set bool
}

func (v *val[T, P]) read(r *report, n *yaml.Node) {
	v.at, v.set = place(n), true
	want := P(&v.V).kind()
	if got := kindOf(n); got != want {
		hint := ""
		if want == wantString && n.Kind == yaml.ScalarNode && got != isNull {
			hint = fmt.Sprintf("put it in quotes if it is meant as a word: %q", n.Value)
		}
		r.add("E-YAML-TYPE", v.at, hint, "here stands %s; wanted is %s", got, want)
		return
	}
	if err := P(&v.V).set(n.Value); err != nil {
		r.add("E-YAML-VALUE", v.at, "", "%s", err)
	}
}

func (v *val[T, P]) schema() object { return P(&v.V).schema() }

// list is a sequence.
type list[T any, P interface {
	*T
	shape
}] struct {
	items []T
	at    mark
}

const maxItems = 100 // of one list or mapping

func (l *list[T, P]) read(r *report, n *yaml.Node) {
	l.at = place(n)
	if got := kindOf(n); got != isList {
		hint := ""
		if n.Kind == yaml.ScalarNode && got == wantString {
			hint = "write it as a list: [" + clip(n.Value) + "]"
		}
		r.add("E-YAML-TYPE", l.at, hint, "here stands %s; wanted is a list", got)
		return
	}
	if len(n.Content) == 0 || len(n.Content) > maxItems {
		r.add("E-YAML-VALUE", l.at, "leave the key out if there is nothing to say", "a list has 1 to %d items", maxItems)
		return
	}
	l.items = make([]T, len(n.Content))
	for i, c := range n.Content {
		P(&l.items[i]).read(r, c)
	}
}

func (l *list[T, P]) schema() object {
	return object{"type": "array", "minItems": 1, "maxItems": maxItems, "items": P(new(T)).schema()}
}

// many is one mapping, or a list of them.
type many[T any, P interface {
	*T
	shape
}] struct{ list[T, P] }

func (m *many[T, P]) read(r *report, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		m.list.read(r, n)
		return
	}
	m.at = place(n)
	m.items = make([]T, 1)
	P(&m.items[0]).read(r, n)
}

func (m *many[T, P]) schema() object {
	return object{"anyOf": []any{P(new(T)).schema(), m.list.schema()}}
}

// table is a mapping whose keys the author chooses, in the order of the file.
type table[K any, KP interface {
	*K
	scalar
}, T any, P interface {
	*T
	shape
}] struct {
	rows []row[K, T]
	at   mark
}

type row[K, T any] struct {
	key  K
	name string
	at   mark
	item T
}

func (t *table[K, KP, T, P]) read(r *report, n *yaml.Node) {
	t.at = place(n)
	if got := kindOf(n); got != isMapping {
		r.add("E-YAML-TYPE", t.at, "", "here stands %s; wanted is a mapping", got)
		return
	}
	if len(n.Content) == 0 || len(n.Content)/2 > maxItems {
		r.add("E-YAML-VALUE", t.at, "leave the key out if there is nothing to say", "a mapping has 1 to %d keys", maxItems)
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		t.rows = append(t.rows, row[K, T]{name: n.Content[i].Value, at: place(n.Content[i])})
		last := &t.rows[len(t.rows)-1]
		if err := KP(&last.key).set(last.name); err != nil {
			r.add("E-YAML-VALUE", last.at, "", "%s", err)
		}
		P(&last.item).read(r, n.Content[i+1])
	}
}

func (t *table[K, KP, T, P]) schema() object {
	key := KP(new(K)).schema()
	delete(key, "type") // a key is always a string
	return object{
		"type": "object", "minProperties": 1, "maxProperties": maxItems,
		"propertyNames": key, "additionalProperties": P(new(T)).schema(),
	}
}

// field is one key of a struct form, as its tags say:
// `key:"name" need:"true" doc:"..."`.
type field struct {
	key, doc string
	need     bool
	shape    shape
}

// fields lists the keys of a form; form is a pointer to a struct.
func fields(form any) []field {
	v := reflect.ValueOf(form).Elem()
	var out []field
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		key := tag.Get("key")
		if key == "" {
			continue
		}
		out = append(out, field{key, tag.Get("doc"), tag.Get("need") != "", v.Field(i).Addr().Interface().(shape)})
	}
	return out
}

// readForm fills a struct form from a mapping and returns where each key stood.
func readForm(r *report, n *yaml.Node, form any) map[string]mark {
	if got := kindOf(n); got != isMapping {
		r.add("E-YAML-TYPE", place(n), "", "here stands %s; wanted is a mapping", got)
		return nil
	}
	known := fields(form)
	names := make([]string, len(known))
	for i, f := range known {
		names[i] = f.key
	}
	stood := make(map[string]mark, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		stood[k.Value] = place(k)
		at := slices.Index(names, k.Value)
		if at < 0 {
			r.add("E-YAML-UNKNOWN-KEY", place(k), didYouMean(k.Value, names), "there is no key %q here", clip(k.Value))
			continue
		}
		known[at].shape.read(r, n.Content[i+1])
	}
	for _, f := range known {
		if _, ok := stood[f.key]; f.need && !ok {
			r.add("E-YAML-MISSING-KEY", place(n), "", "the key %q is missing here", f.key)
		}
	}
	return stood
}

// formSchema is the schema of a struct form.
func formSchema(form any) object {
	properties, required := object{}, []any{}
	for _, f := range fields(form) {
		s := f.shape.schema()
		if f.doc != "" {
			s["description"] = f.doc
		}
		properties[f.key] = s
		if f.need {
			required = append(required, f.key)
		}
	}
	s := object{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

func clip(s string) string {
	s = printable(strings.ReplaceAll(s, "\n", " "))
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
