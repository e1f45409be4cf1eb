package charts_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// patience is how long the API server may take to know what it was told: kinds, roles, admission policies.
const patience, pause = 30 * time.Second, 50 * time.Millisecond

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	code := m.Run()
	if err := stopAPIServers(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// apiServer is a Kubernetes API server for tests. It runs no controllers and no pods.
type apiServer struct {
	config *rest.Config
	// kubeconfig is the path of a file by which Helm and kubectl reach it as administrator.
	kubeconfig string
	// kubectl is the path of the program.
	kubectl string
	admin   client.Client
}

var (
	environments []*envtest.Environment
	sharedServer = sync.OnceValues(startAPIServer)
)

// shared is an API server that tests use which do not mind each other: each has its own namespaces.
func shared(t *testing.T) *apiServer {
	t.Helper()
	server, err := sharedServer()
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// own is an API server for one test alone, in which nothing was ever installed.
func own(t *testing.T) *apiServer {
	t.Helper()
	server, err := startAPIServer()
	if err != nil {
		t.Fatal(err)
	}
	return server
}

func startAPIServer() (*apiServer, error) {
	environment := &envtest.Environment{}
	config, err := environment.Start()
	if err != nil {
		return nil, fmt.Errorf("no control plane (make test provides one): %w", err)
	}
	environments = append(environments, environment)
	config.QPS = -1
	admin, err := client.New(config, client.Options{})
	if err != nil {
		return nil, err
	}
	// Beside the API server's own files, which go away with it.
	path := filepath.Join(environment.ControlPlane.APIServer.CertDir, "kubeconfig")
	if err := os.WriteFile(path, environment.KubeConfig, 0o600); err != nil {
		return nil, err
	}
	kubectl := filepath.Join(filepath.Dir(environment.ControlPlane.APIServer.Path), "kubectl")
	return &apiServer{config: config, kubeconfig: path, kubectl: kubectl, admin: admin}, nil
}

func stopAPIServers() error {
	for _, environment := range environments {
		if err := environment.Stop(); err != nil {
			return fmt.Errorf("an API server does not end: %w", err)
		}
	}
	return nil
}

// as is the client of somebody else than the administrator.
func (s *apiServer) as(t *testing.T, user string, groups ...string) client.Client {
	t.Helper()
	config := rest.CopyConfig(s.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	other, err := client.New(config, client.Options{Mapper: s.admin.RESTMapper()})
	if err != nil {
		t.Fatal(err)
	}
	return other
}

// asServiceAccount is the client of whoever has a ServiceAccount's token.
func (s *apiServer) asServiceAccount(t *testing.T, namespace, name string) client.Client {
	t.Helper()
	return s.as(t, "system:serviceaccount:"+namespace+":"+name,
		"system:serviceaccounts", "system:serviceaccounts:"+namespace, "system:authenticated")
}

// apply applies objects as the administrator, and refuses fields that the API server does not know.
func (s *apiServer) apply(t *testing.T, objects ...*unstructured.Unstructured) {
	t.Helper()
	for _, object := range objects {
		if err := s.tryApply(t.Context(), object); err != nil {
			t.Fatalf("%s %s: %v", object.GetKind(), object.GetName(), err)
		}
	}
}

func (s *apiServer) tryApply(ctx context.Context, object *unstructured.Unstructured, options ...client.ApplyOption) error {
	return wait.PollUntilContextTimeout(ctx, pause, patience, true, func(ctx context.Context) (bool, error) {
		err := s.admin.Apply(ctx, client.ApplyConfigurationFromUnstructured(object.DeepCopy()),
			append([]client.ApplyOption{client.FieldOwner("test"), client.ForceOwnership}, options...)...)
		// A kind whose CRD was applied a moment ago.
		if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) && object.GetKind() != "Namespace" {
			return false, nil
		}
		return true, err
	})
}

// makeNamespace makes a namespace.
func (s *apiServer) makeNamespace(t *testing.T, name string) {
	t.Helper()
	namespace := &unstructured.Unstructured{}
	namespace.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"})
	namespace.SetName(name)
	s.apply(t, namespace)
}

// eventually waits until what is asked for is so.
func eventually(t *testing.T, what string, is func(ctx context.Context) bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), pause, patience, true, func(ctx context.Context) (bool, error) { return is(ctx), nil })
	if err != nil {
		t.Fatalf("%s: not within %s: %v", what, patience, err)
	}
}
