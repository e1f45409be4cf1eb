package charts_test

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestTypos: a value that the chart does not know is refused, and the message names it (R5.4).
func TestTypos(t *testing.T) {
	for _, test := range []struct{ name, set, says string }{
		{"at the top", "replicaCount=3", "additional properties 'replicaCount' not allowed"},
		{"in a map", "image.tags=v1", "at '/image': additional properties 'tags' not allowed"},
		{"deep down", "networkPolicy.egress.dsn.ports[0]=53", "at '/networkPolicy/egress': additional properties 'dsn' not allowed"},
		{"a list for a text", "image.tag[0]=v1", "at '/image/tag': got array, want null or string"},
		{"a text for a list", "allowedHosts=*.gini.net", "at '/allowedHosts': got string, want null or array"},
		{"hosts in one text", `allowedHosts[0]=a.gini.net\,b.gini.net`, "at '/allowedHosts/0': "},
		{"a text for a number", "replicas=two", "at '/replicas': got string, want null or integer"},
		{"no time", "leaderElection.leaseDuration=a minute", "at '/leaderElection/leaseDuration': "},
		{"no digest", "image.digest=4355a46b", "at '/image/digest': "},
		{"no policy", "image.pullPolicy=Sometimes", "at '/image/pullPolicy': value must be one of"},
		{"no flag", "extraArgs[0]=verbose", "at '/extraArgs/0': "},
		{"no GiniClient", "jwks.giniClients[0]=acme-jwt", "at '/jwks/giniClients/0': "},
		{"a variable without a name", "extraEnv[0].value=x", "at '/extraEnv/0': missing property 'name'"},
		{"replicas without a leader", "leaderElection.enabled=false", "replicas: more than one needs leaderElection.enabled"},
		{"both monitors", "metrics.serviceMonitor.enabled=true,metrics.podMonitor.enabled=true", "everything is scraped twice"},
		{"a monitor of nothing", "metrics.enabled=false,metrics.podMonitor.enabled=true", "metrics.enabled must be true"},
		{"an ingress to nothing", "jwks.enabled=false,jwks.ingress.enabled=true", "jwks.enabled must be true"},
		{"an ingress for nobody", "jwks.ingress.enabled=true", "jwks.giniClients must list"},
		{"an ingress without a host", "jwks.ingress.enabled=true,jwks.giniClients={a/b}", "jwks.ingress.host must be"},
		{"a route without a gateway", "jwks.httpRoute.enabled=true,jwks.giniClients={a/b}", "jwks.httpRoute.parentRefs must name"},
		{
			"a route without a host", "jwks.httpRoute.enabled=true,jwks.httpRoute.parentRefs[0].name=a,jwks.giniClients={a/b}",
			"jwks.httpRoute.hostnames must list",
		},
		{"nobody's account", "serviceAccount.create=false", "serviceAccount.name must name"},
		{"a variable that is no text", "extraEnv[0].name=A,extraEnv[0].value=true", "at '/extraEnv/0/value': got boolean, want null or string"},
		{"an annotation that is no text", "podAnnotations.a=1", "at '/podAnnotations/a': got number, want null or string"},
		{"more than all", "podDisruptionBudget.minAvailable=150%", "at '/podDisruptionBudget/minAvailable': "},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := helmTemplate(t, release, namespace, "--set", test.set)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("--set %s: %v; it should say: %s", test.set, err, test.says)
			}
		})
	}
}

// TestDisruptionBudget: a budget by which no pod can ever be evicted is refused, as no node could be drained then, and the message says what to set.
func TestDisruptionBudget(t *testing.T) {
	const stuck = "no node that runs one can be drained"
	for _, test := range []struct{ set, says string }{
		{"replicas=1,podDisruptionBudget.minAvailable=1", "Set replicas to 2 or more, or podDisruptionBudget.minAvailable lower"},
		{"replicas=2,podDisruptionBudget.minAvailable=2", "Set replicas to 3 or more"},
		{"replicas=2,podDisruptionBudget.minAvailable=5", "Set replicas to 6 or more"},
		{"replicas=1,podDisruptionBudget.minAvailable=50%", "podDisruptionBudget.minAvailable: 50% of replicas: 1 lets no pod"},
		{"replicas=3,podDisruptionBudget.minAvailable=67%", stuck},
		{"podDisruptionBudget.minAvailable=100%", stuck + ". Set podDisruptionBudget.minAvailable lower, or"},
		{"podDisruptionBudget.maxUnavailable=0", "podDisruptionBudget.maxUnavailable: 0 lets no pod be evicted"},
		{"podDisruptionBudget.maxUnavailable=0%", "Set it to 1 or more"},
		{"replicas=1", ""},
		{"replicas=2,podDisruptionBudget.minAvailable=1", ""},
		{"replicas=2,podDisruptionBudget.minAvailable=50%", ""},
		{"replicas=3,podDisruptionBudget.minAvailable=66%", ""},
		{"podDisruptionBudget.minAvailable=0", ""},
		{"podDisruptionBudget.maxUnavailable=1%", ""},
		// There is no pod that could be in the way.
		{"replicas=0,podDisruptionBudget.minAvailable=1", ""},
		{"replicas=0,podDisruptionBudget.maxUnavailable=0", ""},
		{"replicas=1,podDisruptionBudget.minAvailable=1,podDisruptionBudget.enabled=false", ""},
	} {
		_, err := helmTemplate(t, release, namespace, "--set", test.set)
		switch {
		case test.says == "" && err != nil:
			t.Errorf("--set %s: %v", test.set, err)
		case test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)):
			t.Errorf("--set %s: %v; it should say: %s", test.set, err, test.says)
		}
	}
}

