package registry

import (
	"fmt"
	"net/url"
	"strings"
)

// AllowedHosts is the operator-wide list of hosts that credentials may be sent to. It keeps whoever may create a GiniClient
// from making the operator talk to the cluster's own services.
type AllowedHosts []allowedHost

type allowedHost struct {
	scheme   string
	name     string // a leading "*." stands for any subdomain
	hostPort string
}

// ParseAllowedHosts reads entries such as pay-api.gini.net, *.gini.net, proxy.acme.example:8443, and http://gini-emulator.test:8080 for plain http.
// An entry without a port stands for the scheme's own port.
func ParseAllowedHosts(entries []string) (AllowedHosts, error) {
	var allowed AllowedHosts
	for _, entry := range entries {
		raw := entry
		if !strings.Contains(raw, "://") {
			raw = "https://" + raw
		}
		parsed, err := url.Parse(raw)
		if err != nil || parsed.Hostname() == "" || (parsed.Scheme != "https" && parsed.Scheme != "http") ||
			(parsed.Path != "" && parsed.Path != "/") || parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "" ||
			strings.HasSuffix(parsed.Hostname(), ".") || !wildcardAtMostFirst(parsed.Hostname()) {
			return nil, fmt.Errorf("allowed host %q: write it as host, host:port, *.domain, or http://host:port", entry)
		}
		allowed = append(allowed, allowedHost{scheme: parsed.Scheme, name: strings.ToLower(parsed.Hostname()), hostPort: portOf(parsed)})
	}
	return allowed, nil
}

// wildcardAtMostFirst refuses a star anywhere but as the whole first label of a domain with two more: *gini.net would
// allow evilgini.net, and *.net about everybody.
func wildcardAtMostFirst(name string) bool {
	domain, wildcard := strings.CutPrefix(name, "*.")
	if strings.Contains(domain, "*") {
		return false
	}
	return !wildcard || strings.Contains(strings.Trim(domain, "."), ".")
}

// Allow reports whether credentials may be sent to a URL.
func (a AllowedHosts) Allow(endpoint *url.URL) bool {
	name := strings.ToLower(endpoint.Hostname())
	for _, host := range a {
		if host.scheme != endpoint.Scheme || host.hostPort != portOf(endpoint) {
			continue
		}
		if host.name == name {
			return true
		}
		if suffix, wildcard := strings.CutPrefix(host.name, "*"); wildcard && strings.HasSuffix(name, suffix) && len(name) > len(suffix) {
			return true
		}
	}
	return false
}

func portOf(endpoint *url.URL) string {
	if port := endpoint.Port(); port != "" {
		return port
	}
	if endpoint.Scheme == "http" {
		return "80"
	}
	return "443"
}
