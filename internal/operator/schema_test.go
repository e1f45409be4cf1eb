package operator_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// degree is how far a generated object goes.
type degree string

const (
	// minimal objects have the required fields only.
	minimal degree = "minimal"
	// full objects have nearly all fields, with values that a person could have written.
	full degree = "full"
	// absurd objects have whatever the schema lets through.
	absurd degree = "absurd"
)

// schema is a part of the OpenAPI schema of a CRD, as YAML has it.
type schema map[string]any

// specOf is the schema of the spec of a kind.
func specOf(kind string) schema {
	content, err := os.ReadFile(filepath.Join("..", "..", "config", "crd", "bases", "credentials.gini.net_"+strings.ToLower(kind)+"s.yaml"))
	Expect(err).NotTo(HaveOccurred())
	var crd map[string]any
	Expect(yaml.Unmarshal(content, &crd)).To(Succeed())
	versions, _, err := unstructured.NestedSlice(crd, "spec", "versions")
	Expect(err).NotTo(HaveOccurred())
	Expect(versions).To(HaveLen(1))
	version, _ := versions[0].(map[string]any)
	spec, found, err := unstructured.NestedMap(version, "schema", "openAPIV3Schema", "properties", "spec")
	Expect(err).NotTo(HaveOccurred())
	Expect(found).To(BeTrue())
	return spec
}

func (s schema) at(name string) schema {
	inner, _ := s[name].(map[string]any)
	return inner
}

// bound is a number of the schema, such as maxLength, or a default where it has none.
func (s schema) bound(name string, fallback int) int {
	switch value := s[name].(type) {
	case int64:
		return int(value)
	case float64:
		return int(value)
	}
	return fallback
}

// choice is a pair of fields of which exactly one is to be set, or at least one.
type choice struct {
	one, other string
	exactly    bool
}

var (
	choiceRule    = regexp.MustCompile(`^has\(self\.(\w+)\) (!=|\|\|) has\(self\.(\w+)\)$`)
	exclusionRule = regexp.MustCompile(`^!has\(self\.(\w+)\) \|\| !has\(self\.([\w.]+)\)$`)
)

// choices are the pairs that the schema's rules speak of, and exclusions what must be absent where another field is set, by that
// field. All other rules are known by trying only.
func (s schema) choices() (found []choice, exclusions map[string]string) {
	exclusions = map[string]string{}
	rules, _ := s["x-kubernetes-validations"].([]any)
	for _, rule := range rules {
		rule, _ := rule.(map[string]any)
		text, _ := rule["rule"].(string)
		if parts := choiceRule.FindStringSubmatch(text); parts != nil {
			found = append(found, choice{parts[1], parts[3], parts[2] == "!="})
		}
		if parts := exclusionRule.FindStringSubmatch(text); parts != nil {
			exclusions[parts[1]] = parts[2]
		}
	}
	return found, exclusions
}

// generator makes one object of a schema, always the same of the same random source.
type generator struct {
	random *rand.Rand
	degree degree
	// density is how many of the optional fields are set, from 0 to 1.
	density float64
	words   words
	// auth is the user's, once it is known: what data may use depends on it.
	auth any
}

// value makes a value for the field at a path of names. "*" stands for the values of a map.
func (g *generator) value(of schema, path string) any {
	if values, ok := of["enum"].([]any); ok {
		return g.listed(values, path)
	}
	switch of["type"] {
	case "object":
		if of["additionalProperties"] != nil {
			return g.mapping(of, path)
		}
		return g.object(of, path)
	case "array":
		return g.list(of, path)
	case "string":
		return g.text(path, of.bound("maxLength", 1000))
	case "integer":
		return g.number(of.bound("minimum", 0), of.bound("maximum", 1<<31-1))
	case "boolean":
		return g.chance(0.3)
	}
	if of["x-kubernetes-preserve-unknown-fields"] == true {
		text := g.text(path, 100)
		return pick(g, []any{text, []any{text, "b"}, map[string]any{"a": []any{text, nil}}, int64(1<<53 + 1), -0.5, g.chance(0.5), []any{}})
	}
	panic(fmt.Sprintf("the generator does not know the type %v of %s", of["type"], path))
}

