package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/hack/internal/cluster"
)

const (
	// overlayFolder is config/samples with other endpoints and Secrets.
	overlayFolder = "config/demo"
	// overlayURL stands there in place of the emulator's URL, whose port is known only once it listens.
	overlayURL = "http://127.0.0.1:8089"

	emailKey, passwordKey = "email", "password"
)

// samples are the objects of the overlay.
type samples struct {
	manifests string
	users     []api.GiniUser
	// clientID, clientSecret and accounts (passwords by e-mail address) are what the emulator has to know.
	clientID, clientSecret string
	accounts               map[string]string
	// issuer and jwksPath are what Gini is told of the GiniClient whose JWTs the operator signs.
	issuer, jwksPath string
}

// renderSamples reads the overlay.
func renderSamples(ctx context.Context, k8s *cluster.Cluster) (*samples, error) {
	manifests, err := k8s.Kubectl(ctx, "", "kustomize", overlayFolder)
	if err != nil {
		return nil, err
	}
	s, err := parseSamples(manifests)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", overlayFolder, err)
	}
	return s, nil
}

func parseSamples(manifests string) (*samples, error) {
	if !strings.Contains(manifests, overlayURL) {
		return nil, fmt.Errorf("names no endpoint %s", overlayURL)
	}
	s := &samples{manifests: manifests, accounts: map[string]string{}}
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(manifests), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := s.take(object); err != nil {
			return nil, fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	if s.clientID == "" || s.clientSecret == "" || s.issuer == "" || len(s.users) == 0 {
		return nil, errors.New("it needs a Secret with client credentials, a GiniClient with a signer, and GiniUsers")
	}
	return s, nil
}

func (s *samples) take(object *unstructured.Unstructured) error {
	switch object.GetKind() {
	case "GiniUser":
		var user api.GiniUser
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &user); err != nil {
			return err
		}
		s.users = append(s.users, user)
	case "GiniClient":
		var giniClient api.GiniClient
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &giniClient); err != nil {
			return err
		}
		if provider := giniClient.Spec.IdentityProvider; provider != nil && provider.Signer != nil {
			s.issuer, s.jwksPath = string(provider.Signer.Issuer), "/"+namespace+"/"+giniClient.Name+"/jwks.json"
		}
	case "Secret":
		var secret corev1.Secret
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &secret); err != nil {
			return err
		}
		if id, ok := secret.StringData[api.DefaultClientIDKey]; ok {
			s.clientID, s.clientSecret = id, secret.StringData[api.DefaultClientSecretKey]
		}
		if email, ok := secret.StringData[emailKey]; ok {
			s.accounts[email] = secret.StringData[passwordKey]
		}
	}
	return nil
}

// at is the manifests with the emulator's URL.
func (s *samples) at(url string) string { return strings.ReplaceAll(s.manifests, overlayURL, url) }

// anonymous is how many users have accounts.
func (s *samples) anonymous() (n int) {
	for i := range s.users {
		if s.users[i].Spec.Anonymous != nil {
			n++
		}
	}
	return n
}
