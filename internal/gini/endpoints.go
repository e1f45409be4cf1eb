package gini

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gini-operator/gini-operator/internal/transport"
)

// DefaultMediaType is what the Pay API is asked for (Gini Pay API documentation, "Media types").
const DefaultMediaType = "application/vnd.gini.v1+json"

// Gini's production hosts (Gini Pay API documentation).
const (
	DefaultPayAPI     = "https://pay-api.gini.net"
	DefaultUserCenter = "https://user.gini.net"
)

// Endpoints is where Gini is. Either URL may have a path prefix, as a gateway in front of Gini may want one.
type Endpoints struct {
	PayAPI     *url.URL
	UserCenter *url.URL
	MediaType  string // of the Pay API; empty: DefaultMediaType
}

// Bounds on what is taken as input, in bytes: far above anything Gini takes, far below what hurts.
const (
	maxEndpoint = 2048
	maxInput    = 4096
	maxToken    = 16 << 10
)

// ParseEndpoint reads one of the Endpoints' URLs: https, a host, maybe a port and a path prefix; no user information,
// query or fragment. Plain http carries the client's secret in the clear, therefore it is taken with allowHTTP only:
// for the hosts where whoever runs the operator has said so (an emulator in the cluster, a test). Which hosts may be
// named at all is not decided here. The error's text is constant, as the URL may hold a password.
func ParseEndpoint(raw string, allowHTTP bool) (*url.URL, error) {
	if len(raw) > maxEndpoint {
		return nil, errors.New("the URL is too long")
	}
	parsed, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("not a URL") // err quotes it
	}
	if strings.ContainsAny(raw, "?#") {
		return nil, errors.New("a query or fragment is not allowed")
	}
	return checkEndpoint(parsed, allowHTTP)
}

// checkEndpoint returns a copy without a trailing slash and with the host in lower case.
func checkEndpoint(endpoint *url.URL, allowHTTP bool) (*url.URL, error) {
	switch {
	case endpoint == nil:
		return nil, errors.New("missing")
	case endpoint.Scheme == "http" && !allowHTTP:
		return nil, errors.New("https is required")
	case endpoint.Scheme != "https" && endpoint.Scheme != "http":
		return nil, errors.New("the scheme must be https")
	case endpoint.Opaque != "" || endpoint.Hostname() == "" || strings.ContainsFunc(endpoint.Host, notHost):
		return nil, errors.New("the host is missing or malformed")
	case endpoint.User != nil:
		return nil, errors.New("user information is not allowed")
	case endpoint.RawQuery != "" || endpoint.ForceQuery || endpoint.Fragment != "":
		return nil, errors.New("a query or fragment is not allowed")
	case slices.ContainsFunc(strings.Split(endpoint.Path, "/"), func(segment string) bool { return segment == "." || segment == ".." }):
		return nil, errors.New("a path with . or .. is not allowed")
	case strings.HasSuffix(endpoint.Host, ":"):
		return nil, errors.New("the port is missing")
	}
	if port := endpoint.Port(); port != "" {
		if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
			return nil, errors.New("the port is not one")
		}
	}
	checked := &url.URL{Scheme: endpoint.Scheme, Host: strings.ToLower(endpoint.Host)}
	if prefix := strings.Trim(endpoint.EscapedPath(), "/"); prefix != "" {
		checked.Path = "/"
		checked = checked.JoinPath(prefix)
	}
	return checked, nil
}

// notHost finds what has no place in a host: url.Parse lets through zones, escapes and much else that is not a
// separator, and an allow-list compares hosts as text.
func notHost(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._:[]", r))
}

// InputProblem says, in constant words, why a value of at most limit bytes cannot be sent, or nothing: the values
// themselves are secrets, or as good as.
func InputProblem(value string, limit int) string {
	switch {
	case value == "":
		return "is empty"
	case len(value) > limit:
		return "is too long"
	case !utf8.ValidString(value): // JSON would change it silently
		return "is not valid UTF-8"
	case strings.ContainsFunc(value, unicode.IsControl):
		return "holds a control character, maybe a newline at its end (echo -n writes none)"
	}
	return ""
}

// identifierProblem is InputProblem for what travels as a header: its blanks at the ends get lost on the way, and
// another identifier is another user.
func identifierProblem(value string) string {
	if strings.TrimSpace(value) != value {
		return "begins or ends with a blank"
	}
	return InputProblem(value, maxInput)
}

// plainID reports whether a user id can stand in a path as it is. Gini's are UUIDs.
func plainID(id string) bool {
	return len(id) <= 256 && !transport.SaysNothing(id) && strings.Trim(id, ".") != "" && !strings.ContainsFunc(id, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._~", r))
	})
}