func (g *generator) chance(of float64) bool { return g.random.Float64() < of }

func pick[T any](g *generator, from []T) T { return from[g.random.IntN(len(from))] }

// listed is a value of an enumeration. RSA keys take a second each under the race detector: there are few of them.
func (g *generator) listed(values []any, path string) any {
	if strings.HasSuffix(path, ".algorithm") && g.chance(0.9) {
		return pick(g, []any{"ES256", "ES384"})
	}
	value := pick(g, values)
	if strings.HasSuffix(path, ".auth") {
		g.auth = value
	}
	return value
}

func (g *generator) number(least, most int) int64 {
	if g.degree == absurd && g.chance(0.7) {
		return int64(pick(g, []int{least, most}))
	}
	return int64(least + g.random.IntN(most-least+1))
}

func (g *generator) object(of schema, path string) map[string]any {
	properties := of.at("properties")
	required, _ := of["required"].([]any)
	wanted := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		wanted[name] = slices.Contains(required, any(name)) || g.chance(g.density)
	}
	choices, exclusions := of.choices()
	for _, either := range choices {
		if either.exactly || !wanted[either.one] && !wanted[either.other] {
			first := g.chance(0.5)
			wanted[either.one], wanted[either.other] = first, !first
		}
	}
	object := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if wanted[name] {
			object[name] = g.value(properties.at(name), path+"."+name)
		}
	}
	for _, field := range slices.Sorted(maps.Keys(exclusions)) {
		if wanted[field] {
			unstructured.RemoveNestedField(object, strings.Split(exclusions[field], ".")...)
		}
	}
	return object
}

// size is a number of items or keys.
func (g *generator) size(least, most int) int {
	switch {
	case g.degree != absurd:
		return min(max(least, 1)+g.random.IntN(2), most)
	case g.chance(0.08):
		return most
	case g.chance(0.3):
		return least
	}
	return least + g.random.IntN(min(most-least, 3)+1)
}

func (g *generator) list(of schema, path string) []any {
	items := []any{}
	for range g.size(of.bound("minItems", 0), of.bound("maxItems", 20)) {
		items = append(items, g.value(of.at("items"), path))
	}
	if of["x-kubernetes-list-type"] == "set" && !g.chance(0.05) {
		slices.SortFunc(items, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		items = slices.Compact(items)
	}
	if keys, ok := of["x-kubernetes-list-map-keys"].([]any); ok && len(keys) == 1 {
		key, _ := keys[0].(string)
		of := func(item any) string {
			text, _, _ := unstructured.NestedString(item.(map[string]any), key)
			return text
		}
		slices.SortFunc(items, func(a, b any) int { return strings.Compare(of(a), of(b)) })
		items = slices.CompactFunc(items, func(a, b any) bool { return of(a) == of(b) })
	}
	return items
}

func (g *generator) mapping(of schema, path string) map[string]any {
	object := map[string]any{}
	for range g.size(of.bound("minProperties", 0), of.bound("maxProperties", 20)) {
		object[g.text(path+".#", 317)] = g.value(of.at("additionalProperties"), path+".*")
	}
	return object
}

// text is a text that fits a field: sensible, extreme though allowed, or now and then anything at all.
func (g *generator) text(path string, longest int) string {
	known := g.words.of(path)
	switch {
	case g.degree != absurd || known.absurd == nil || g.chance(0.35):
		return known.sensible(g)
	case g.chance(0.01):
		return anything(g, longest)
	}
	return known.absurd(g)
}

// anything is a text that nobody has thought about.
func anything(g *generator, longest int) string {
	text := []rune{}
	for range g.random.IntN(longest + 1) {
		text = append(text, pick(g, []rune("aZ09-_./:@$() \t\n\r\x00\x7f\u00e4\u202e\u200b\ufeff\u2028\U0001f4a9e\u0301\ufffd")))
	}
	return string(text)
}
