package main

import (
	"strings"
	"testing"
)

const overlay = `
apiVersion: v1
kind: Secret
metadata: {name: acme-gini}
stringData: {client-id: demo, client-secret: s}
---
apiVersion: v1
kind: Secret
metadata: {name: bob-account}
stringData: {email: bob@example.com, password: p}
---
apiVersion: credentials.gini.net/v1alpha1
kind: GiniClient
metadata: {name: acme}
spec: {endpoints: {payAPI: {url: "http://127.0.0.1:8089"}, userCenter: {url: "http://127.0.0.1:8089"}}}
---
apiVersion: credentials.gini.net/v1alpha1
kind: GiniClient
metadata: {name: acme-jwt}
spec: {identityProvider: {signer: {issuer: "https://id.acme.example", key: {managed: {secretName: k}}}}}
---
apiVersion: credentials.gini.net/v1alpha1
kind: GiniUser
metadata: {name: alice}
spec: {clientRef: {name: acme}, derived: {identifier: a, auth: Basic}, devices: {trusted: {secret: {name: a}}, untrusted: {secret: {name: b}}}}
---
apiVersion: credentials.gini.net/v1alpha1
kind: GiniUser
metadata: {name: carol}
spec: {clientRef: {name: acme-jwt}, derived: {identifier: c, auth: JWT}, devices: {trusted: {secret: {name: d}}, untrusted: {secret: {name: e}}}}
---
apiVersion: credentials.gini.net/v1alpha1
kind: GiniUser
metadata: {name: bob}
spec: {clientRef: {name: acme}, anonymous: {accountSecret: {name: bob-account, mode: Existing}}, devices: {untrusted: {secret: {name: c}}}}
`

func TestParseSamples(t *testing.T) {
	s, err := parseSamples(overlay)
	if err != nil {
		t.Fatal(err)
	}
	if s.clientID != "demo" || s.clientSecret != "s" || len(s.accounts) != 1 || s.accounts["bob@example.com"] != "p" {
		t.Errorf("%+v", s)
	}
	if s.issuer != "https://id.acme.example" || s.jwksPath != "/default/acme-jwt/jwks.json" {
		t.Errorf("issuer %q, JWK Set %q", s.issuer, s.jwksPath)
	}
	if len(s.users) != 3 || s.anonymous() != 1 {
		t.Errorf("%d users, %d anonymous", len(s.users), s.anonymous())
	}
	if counts := kinds(devicesOf(s.users, "", nil, nil)); counts[byCredentials] != 1 || counts[byJWT] != 1 || counts[byToken] != 3 {
		t.Errorf("%v", counts)
	}
	if at := s.at("http://127.0.0.1:1"); strings.Contains(at, overlayURL) || strings.Count(at, "http://127.0.0.1:1") != 2 {
		t.Error(at)
	}
	withoutSigner := strings.ReplaceAll(overlay, "identityProvider", "noProvider")
	for _, bad := range []string{"", withoutSigner, strings.ReplaceAll(overlay, overlayURL, "https://pay-api.gini.net"), "# " + overlayURL} {
		if _, err := parseSamples(bad); err == nil {
			t.Errorf("accepted: %q", bad)
		}
	}
}

func TestMode(t *testing.T) {
	for env, want := range map[string]mode{
		"/k8s||":        {assets: "/k8s"},
		"/k8s|1|":       {assets: "/k8s", once: true},
		"/k8s|0|fresh":  {assets: "/k8s"},
		"/k8s|1|sticky": {assets: "/k8s", once: true, sticky: true},
	} {
		got, err := modeOf(lookup(env))
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", env, got, err)
		}
	}
	for _, env := range []string{"||", "/k8s|yes|", "/k8s||stiky"} {
		if _, err := modeOf(lookup(env)); err == nil {
			t.Errorf("accepted: %s", env)
		}
	}
}

func lookup(env string) func(string) string {
	values := strings.Split(env, "|")
	return func(name string) string {
		return map[string]string{"KUBEBUILDER_ASSETS": values[0], "DEMO_ONCE": values[1], "DEMO_MODE": values[2]}[name]
	}
}
