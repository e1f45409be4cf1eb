package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/config/crd"
)

const (
	// definitionsPause lies between two looks at what the cluster serves.
	definitionsPause = 5 * time.Second
	// definitionsTimeout bounds each look.
	definitionsTimeout = 10 * time.Second
	// definitionsReminder is how often the log says again what is missing.
	definitionsReminder = 5 * time.Minute
)

// AwaitDefinitions waits until the cluster serves GiniClients and GiniUsers with all the fields that this operator knows: with older
// definitions, what it writes there would be lost. Meanwhile it answers probes at an address ("" or "0": nowhere), alive and not ready, and
// says what is missing and how to mend it, once and then now and then. It needs no rights but those that every account has.
func AwaitDefinitions(ctx context.Context, config *rest.Config, probes string, clock clock.Clock, log logr.Logger) error {
	config = rest.CopyConfig(config)
	config.Timeout = definitionsTimeout
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return err
	}
	wanted, err := fieldsOfDefinitions()
	if err != nil {
		return err
	}
	var closeProbes func()
	defer func() {
		if closeProbes != nil {
			closeProbes()
		}
	}()
	said, saidAt := "", time.Time{}
	var current atomic.Value
	for {
		missing, err := missingFields(client, wanted)
		if err == nil && missing == "" {
			return nil
		}
		cause, problem := errors.New(missing), "the CustomResourceDefinitions must be those of this version. Apply them: "+command()
		told := missing
		if err != nil {
			cause, problem = answer(err), unasked(config, client.RESTClient().Get().URL())
			told = problem
		}
		current.Store(problem)
		if now := clock.Now(); told != said || now.Sub(saidAt) >= definitionsReminder {
			said, saidAt = told, now
			log.Error(cause, "Not ready: "+problem)
		}
		if closeProbes == nil {
			if closeProbes, err = answerProbes(ctx, probes, &current); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-clock.After(definitionsPause):
		}
	}
}

// command applies the definitions that are built into this program: from the pod that it runs in, where it runs in one.
func command() string {
	const apply = " --print-crds | kubectl apply --server-side --force-conflicts -f -"
	namespace, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	if err != nil {
		return "manager" + apply
	}
	return fmt.Sprintf("kubectl -n %s exec %s -- /manager%s", namespace, os.Getenv("HOSTNAME"), apply)
}

// answerProbes says at an address that the operator lives, and why it is not ready.
func answerProbes(ctx context.Context, address string, problem *atomic.Value) (stop func(), err error) {
	if address == "" || address == "0" {
		return func() {}, nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(answer http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(answer, "ok") })
	mux.HandleFunc("/readyz", func(answer http.ResponseWriter, _ *http.Request) {
		http.Error(answer, fmt.Sprint(problem.Load()), http.StatusServiceUnavailable)
	})
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("probes cannot be answered at %s: %w", address, err)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: definitionsPause}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // it ends when it is closed
	}()
	return func() {
		_ = server.Close()
		<-ended
	}, nil
}

// fieldsOfDefinitions are the paths of all fields in the definitions that are built in, by kind.
func fieldsOfDefinitions() (map[string][]string, error) {
	documents, err := crd.Documents()
	if err != nil {
		return nil, err
	}
	fields := map[string][]string{}
	for _, document := range documents {
		var definition struct {
			Spec struct {
				Names    struct{ Kind string }
				Versions []struct {
					Name   string
					Schema struct{ OpenAPIV3Schema schema }
				}
			}
		}
		if err := yaml.Unmarshal([]byte(document), &definition); err != nil {
			return nil, fmt.Errorf("a definition built into this program cannot be read: %w", err)
		}
		for _, version := range definition.Spec.Versions {
			if version.Name == api.GroupVersion.Version {
				fields[definition.Spec.Names.Kind] = version.Schema.OpenAPIV3Schema.paths("")
			}
		}
	}
	return fields, nil
}

// schema is what is looked at of an OpenAPI schema.
type schema struct {
	Properties map[string]schema `json:"properties"`
	Items      *schema           `json:"items"`
}

// paths are those of all fields, as in ".spec.devices.untrusted", sorted.
func (s schema) paths(prefix string) (paths []string) {
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		path := prefix + "." + name
		if path == ".metadata" {
			continue // every object's
		}
		paths = append(paths, path)
		paths = append(paths, s.Properties[name].paths(path)...)
	}
	if s.Items != nil {
		paths = append(paths, s.Items.paths(prefix+"[]")...)
	}
	return paths
}

// missingFields says what the cluster lacks; "" where it lacks nothing.
func missingFields(client discovery.DiscoveryInterface, wanted map[string][]string) (string, error) {
	served, err := client.OpenAPIV3().Paths()
	if err != nil {
		return "", err
	}
	if len(served) == 0 {
		return "", errNoAPIServer
	}
	group, ok := served["apis/"+api.GroupVersion.String()]
	if !ok {
		return fmt.Sprintf("the cluster serves no %s", api.GroupVersion), nil
	}
	text, err := group.Schema("application/json")
	if err != nil {
		return "", err
	}
	var document struct {
		Components struct {
			Schemas map[string]schema `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return "", fmt.Errorf("the cluster's description of %s cannot be read: %w", api.GroupVersion, err)
	}
	for _, kind := range slices.Sorted(maps.Keys(wanted)) {
		var there []string
		for name, found := range document.Components.Schemas {
			if strings.HasSuffix(name, "."+api.GroupVersion.Version+"."+kind) {
				there = found.paths("")
			}
		}
		if there == nil {
			return fmt.Sprintf("the cluster serves no %s of %s", kind, api.GroupVersion), nil
		}
		for _, path := range wanted[kind] {
			if !slices.Contains(there, path) {
				return fmt.Sprintf("the cluster's definition of %s is older and lacks the field %s", kind, strings.TrimPrefix(path, ".")), nil
			}
		}
	}
	return "", nil
}
