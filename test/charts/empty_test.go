package charts_test

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// allOn has a part for every key of the values to play, as far as switches go.
const allOn = `
global: {imagePullSecrets: [mirror]}
commonLabels: {team: payments}
imagePullSecrets: [{name: team}]
allowedHosts: ["*.gini.net", "gini-proxy.acme.example:8443"]
podNudges: {enabled: true}
rolloutRestarts: {enabled: true}
podLabels: {acme.example/a: b}
metrics:
  serviceMonitor: {enabled: true, labels: {release: prometheus}, interval: 30s}
jwks:
  giniClients: [default/acme]
  ingress: {enabled: true, className: nginx, host: jwks.acme.example, tlsSecretName: jwks}
  httpRoute: {enabled: true, parentRefs: [{name: public}], hostnames: [jwks.acme.example]}
networkPolicy:
  enabled: true
  ingress: {health: {from: [{ipBlock: {cidr: 10.1.0.0/16}}]}}
  egress: {dns: {ports: [53, 5353]}}
podDisruptionBudget: {minAvailable: 1}
extraEnv: [{name: A, value: b}]
`

// inDeployment is where the Deployment has the maps that are Kubernetes' own, by the value that they are from.
var inDeployment = map[string][]string{
	"strategy":           {"spec", "strategy"},
	"podSecurityContext": {"spec", "template", "spec", "securityContext"},
	"securityContext":    {"spec", "template", "spec", "containers", "0", "securityContext"},
	"resources":          {"spec", "template", "spec", "containers", "0", "resources"},
	"livenessProbe":      {"spec", "template", "spec", "containers", "0", "livenessProbe"},
	"readinessProbe":     {"spec", "template", "spec", "containers", "0", "readinessProbe"},
}

// everyKey are the paths of all keys that values.yaml and its schema have, maps included.
func everyKey(t *testing.T) [][]string {
	t.Helper()
	var schema map[string]any
	if err := json.Unmarshal([]byte(read(t, filepath.Join(chart, "values.schema.json"))), &schema); err != nil {
		t.Fatal(err)
	}
	definitions, _ := schema["definitions"].(map[string]any)
	found := map[string]bool{}
	var inSchema func(node map[string]any, path []string)
	inSchema = func(node map[string]any, path []string) {
		if reference, refers := node["$ref"].(string); refers {
			node, _ = definitions[filepath.Base(reference)].(map[string]any)
		}
		properties, _ := node["properties"].(map[string]any)
		for key, inner := range properties {
			below := append(slices.Clone(path), key)
			found[strings.Join(below, ".")] = true
			inSchema(inner.(map[string]any), below)
		}
	}
	inSchema(schema, nil)
	var inValues func(values map[string]any, path []string)
	inValues = func(values map[string]any, path []string) {
		for key, value := range values {
			below := append(slices.Clone(path), key)
			found[strings.Join(below, ".")] = true
			if inner, isMap := value.(map[string]any); isMap {
				inValues(inner, below)
			}
		}
	}
	inValues(parsed(t, read(t, filepath.Join(chart, "values.yaml"))), nil)
	if len(found) < 100 {
		t.Fatalf("there are %d keys only", len(found))
	}
	var paths [][]string
	for _, name := range slices.Sorted(maps.Keys(found)) {
		paths = append(paths, strings.Split(name, "."))
	}
	return paths
}

// set puts a value into a map of maps.
func set(values map[string]any, path []string, value any) {
	if len(path) == 1 {
		values[path[0]] = value
		return
	}
	inner, isMap := values[path[0]].(map[string]any)
	if !isMap {
		inner = map[string]any{}
		values[path[0]] = inner
	}
	set(inner, path[1:], value)
}

