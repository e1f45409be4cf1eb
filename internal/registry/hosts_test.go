package registry_test

import (
	"net/url"
	"testing"

	"github.com/gini-operator/gini-operator/internal/registry"
)

func TestAllow(t *testing.T) {
	for _, c := range []struct {
		allowed  []string
		endpoint string
		want     bool
	}{
		{[]string{"pay-api.gini.net"}, "https://pay-api.gini.net", true},
		{[]string{"pay-api.gini.net"}, "https://pay-api.gini.net/a/prefix", true},
		{[]string{"pay-api.gini.net"}, "https://PAY-API.Gini.Net", true},
		{[]string{"Pay-API.GINI.net"}, "https://pay-api.gini.net", true},
		{[]string{"pay-api.gini.net/"}, "https://pay-api.gini.net", true},
		{[]string{"https://pay-api.gini.net"}, "https://pay-api.gini.net", true},
		{[]string{"a.example", "b.example"}, "https://b.example", true},
		{nil, "https://pay-api.gini.net", false},
		// Ports: an entry without one is the scheme's own.
		{[]string{"pay-api.gini.net"}, "https://pay-api.gini.net:443", true},
		{[]string{"pay-api.gini.net:443"}, "https://pay-api.gini.net", true},
		{[]string{"pay-api.gini.net"}, "https://pay-api.gini.net:8443", false},
		{[]string{"proxy.acme.example:8443"}, "https://proxy.acme.example:8443", true},
		{[]string{"proxy.acme.example:8443"}, "https://proxy.acme.example", false},
		{[]string{"[::1]:8443"}, "https://[::1]:8443", true},
		{[]string{"*.gini.net:8443"}, "https://user.gini.net:8443", true},
		{[]string{"*.gini.net:8443"}, "https://user.gini.net", false},
		// Plain http only where it is said.
		{[]string{"pay-api.gini.net"}, "http://pay-api.gini.net", false},
		{[]string{"pay-api.gini.net"}, "http://pay-api.gini.net:443", false},
		{[]string{"http://gini-emulator.test:8080"}, "http://gini-emulator.test:8080", true},
		{[]string{"http://gini-emulator.test:8080"}, "https://gini-emulator.test:8080", false},
		{[]string{"http://gini-emulator.test"}, "http://gini-emulator.test:80", true},
		{[]string{"http://gini-emulator.test"}, "http://gini-emulator.test:443", false},
		// Wildcards stand for whole labels of any number, and not for none.
		{[]string{"*.gini.net"}, "https://user.gini.net", true},
		{[]string{"*.gini.net"}, "https://user.stage.gini.net", true},
		{[]string{"*.GINI.net"}, "https://User.Gini.Net", true},
		{[]string{"*.gini.net"}, "https://gini.net", false},
		{[]string{"*.gini.net"}, "http://user.gini.net", false},
		// Those who would like to be taken for Gini.
		{[]string{"*.gini.net"}, "https://evilgini.net", false},
		{[]string{"*.gini.net"}, "https://user-gini.net", false},
		{[]string{"*.gini.net"}, "https://user.gini.net.evil.example", false},
		{[]string{"*.gini.net"}, "https://.gini.net", false},
		{[]string{"gini.net"}, "https://gini.net.evil", false},
		{[]string{"gini.net"}, "https://evilgini.net", false},
		{[]string{"gini.net"}, "https://user.gini.net", false},
		{[]string{"gini.net"}, "https://gini.ne", false},
		{[]string{"gini.net"}, "https://gini.net.", false},
		{[]string{"gini.net"}, "https://gini.net@evil.example", false},
		{[]string{"gini.net"}, "https://evil.example/gini.net", false},
		{[]string{"gini.net"}, "https://evil.example#gini.net", false},
		{[]string{"*.gini.net"}, "https://evil.example/x.gini.net", false},
		{[]string{"pay-api.gini.net"}, "https://pay-apiXgini.net", false},
		// Whom the operator must not talk to.
		{[]string{"*.gini.net"}, "https://kubernetes.default.svc", false},
		{[]string{"*.gini.net"}, "http://169.254.169.254", false},
		{[]string{"10.0.0.1"}, "https://10.0.0.10", false},
	} {
		allowed, err := registry.ParseAllowedHosts(c.allowed)
		if err != nil {
			t.Fatal(err)
		}
		endpoint, err := url.Parse(c.endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if got := allowed.Allow(endpoint); got != c.want {
			t.Errorf("%v allows %s: %v, want %v", c.allowed, c.endpoint, got, c.want)
		}
	}
}

func TestParseAllowedHostsRefuses(t *testing.T) {
	for _, bad := range []string{
		"", "https://", "ftp://gini.net", "gini.net/path", "https://gini.net/path", "user@gini.net", "https://user:pw@gini.net", "gini.net?x", "gini.net?x=y",
		"gini.net:port", "gi ni.net", ":8443", "[::1", "://gini.net",
	} {
		if allowed, err := registry.ParseAllowedHosts([]string{"gini.net", bad}); err == nil {
			t.Errorf("%q is taken as %+v", bad, allowed)
		}
	}
}
