package registry_test

import (
	"testing"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/internal/registry"
)

var anonymous = &api.AnonymousUsers{EmailDomain: "users.acme.example"}

// TestHostMessages: a host that is used and not allowed is told with its field, and whether that is set.
func TestHostMessages(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*world)
		allowed []string
		want    string
	}{
		"default of the User Center": {
			func(w *world) { w.client.Spec.Endpoints.UserCenter, w.client.Spec.AnonymousUsers = nil, anonymous }, nil,
			"Host https://user.gini.net (default of spec.endpoints.userCenter) is not in the operator's --allowed-hosts. Set spec.endpoints.userCenter.url, or add the host.",
		},
		"default of the Pay API": {
			func(w *world) { w.client.Spec.Endpoints.PayAPI = nil }, nil,
			"Host https://pay-api.gini.net (default of spec.endpoints.payAPI) is not in the operator's --allowed-hosts. Set spec.endpoints.payAPI.url, or add the host.",
		},
		"defaults of both": {
			func(w *world) { w.client.Spec.Endpoints, w.client.Spec.AnonymousUsers = nil, anonymous }, []string{"pay-api.gini.net"},
			"Host https://user.gini.net (default of spec.endpoints.userCenter) is not in the operator's --allowed-hosts. Set spec.endpoints.userCenter.url, or add the host.",
		},
		"the User Center": {
			func(w *world) {
				w.client.Spec.Endpoints.UserCenter.URL, w.client.Spec.AnonymousUsers = "https://evil.example:8443/a/path", anonymous
			}, nil,
			"Host https://evil.example:8443 (spec.endpoints.userCenter.url) is not in the operator's --allowed-hosts. Correct spec.endpoints.userCenter.url, or add the host.",
		},
		"the Pay API, by plain http": {
			func(w *world) { w.client.Spec.Endpoints.PayAPI.URL = "http://user.gini.net" }, []string{"user.gini.net"},
			"Host http://user.gini.net (spec.endpoints.payAPI.url) is not in the operator's --allowed-hosts. Correct spec.endpoints.payAPI.url, or add the host.",
		},
		"what is no URL, and may hold a password": {
			func(w *world) { w.client.Spec.Endpoints.UserCenter.URL = "https://a:s3cr3t@user.gini.net" }, []string{"user.gini.net"},
			"spec.endpoints.userCenter.url is no URL that credentials can be sent to. Write it as https://host, with a port and a path where they are needed.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.allow(append(c.allowed, w.url())...)
			c.change(w)
			_, err := w.Resolve(t.Context(), w.client)
			if found, ok := problem.Of(err); !ok || found.Reason != api.ReasonHostNotAllowed || found.Message() != c.want {
				t.Errorf("%v\nwant %s", err, c.want)
			}
		})
	}
}

func (w *world) url() string { return w.client.Spec.Endpoints.PayAPI.URL }

func (w *world) allow(hosts ...string) {
	w.t.Helper()
	var err error
	if w.Allowed, err = registry.ParseAllowedHosts(hosts); err != nil {
		w.t.Fatal(err)
	}
}

// TestUnusedHost: a User Center that nobody uses need not be allowed, and whatever is tried, nothing is sent there. Once somebody uses it, it is checked.
func TestUnusedHost(t *testing.T) {
	w := newWorld(t)
	w.client.Spec.Endpoints.UserCenter = nil
	w.allow(w.url())
	application := w.resolved()
	if _, err := application.Gini.Login(t.Context(), "alice"); err != nil {
		t.Errorf("the Pay API: %v", err)
	}
	mark := w.seen
	if err := application.Gini.VerifyCredentials(t.Context()); gini.KindOf(err) != gini.Invalid {
		t.Errorf("asked for a client token: %v", err)
	}
	if _, err := application.Gini.Refresh(t.Context(), "alice", application.ClientSecret); gini.KindOf(err) != gini.Invalid {
		t.Errorf("refreshed: %v", err)
	}
	if _, err := application.Gini.PasswordLogin(t.Context(), "a@users.acme.example", application.ClientSecret); gini.KindOf(err) != gini.Invalid {
		t.Errorf("logged in: %v", err)
	}
	if len(w.seen) != len(mark) {
		t.Errorf("sent %v", w.seen)
	}

	w.client.Spec.AnonymousUsers = anonymous
	_, err := w.Resolve(t.Context(), w.client)
	if found, ok := problem.Of(err); !ok || found.Reason != api.ReasonHostNotAllowed {
		t.Errorf("with anonymous users: %v", err)
	}
	w.allow(w.url(), "user.gini.net")
	again := w.resolved()
	if again.Epoch != application.Epoch {
		t.Error("what is known of these credentials is lost, though nothing of them has changed")
	}
}
