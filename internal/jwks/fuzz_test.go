package jwks_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/gini-operator/gini-operator/internal/jwks"
)

var (
	// setPath is a path of a set as it may stand in a request line, with scheme and host or without, before any query.
	setPath = regexp.MustCompile(`^(?:[A-Za-z][A-Za-z0-9+.-]*:(?://[^/?]*)?)?/([^/?]+)/([^/?]+)/jwks\.json(?:\?.*)?$`)
	label   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
)

// isName is what Kubernetes takes for the name of a namespace and of an object, told another way.
func isName(namespace, name string) bool {
	for part := range strings.SplitSeq(name, ".") {
		if !label.MatchString(part) {
			return false
		}
	}
	return len(namespace) <= 63 && len(name) <= 253 && label.MatchString(namespace)
}

// FuzzRequest sends any request line and headers that Go's server takes for a request.
func FuzzRequest(f *testing.F) {
	const host = "Host: jwks.acme.example\r\n"
	for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "CONNECT", "PRI", "get"} {
		f.Add(method, path, host)
	}
	for _, target := range []string{
		"/", "*", "//", path + "/", "/" + path, path + "?a=b", "/team-a/beta/jwks.json", "/team-a/unread/jwks.json", "/team-a/failing/jwks.json",
		"/default/acme%2djwt/jwks.json", "/default%2facme-jwt/jwks.json", "/default/../default/acme-jwt/jwks.json", "/default/x/jwks.json", "/Default/acme-jwt/jwks.json",
		"http://jwks.acme.example" + path, "http:" + path, "http:default/acme-jwt/jwks.json", path + "#a", path + "%00", "/default/acme-jwt\\jwks.json",
	} {
		f.Add("GET", target, host)
	}
	for _, headers := range []string{
		"If-None-Match: " + tagOf(body) + "\r\n", "If-None-Match: *\r\n", "If-None-Match: W/\"a\", " + tagOf(body) + "\r\nIf-None-Match: \"\r\n",
		"Range: bytes=1-2\r\nIf-Match: \"a\"\r\n", "If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT\r\n", "X-HTTP-Method-Override: DELETE\r\n",
		"Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n", "Expect: 100-continue\r\n", "Connection: Upgrade\r\nUpgrade: h2c\r\n",
	} {
		f.Add("GET", path, host+headers)
	}
	beta := types.NamespacedName{Namespace: "team-a", Name: "beta"}
	put := map[types.NamespacedName]string{acme: body, beta: `{"keys":[]}`}
	f.Fuzz(func(t *testing.T, method, target, headers string) {
		request, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\n" + headers + "\r\n\r\n")))
		if err != nil {
			t.Skip("no request")
		}
		var asked []types.NamespacedName
		sets := jwks.NewSets(func(_ context.Context, name types.NamespacedName) (bool, error) {
			asked = append(asked, name)
			if name.Name == "failing" {
				return false, context.DeadlineExceeded
			}
			return name.Name == "unread", nil
		})
		for name, content := range put {
			sets.Put(name, []byte(content))
		}
		answer := httptest.NewRecorder()
		sets.ServeHTTP(answer, request)

		var name types.NamespacedName
		if parts := setPath.FindStringSubmatch(request.RequestURI); len(parts) == 3 && isName(parts[1], parts[2]) {
			name = types.NamespacedName{Namespace: parts[1], Name: parts[2]}
		}
		content, served := put[name]
		reads := request.Method == http.MethodGet || request.Method == http.MethodHead
		want := http.StatusOK
		switch {
		case name.Name == "":
			want = http.StatusNotFound
		case !reads:
			want = http.StatusMethodNotAllowed
		case served && answer.Code == http.StatusNotModified && request.Header.Get("If-None-Match") != "":
			want = http.StatusNotModified
		case served:
		case name.Name == "failing", name.Name == "unread":
			want = http.StatusServiceUnavailable
		default:
			want = http.StatusNotFound
		}
		if answer.Code != want {
			t.Fatalf("%d, want %d: %q", answer.Code, want, request.RequestURI)
		}
		if mayAsk := reads && name.Name != "" && !served; mayAsk != (len(asked) == 1) || mayAsk && asked[0] != name {
			t.Fatalf("asked for %q: %q", asked, request.RequestURI)
		}
		got := answer.Body.String()
		switch {
		case request.Method == http.MethodHead || answer.Code == http.StatusNotModified:
			if got != "" {
				t.Fatalf("%d with a body: %q", answer.Code, got)
			}
		case answer.Code == http.StatusOK:
			if got != content || answer.Header().Get("Etag") != tagOf(content) {
				t.Fatalf("%q with tag %s, want %q", got, answer.Header().Get("Etag"), content)
			}
		case !strings.HasSuffix(got, ".\n") || answer.Header().Get("Cache-Control") != "no-store":
			t.Fatalf("%d %q, Cache-Control %q", answer.Code, got, answer.Header().Get("Cache-Control"))
		}
	})
}
