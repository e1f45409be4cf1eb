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

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// allUsers are GiniUsers of each kind, and Secrets that people have made before: the operator writes each Secret that it knows how to write. The
// namespace and Gini's URL are to be filled in.
const allUsers = `
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
  endpoints: {payAPI: {url: '%[2]s'}, userCenter: {url: '%[2]s'}}
  anonymousUsers: {emailDomain: users.acme.example}
  identityProvider: {signer: {issuer: 'https://id.acme.example', key: {managed: {secretName: signing-key}}}}
---
apiVersion: credentials.gini.net/v1alpha1
kind: GiniUser
metadata: {name: scanner, namespace: %[1]s}
spec:
  clientRef: {name: acme}
  derived: {identifier: '%[1]s-452821e638d01377', auth: Basic}
  devices:
    untrusted:
      secret: {name: scanner-token}
    trusted:
      nudgePods: true
      rolloutRestart: [{kind: Deployment, name: consents}]
      secret: {name: scanner-backend}
---
apiVersion: credentials.gini.net/v1alpha1
kind: GiniUser
metadata: {name: signed, namespace: %[1]s}
spec:
  clientRef: {name: acme}
  derived: {identifier: '%[1]s-13198a2e03707344', auth: JWT}
  devices:
    trusted:
      secret: {name: signed-backend, type: credentials.gini.net/jwt, labels: {team: a}, annotations: {acme.example/team: a}}
---
apiVersion: credentials.gini.net/v1alpha1
kind: GiniUser
metadata: {name: anonymous, namespace: %[1]s}
spec:
  clientRef: {name: acme}
  anonymous: {accountSecret: {name: anonymous-account}}
  devices: {untrusted: {secret: {name: anonymous-token}}}
---
# Somebody restored an account by hand, and it is not at Gini yet: the operator makes it, and notes it there.
apiVersion: v1
kind: Secret
metadata:
  name: restored-account
  namespace: %[1]s
  labels: {app.kubernetes.io/managed-by: gini-operator, credentials.gini.net/gini-user: restored, credentials.gini.net/device: account}
  annotations: {kubernetes.io/description: restored}
type: kubernetes.io/basic-auth
stringData: {email: restored@users.acme.example, password: not-a-Secret-1}
---
apiVersion: credentials.gini.net/v1alpha1
kind: GiniUser
metadata: {name: restored, namespace: %[1]s}
spec:
  clientRef: {name: acme}
  anonymous: {accountSecret: {name: restored-account}}
  devices: {untrusted: {secret: {name: restored-token}}}
---
# The operator goes on with a Secret that is handed over.
apiVersion: v1
kind: Secret
metadata:
  name: adopted-token
  namespace: %[1]s
  labels: {credentials.gini.net/adopt-by: adopted}
  annotations: {kubernetes.io/description: handed over, kubectl.kubernetes.io/last-applied-configuration: '{}'}
stringData: {access_token: something}
---
# Of another type, it is made anew.
apiVersion: v1
kind: Secret
metadata:
  name: adopted-backend
  namespace: %[1]s
  labels: {credentials.gini.net/adopt-by: adopted, app.kubernetes.io/managed-by: somebody}
  annotations: {kubernetes.io/description: handed over, kubectl.kubernetes.io/last-applied-configuration: '{}'}
type: kubernetes.io/basic-auth
stringData: {username: somebody, password: something}
immutable: true
---
apiVersion: credentials.gini.net/v1alpha1
kind: GiniUser
metadata: {name: adopted, namespace: %[1]s}
spec:
  clientRef: {name: acme}
  derived: {identifier: '%[1]s-a4093822299f31d0', auth: Basic}
  devices:
    untrusted: {secret: {name: adopted-token}}
    trusted: {secret: {name: adopted-backend}}
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
// is forbidden to it. It makes its own Secrets, goes on with those that people made, puts them right, makes them anew and deletes them.
func TestRights(t *testing.T) {
	manager := filepath.Join(t.TempDir(), "manager")
	if _, err := run(t, "go", "build", "-C", root, "-o", manager, "./cmd/manager"); err != nil {
		t.Fatal(err)
	}
	gini := startGini(t)
	for name, test := range map[string]struct{ namespace, users, set string }{
		"in all namespaces": {"rights-all", "users-all", "logging.verbose=true"},
		"in one namespace":  {"rights-one", "users-one", "logging.verbose=true,watchNamespaces={users-one},rbac.userRoles=false"},
	} {
		t.Run(name, func(t *testing.T) {
			server := shared(t)
			server.makeNamespace(t, test.namespace)
			server.makeNamespace(t, test.users)
			text, err := helmTemplate(t, release, test.namespace, "--set", "podNudges.enabled=true,rolloutRestarts.enabled=true",
				"--set", test.set, "--set", "allowedHosts={"+gini+"}")
			if err != nil {
				t.Fatal(err)
			}
			installed := objects(t, text)
			for _, object := range installed {
				if object.GetKind() != "Pod" { // the chart's test
					server.apply(t, object)
				}
			}
			operator := thief{Client: server.asServiceAccount(t, test.namespace, release), server: server}
			operator.waitForSecretPolicy(t, test.users)
			ready, says := server.start(t, manager, test.namespace, pods(t, installed)["Deployment "+release].spec.Containers[0].Args)
			defer func() {
				if t.Failed() {
					t.Log(says())
				}
			}()
			eventually(t, "the operator is ready", ready)
			server.apply(t, objects(t, fmt.Sprintf(aMountingPod, test.users))...)
			server.apply(t, objects(t, fmt.Sprintf(allUsers, test.users, gini))...)
			users := customers{server, test.users}
			users.areServed(t)
			users.areServedAgain(t)
			if strings.Contains(strings.ToLower(says()), "forbidden") {
				t.Error("something is forbidden to it")
			}
		})
	}
}

// customers are the GiniUsers in a namespace.
type customers struct {
	server    *apiServer
	namespace string
}

// get reads an object of theirs; nil where there is none.
func (c customers) get(ctx context.Context, group, version, kind, name string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: version, Kind: kind})
	if c.server.admin.Get(ctx, types.NamespacedName{Namespace: c.namespace, Name: name}, object) != nil {
		return nil
	}
	return object
}

// secret reads a Secret of theirs; an empty one where there is none.
func (c customers) secret(ctx context.Context, name string) *corev1.Secret {
	secret := &corev1.Secret{}
	if c.server.admin.Get(ctx, types.NamespacedName{Namespace: c.namespace, Name: name}, secret) != nil {
		return &corev1.Secret{}
	}
	return secret
}

// change patches an object of theirs as a person.
func (c customers) change(t *testing.T, group, version, kind, name, patch string) {
	t.Helper()
	object := c.get(t.Context(), group, version, kind, name)
	if object == nil {
		t.Fatalf("there is no %s %s", kind, name)
	}
	if err := c.server.admin.Patch(t.Context(), object, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		t.Fatal(err)
	}
}

const giniGroup, giniVersion = "credentials.gini.net", "v1alpha1"

// areServed: each gets its Secrets, somebody was told, and the pod that mounts one was nudged.
func (c customers) areServed(t *testing.T) {
	t.Helper()
	for _, name := range []string{"scanner", "signed", "anonymous", "restored", "adopted"} {
		eventually(t, "the GiniUser "+name+" is ready", func(ctx context.Context) bool {
			user := c.get(ctx, giniGroup, giniVersion, "GiniUser", name)
			return user != nil && isReady(user)
		})
	}
	eventually(t, "somebody was told", func(ctx context.Context) bool {
		events := &unstructured.UnstructuredList{}
		events.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "EventList"})
		return c.server.admin.List(ctx, events, client.InNamespace(c.namespace)) == nil && len(events.Items) > 0
	})
	eventually(t, "the pod is nudged", func(ctx context.Context) bool {
		pod := c.get(ctx, "", "v1", "Pod", "scanner")
		return pod != nil && pod.GetAnnotations()[nudgedAt] != ""
	})
	for name, key := range map[string]string{
		"scanner-token": "access_token", "scanner-backend": "client_secret", "signed-backend": "jwt", "signing-key": "signing-key.pem",
		"anonymous-account": "client_id", "anonymous-token": "access_token", "restored-account": "client_id", "restored-token": "access_token",
		"adopted-token": "authorization", "adopted-backend": "client_secret",
	} {
		secret := c.secret(t.Context(), name)
		if len(secret.Data[key]) == 0 || secret.Labels[managedBy] != ours()[managedBy] {
			t.Errorf("the Secret %s lacks %s, or the label: %v", name, key, secret.Labels)
		}
	}
	for _, name := range []string{"adopted-token", "adopted-backend"} {
		if secret := c.secret(t.Context(), name); secret.Annotations[description] == "" || secret.Type != corev1.SecretTypeOpaque {
			t.Errorf("the Secret %s has the type %s and the annotations %v", name, secret.Type, secret.Annotations)
		}
	}
}

// areServedAgain: what people change, they find as they want it.
func (c customers) areServedAgain(t *testing.T) {
	t.Helper()
	c.change(t, "", "v1", "Secret", "scanner-token", `{"metadata":{"annotations":{"kubernetes.io/description":"mine"}}}`)
	c.change(t, giniGroup, giniVersion, "GiniUser", "scanner", `{"spec":{"devices":{"untrusted":{"secret":{"type":"credentials.gini.net/token"}}}}}`)
	eventually(t, "a Secret of another type takes the place", func(ctx context.Context) bool {
		secret := c.secret(ctx, "scanner-token")
		return secret.Type == "credentials.gini.net/token" && secret.Annotations[description] == "mine" && len(secret.Data["access_token"]) > 0
	})
	c.change(t, "", "v1", "Secret", "scanner-backend", `{"metadata":{"labels":null},"data":{"client_secret":"eA=="}}`)
	eventually(t, "a Secret is put right", func(ctx context.Context) bool {
		secret := c.secret(ctx, "scanner-backend")
		return string(secret.Data["client_secret"]) == "not-a-secret" && secret.Labels[managedBy] == ours()[managedBy]
	})
	c.change(t, giniGroup, giniVersion, "GiniUser", "adopted", `{"spec":{"devices":{"untrusted":{"secret":{"name":"another-token"}}}}}`)
	eventually(t, "a Secret of another name takes the place", func(ctx context.Context) bool {
		return len(c.secret(ctx, "another-token").Data["access_token"]) > 0 && c.get(ctx, "", "v1", "Secret", "adopted-token") == nil
	})
	c.change(t, "", "v1", "Secret", "signing-key", `{"metadata":{"labels":null,"annotations":{"kubernetes.io/description":"mine"}}}`)
	c.change(t, giniGroup, giniVersion, "GiniClient", "acme", `{"metadata":{"annotations":{"credentials.gini.net/key-roll-requested-at":"now"}}}`)
	eventually(t, "the key is replaced, and its Secret labelled again", func(ctx context.Context) bool {
		secret := c.secret(ctx, "signing-key")
		return secret.Annotations["credentials.gini.net/key-roll-handled"] == "now" && secret.Labels[managedBy] == ours()[managedBy]
	})
}

// startGini runs an emulated Gini that knows the client of allUsers, until the test ends, and returns its URL.
func startGini(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "gini-emulator")
	if _, err := run(t, "go", "build", "-C", root, "-o", program, "./cmd/gini-emulator"); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	output := startProgram(t, program, "--client", "test:not-a-secret", "--bind-address", address)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(output.String())
		}
	})
	eventually(t, "Gini answers", func(ctx context.Context) bool { return answers(ctx, "http://"+address+"/healthz") })
	return "http://" + address
}

// startProgram runs a program until the test ends, and keeps what it says.
func startProgram(t *testing.T, name string, arguments ...string) *output {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, arguments...)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	output := &output{}
	command.Stdout, command.Stderr = output, output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Wait() }) // the test's context has ended it
	return output
}

// answers says whether a URL is answered with 200.
func answers(ctx context.Context, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer func() { _ = response.Body.Close() }()
	return response.StatusCode == http.StatusOK
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
	output := startProgram(t, manager, arguments...)
	return func(ctx context.Context) bool { return answers(ctx, "http://"+probes+"/readyz") }, output.String
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