// TestEmpty: each key that is left empty, one at a time, renders to what Kubernetes takes. A switch, a number, a text and a list of ports are as if
// the key were not there; every other list is as if it were []; a map of the chart's own is as if each of its keys were empty; one of Kubernetes' own
// is dropped.
func TestEmpty(t *testing.T) {
	defaults := parsed(t, read(t, filepath.Join(chart, "values.yaml")))
	server := shared(t)
	server.makeNamespace(t, namespace)
	admitted := map[string]bool{}
	type outcome struct {
		text string
		err  error
	}
	before := map[string]outcome{}
	render := func(t *testing.T, values map[string]any) (string, error) {
		t.Helper()
		key := marshalled(t, values)
		if _, known := before[key]; !known {
			text, err := helmTemplate(t, release, namespace, "--values", written(t, values))
			before[key] = outcome{text, err}
		}
		return before[key].text, before[key].err
	}
	for _, path := range everyKey(t) {
		t.Run(strings.Join(path, "."), func(t *testing.T) {
			empty, without := parsed(t, allOn), parsed(t, allOn)
			set(empty, path, nil)
			remove(without, path)
			inDefaults, shown, _ := unstructured.NestedFieldNoCopy(defaults, path...)
			if list, isList := inDefaults.([]any); isList && len(list) > 0 && path[len(path)-1] != "ports" && !free[path[0]] {
				set(without, path, []any{})
			}
			got, err := render(t, empty)
			want, wantErr := render(t, without)
			if wantErr != nil {
				if err == nil || err.Error() != wantErr.Error() {
					t.Fatalf("%v, and should be as where the key is not there: %v", err, wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			gotObjects := objects(t, got)
			for _, object := range gotObjects {
				body := marshalled(t, object.Object)
				if !admitted[body] {
					admitted[body] = true
					server.admits(t, object)
				}
			}
			switch _, isScalar := scalar(inDefaults); {
			case !free[path[0]] || shown && isScalar || !shown:
				if difference := cmp.Diff(want, got); difference != "" {
					t.Errorf("-wanted +there:\n%s", difference)
				}
			default:
				deployment := one(t, objects(t, want), "Deployment").Object
				if !removed(deployment, append(slices.Clone(inDeployment[path[0]]), path[1:]...)...) {
					t.Fatalf("the Deployment has no %v", path)
				}
				if whole, _ := at(deployment, inDeployment[path[0]]).(map[string]any); len(whole) == 0 {
					removed(deployment, inDeployment[path[0]]...)
				}
				there := one(t, gotObjects, "Deployment").Object
				if path[0] == "resources" { // GOMEMLIMIT follows: TestMemory
					for _, each := range []map[string]any{deployment, there} {
						removed(each, "spec", "template", "spec", "containers", "0", "env")
					}
				}
				if difference := cmp.Diff(deployment, there); difference != "" {
					t.Errorf("-wanted +there:\n%s", difference)
				}
			}
		})
	}
}

// at is a part of an object. A number selects from a list.
func at(part any, path []string) any {
	for _, step := range path {
		if list, isList := part.([]any); isList {
			part = list[0]
			continue
		}
		part, _ = part.(map[string]any)[step]
	}
	return part
}

// scalar is a value that is neither a map nor a list.
func scalar(value any) (any, bool) {
	switch value.(type) {
	case map[string]any, []any, nil:
		return nil, false
	}
	return value, true
}

// TestEmptyBelow: an empty key below a map that anything may stand in is left out.
func TestEmptyBelow(t *testing.T) {
	for set, path := range map[string][]string{
		"podLabels.a=null":                  {"spec", "template", "metadata", "labels", "a"},
		"podAnnotations.a=null":             {"spec", "template", "metadata", "annotations", "a"},
		"deploymentAnnotations.a=null":      {"metadata", "annotations"},
		"nodeSelector.a=null":               {"spec", "template", "spec", "nodeSelector"},
		"affinity.podAffinity=null":         {"spec", "template", "spec", "affinity"},
		"resources.limits.cpu=null":         {"spec", "template", "spec", "containers", "0", "resources", "limits", "cpu"},
		"livenessProbe.timeoutSeconds=null": {"spec", "template", "spec", "containers", "0", "livenessProbe", "timeoutSeconds"},
	} {
		deployment := one(t, rendered(t, "--set", set), "Deployment").Object
		if removed(deployment, path...) {
			t.Errorf("--set %s: there is %v", set, path)
		}
	}
}

// TestOddValues: what looks like a number, a boolean or nothing stays the text that it is.
func TestOddValues(t *testing.T) {
	server := shared(t)
	for _, odd := range []string{"123", "1e3", "0x1f", "true", "null", "no", "y"} {
		values := parsed(t, `
crds: {enabled: false}
rbac: {userRoles: false}
watchNamespaces: [`+"'"+odd+"'"+`]
serviceAccount: {name: '`+odd+`'}
nameOverride: '`+odd+`'
commonLabels: {acme.example/odd: '`+odd+`'}
image: {tag: '`+odd+`'}
imagePullSecrets: ['`+odd+`', {name: '`+odd+`'}]
podNudges: {enabled: true}
podAnnotations: {acme.example/odd: '`+odd+`'}
podLabels: {acme.example/odd: '`+odd+`'}
nodeSelector: {acme.example/odd: '`+odd+`'}
priorityClassName: '`+odd+`'
runtimeClassName: '`+odd+`'
terminationGracePeriodSeconds: 3000000
extraEnv: [{name: A, value: '`+odd+`'}]
allowedHosts: ['`+odd+`', 'a.test:']
jwks:
  giniClients: ['`+odd+`/`+odd+`']
  ingress: {enabled: true, className: '`+odd+`', host: '*.`+odd+`.test', tlsSecretName: '`+odd+`'}
networkPolicy: {enabled: true, ingress: {health: {from: [{podSelector: {}}]}}}
`)
		server.makeNamespace(t, odd)
		text, err := helmTemplate(t, odd, odd, "--values", written(t, values))
		if err != nil {
			t.Errorf("%s: %v", odd, err)
			continue
		}
		for _, object := range objects(t, text) {
			if object.GetNamespace() != "" && object.GetNamespace() != odd {
				t.Errorf("%s: %s %s is in the namespace %q", odd, object.GetKind(), object.GetName(), object.GetNamespace())
			}
			server.admits(t, object)
		}
	}
}

// TestValuesAreRead: no template begins without the defaults, as Helm renders templates in an order that nobody promises.
func TestValuesAreRead(t *testing.T) {
	var templates []string
	for _, pattern := range []string{"*.yaml", "*.txt", "*/*.yaml"} {
		paths, err := filepath.Glob(filepath.Join(chart, "templates", pattern))
		if err != nil {
			t.Fatal(err)
		}
		templates = append(templates, paths...)
	}
	if len(templates) < 13 {
		t.Fatalf("there are %v", templates)
	}
	for _, path := range templates {
		if first, _, _ := strings.Cut(read(t, path), "\n"); !strings.Contains(first, `include "gini-operator.defaults" .`) {
			t.Errorf("%s begins with %s", path, first)
		}
	}
	var copied map[string]any
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join(chart, "files", "defaults", "values.yaml"))), &copied); err != nil {
		t.Fatal(err)
	}
	if difference := cmp.Diff(parsed(t, read(t, filepath.Join(chart, "values.yaml"))), copied); difference != "" {
		t.Errorf("run hack/chart.sh: -values.yaml +copy:\n%s", difference)
	}
}