// TestSubchart: the chart can be a dependency, with values that Helm and other charts put beside its own (R5.5).
func TestSubchart(t *testing.T) {
	for _, set := range []string{"enabled=true", "global.storageClass=fast"} {
		if _, err := helmTemplate(t, release, namespace, "--set", set); err != nil {
			t.Errorf("--set %s: %v", set, err)
		}
	}
}

// TestLint: Helm itself has nothing against the chart, with any values (R5.4).
func TestLint(t *testing.T) {
	for _, values := range valueFiles(t) {
		if _, err := run(t, tool(t, "helm"), "lint", "--strict", "--quiet", "--kube-version", kubernetes, "--values", values, chart); err != nil {
			t.Errorf("%s: %v", values, err)
		}
	}
}

// leaves are the paths of values that hold no others. A map that is free, as the schema says, is a leaf.
func leaves(values map[string]any, prefix ...string) (paths [][]string) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		path := append(slices.Clone(prefix), key)
		inner, isMap := values[key].(map[string]any)
		if isMap && len(inner) > 0 && !free[strings.Join(path, ".")] {
			paths = append(paths, leaves(inner, path...)...)
			continue
		}
		paths = append(paths, path)
	}
	return paths
}

// free are the values that are maps as Kubernetes has them.
var free = map[string]bool{
	"strategy": true, "podSecurityContext": true, "securityContext": true, "resources": true, "livenessProbe": true, "readinessProbe": true,
}

// inParentCharts is a value that only a parent chart reads.
const inParentCharts = "enabled"

// TestKnobs: each value of values.yaml is set in a file of testdata/values, so it is in a golden file, and without it that would
// render to something else (R5.4).
func TestKnobs(t *testing.T) {
	defaults := parsed(t, read(t, filepath.Join(chart, "values.yaml")))
	shown := map[string]bool{}
	for _, file := range valueFiles(t) {
		text := read(t, file)
		with, err := helmTemplate(t, release, namespace, "--values", file)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range leaves(parsed(t, text)) {
			name := strings.Join(path, ".")
			values := parsed(t, text)
			remove(values, path)
			shown[name] = true
			without, err := helmTemplate(t, release, namespace, "--values", written(t, values))
			if err != nil {
				continue // it cannot do without: that shows, too
			}
			if with == without {
				t.Errorf("%s: %s makes no difference", file, name)
			}
		}
	}
	for _, path := range leaves(defaults) {
		if name := strings.Join(path, "."); !shown[name] && !below(shown, name) {
			t.Errorf("no file in testdata/values sets %s", name)
		}
	}
	for name := range shown {
		if !known(defaults, strings.Split(name, ".")) && !strings.HasPrefix(name, "metrics.") {
			t.Errorf("values.yaml does not show %s", name)
		}
	}
}

// below says whether a value in the map of this name is shown.
func below(shown map[string]bool, name string) bool {
	for path := range shown {
		if strings.HasPrefix(path, name+".") {
			return true
		}
	}
	return false
}

// known says whether defaults have a value, or a free map that it may be in.
func known(defaults map[string]any, path []string) bool {
	value, found := defaults[path[0]]
	inner, isMap := value.(map[string]any)
	if !found || len(path) == 1 || !isMap || len(inner) == 0 {
		return found
	}
	return known(inner, path[1:])
}

func remove(values map[string]any, path []string) {
	if len(path) == 1 {
		delete(values, path[0])
		return
	}
	inner, _ := values[path[0]].(map[string]any)
	remove(inner, path[1:])
}

func parsed(t *testing.T, text string) (values map[string]any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), &values); err != nil {
		t.Fatal(err)
	}
	return values
}

func written(t *testing.T, values map[string]any) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "values.yaml")
	write(t, path, marshalled(t, values))
	return path
}

func marshalled(t *testing.T, values map[string]any) string {
	t.Helper()
	content, err := yaml.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// openMaps are the places of the schema where any key may stand: each is a map that Kubernetes checks, or that charts share.
var openMaps = map[string]bool{
	"/properties/global":             true,
	"/definitions/strings":           true,
	"/definitions/free":              true,
	"/definitions/objects/items":     true,
	"/properties/extraEnv/items":     true,
	"/properties/extraObjects/items": true,
}

// TestSchemaIsClosed: no map of the schema takes keys that it does not list but for those named here, and it lists the values of
// values.yaml and no others (R5.4).
func TestSchemaIsClosed(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal([]byte(read(t, filepath.Join(chart, "values.schema.json"))), &schema); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	var visit func(path string, part any)
	visit = func(path string, part any) {
		node, ok := part.(map[string]any)
		if !ok {
			return
		}
		kinds, _ := node["type"].([]any)
		if node["type"] == "object" || slices.Contains(kinds, any("object")) {
			if closed, isBool := node["additionalProperties"].(bool); !isBool || closed {
				found[path] = true
			}
		}
		for key, inner := range node {
			if list, isList := inner.([]any); isList && key == "anyOf" {
				for _, each := range list {
					visit(path+"/anyOf", each)
				}
			}
			visit(path+"/"+key, inner)
		}
	}
	visit("", schema)
	if !maps.Equal(found, openMaps) {
		t.Errorf("open are %v, and should be %v", slices.Sorted(maps.Keys(found)), slices.Sorted(maps.Keys(openMaps)))
	}

	listed, _ := schema["properties"].(map[string]any)
	defaults := parsed(t, read(t, filepath.Join(chart, "values.yaml")))
	for key := range listed {
		if _, shown := defaults[key]; !shown && key != inParentCharts {
			t.Errorf("values.yaml does not show %s", key)
		}
	}
}
