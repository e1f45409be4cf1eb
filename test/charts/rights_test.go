package charts_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// aTrustedUser needs nothing of Gini: the operator copies credentials into the Secret of its device. The namespaces are to be filled in.
const aTrustedUser = `
apiVersion: v1
kind: Secret
metadata: {name: acme-gini, namespace: %[1]s}
stringData: {client-id: test, client-secret: not-a-secret}
---
apiVersion: credentials.gini.net/v1alpha1
kind: GiniClient
metadata: {name: acme, namespace: %[1]s}
spec:
  credentialsSecretRef: {name: acme-gini}
---
apiVersion: credentials.gini.net/v1alpha1
kind: GiniUser
metadata: {name: scanner, namespace: %[1]s}
spec:
  clientRef: {name: acme}
  derived: {identifier: '%[1]s-452821e638d01377', auth: Basic}
  devices:
    trusted:
      nudgePods: true
      rolloutRestart: [{kind: Deployment, name: consents}]
      secret: {name: scanner-backend}
`

// aMountingPod waits for that Secret.
const aMountingPod = `
apiVersion: v1
kind: Pod
metadata: {name: scanner, namespace: %[1]s}
spec:
  containers: [{name: main, image: registry.acme.example/app:v1, volumeMounts: [{name: gini, mountPath: /var/run/gini}]}]
  volumes: [{name: gini, secret: {secretName: scanner-backend}}]
`

// TestRights: the operator works with the rights that it is given and the flags that it is started with, in all namespaces or in one: nothing
// is forbidden to it.
func TestRights(t *testing.T) {
	manager := filepath.Join(t.TempDir(), "manager")
	if _, err := run(t, "go", "build", "-C", root, "-o", manager, "./cmd/manager"); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ namespace, users, set string }{
		"in all namespaces": {"rights-all", "users-all", "logging.verbose=true"},
		"in one namespace":  {"rights-one", "users-one", "logging.verbose=true,watchNamespaces={users-one},rbac.userRoles=false"},
	} {
		t.Run(name, func(t *testing.T) {
			server := shared(t)
			server.makeNamespace(t, test.namespace)
			server.makeNamespace(t, test.users)
			text, err := helmTemplate(t, release, test.namespace, "--set", "podNudges.enabled=true,rolloutRestarts.enabled=true", "--set", test.set)
			if err != nil {
				t.Fatal(err)
			}
			installed := objects(t, text)
			for _, object := range installed {
				if object.GetKind() != "Pod" { // the chart's test
					server.apply(t, object)
				}
			}
			ready, says := server.start(t, manager, test.namespace, pods(t, installed)["Deployment "+release].spec.Containers[0].Args)
			defer func() {
				if t.Failed() {
					t.Log(says())
				}
			}()
			eventually(t, "the operator is ready", ready)
			server.apply(t, objects(t, fmt.Sprintf(aMountingPod, test.users))...)
			server.apply(t, objects(t, fmt.Sprintf(aTrustedUser, test.users))...)
			secret := &unstructured.Unstructured{}
			secret.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Secret"})
			eventually(t, "the Secret is there", func(ctx context.Context) bool {
				return server.admin.Get(ctx, types.NamespacedName{Namespace: test.users, Name: "scanner-backend"}, secret) == nil
			})
			user := &unstructured.Unstructured{}
			user.SetGroupVersionKind(schema.GroupVersionKind{Group: "credentials.gini.net", Version: "v1alpha1", Kind: "GiniUser"})
			eventually(t, "the GiniUser is ready, and somebody was told", func(ctx context.Context) bool {
				err := server.admin.Get(ctx, types.NamespacedName{Namespace: test.users, Name: "scanner"}, user)
				events := &unstructured.UnstructuredList{}
				events.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "EventList"})
				return err == nil && isReady(user) &&
					server.admin.List(ctx, events, client.InNamespace(test.users)) == nil && len(events.Items) > 0
			})
			pod := &unstructured.Unstructured{}
			pod.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Pod"})
			eventually(t, "the pod is nudged", func(ctx context.Context) bool {
				err := server.admin.Get(ctx, types.NamespacedName{Namespace: test.users, Name: "scanner"}, pod)
				return err == nil && pod.GetAnnotations()[nudgedAt] != ""
			})
			if strings.Contains(strings.ToLower(says()), "forbidden") {
				t.Error("something is forbidden to it")
			}
		})
	}
}

// isReady says whether an object has the condition Ready.
func isReady(object *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	for _, condition := range conditions {
		condition, _ := condition.(map[string]any)
		if condition["type"] == "Ready" {
			return condition["status"] == "True"
		}
	}
	return false
}

// start runs the operator with the arguments of its Deployment, as the ServiceAccount of a namespace, until the test ends. It returns
// whether it is ready, and what it says.
func (s *apiServer) start(t *testing.T, manager, namespace string, arguments []string) (ready func(context.Context) bool, says func() string) {
	t.Helper()
	config := parsed(t, read(t, s.kubeconfig))
	users, _, _ := unstructured.NestedSlice(config, "users")
	user, _ := users[0].(map[string]any)
	user["user"].(map[string]any)["as"] = "system:serviceaccount:" + namespace + ":" + release
	user["user"].(map[string]any)["as-groups"] = []any{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"}
	config["users"] = users
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	write(t, kubeconfig, marshalled(t, config))

	probes := freeAddress(t)
	// The last of two flags counts: on this machine the ports of a pod may be somebody else's.
	arguments = append(append([]string{}, arguments...), "--kubeconfig="+kubeconfig, "--leader-elect-namespace="+namespace,
		"--health-probe-bind-address="+probes, "--metrics-bind-address=0", "--jwks-bind-address=0")
	command := exec.CommandContext(t.Context(), manager, arguments...)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	output := &output{}
	command.Stdout, command.Stderr = output, output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Wait() }) // the test's context has ended it
	return func(ctx context.Context) bool {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+probes+"/readyz", http.NoBody)
		if err != nil {
			return false
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false
		}
		defer func() { _ = response.Body.Close() }()
		return response.StatusCode == http.StatusOK
	}, output.String
}

// output keeps what a program says.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(data []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(data)
}

// String is what was said until now.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// freeAddress is one that nobody listens at now.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
