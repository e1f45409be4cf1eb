package jwks_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/gini-operator/gini-operator/internal/jwks"
)

const (
	body = `{"keys":[{"kty":"RSA","kid":"2026-11","n":"sXch","e":"AQAB"}]}`
	path = "/default/acme-jwt/jwks.json"
)

var acme = types.NamespacedName{Namespace: "default", Name: "acme-jwt"}

// cluster stands for the GiniClients of a cluster: it answers for known, and keeps what it was asked.
type cluster struct {
	mu     sync.Mutex
	exists map[types.NamespacedName]bool
	err    error
	asked  []types.NamespacedName
}

func (c *cluster) known(_ context.Context, name types.NamespacedName) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, name)
	return c.exists[name], c.err
}

// neverAsked is a known that has no business being called.
func neverAsked(t *testing.T) func(context.Context, types.NamespacedName) (bool, error) {
	t.Helper()
	return func(_ context.Context, name types.NamespacedName) (bool, error) {
		t.Errorf("asked for %q", name)
		return true, nil
	}
}

func tagOf(content string) string {
	return fmt.Sprintf(`"%x"`, sha256.Sum256([]byte(content)))
}

func ask(t *testing.T, handler http.Handler, method, target string, conditions ...string) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, target, http.NoBody)
	for _, condition := range conditions {
		request.Header.Add("If-None-Match", condition)
	}
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	return answer
}

// expectHeaders compares all headers: one too many may tell something, and one too few loses something.
func expectHeaders(t *testing.T, answer *httptest.ResponseRecorder, want map[string]string) {
	t.Helper()
	for name := range answer.Header() {
		if _, ok := want[name]; !ok {
			t.Errorf("header %s: %q, want none", name, answer.Header()[name])
		}
	}
	for name, value := range want {
		if got := answer.Header()[name]; !slices.Equal(got, []string{value}) {
			t.Errorf("header %s: %q, want %q", name, got, value)
		}
	}
}

func expectServed(t *testing.T, answer *httptest.ResponseRecorder, method, content string) {
	t.Helper()
	want := content
	if method == http.MethodHead {
		want = ""
	}
	if answer.Code != http.StatusOK || answer.Body.String() != want {
		t.Errorf("%d %q, want 200 %q", answer.Code, answer.Body, want)
	}
	expectHeaders(t, answer, map[string]string{
		"Content-Type": "application/jwk-set+json", "Content-Length": strconv.Itoa(len(content)), "Cache-Control": "public, max-age=300",
		"Etag": tagOf(content), "X-Content-Type-Options": "nosniff",
	})
}

// expectRefused also sees that nothing of the request comes back.
func expectRefused(t *testing.T, answer *httptest.ResponseRecorder, method string, status int, more map[string]string) {
	t.Helper()
	sentence := map[int]string{
		http.StatusNotFound: "No JWK Set is here. The path of one is /{namespace}/{name}/jwks.json, " +
			"with the namespace and name of a GiniClient that signs JWTs.\n",
		http.StatusMethodNotAllowed:   "A JWK Set can only be read. Ask with GET or HEAD.\n",
		http.StatusServiceUnavailable: "This JWK Set is not read yet. Ask again in a second.\n",
	}[status]
	headers := map[string]string{
		"Content-Type": "text/plain; charset=utf-8", "Content-Length": strconv.Itoa(len(sentence)), "Cache-Control": "no-store",
		"X-Content-Type-Options": "nosniff",
	}
	for name, value := range more {
		headers[name] = value
	}
	if method == http.MethodHead {
		sentence = ""
	}
	if answer.Code != status || answer.Body.String() != sentence {
		t.Errorf("%d %q, want %d %q", answer.Code, answer.Body, status, sentence)
	}
	expectHeaders(t, answer, headers)
}

func TestServe(t *testing.T) {
	sets := jwks.NewSets(neverAsked(t))
	given := []byte(body)
	sets.Put(acme, given)
	copy(given, "overwritten") // the store has its own copy
	other := types.NamespacedName{Namespace: "team-a", Name: "acme.jwt"}
	sets.Put(other, []byte(`{"keys":[]}`))
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		expectServed(t, ask(t, sets, method, path), method, body)
		expectServed(t, ask(t, sets, method, path+"?name=other&namespace=team-a"), method, body)
		expectServed(t, ask(t, sets, method, "http://jwks.acme.example"+path), method, body)
		expectServed(t, ask(t, sets, method, "/team-a/acme.jwt/jwks.json"), method, `{"keys":[]}`)
	}
	// Replaced: another body, another tag.
	sets.Put(acme, []byte(`{"keys":[{}]}`))
	expectServed(t, ask(t, sets, http.MethodGet, path, tagOf(body)), http.MethodGet, `{"keys":[{}]}`)
}

func TestConditionalRequests(t *testing.T) {
	sets := jwks.NewSets(neverAsked(t))
	sets.Put(acme, []byte(body))
	tag, opaque := tagOf(body), strings.Trim(tagOf(body), `"`)
	for _, c := range []struct {
		name       string
		conditions []string
		same       bool
	}{
		{"the tag", []string{tag}, true},
		{"weak", []string{"W/" + tag}, true},
		{"any", []string{"*"}, true},
		{"any, with blanks", []string{" *\t"}, true},
		{"in a list", []string{`"a", W/"b",` + tag + ` , "c"`}, true},
		{"weak in a list", []string{`"a,b",	W/` + tag}, true},
		{"empty members", []string{`, ,` + tag + `,`}, true},
		{"in the second header", []string{`"a"`, tag}, true},
		{"none", nil, false},
		{"empty", []string{""}, false},
		{"another", []string{`"a"`}, false},
		{"another set's", []string{tagOf(body + " ")}, false},
		{"without quotes", []string{opaque}, false},
		{"a part of it", []string{tag[:20] + `"`}, false},
		{"in upper case", []string{strings.ToUpper(tag)}, false},
		{"a small w", []string{"w/" + tag}, false},
		{"doubly weak", []string{"W/W/" + tag}, false},
		{"any within a list", []string{`"a", *`}, false},
		{"a quoted star", []string{`"*"`}, false},
		{"inside another", []string{`"a,` + opaque + `,b"`}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				answer := ask(t, sets, method, path, c.conditions...)
				if !c.same {
					expectServed(t, answer, method, body)
					continue
				}
				if answer.Code != http.StatusNotModified || answer.Body.Len() > 0 {
					t.Errorf("%s: %d %q, want 304 without a body", method, answer.Code, answer.Body)
				}
				expectHeaders(t, answer, map[string]string{"Cache-Control": "public, max-age=300", "Etag": tag, "X-Content-Type-Options": "nosniff"})
			}
		})
	}
}

// TestNothingElseCounts sends what other servers act upon.
func TestNothingElseCounts(t *testing.T) {
	sets := jwks.NewSets(neverAsked(t))
	sets.Put(acme, []byte(body))
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, strings.NewReader("name=other"))
	for name, value := range map[string]string{
		"Range": "bytes=0-3", "If-Match": `"a"`, "If-Modified-Since": "Fri, 31 Dec 9999 23:59:59 GMT", "If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT",
		"Accept": "text/html", "Accept-Encoding": "gzip", "X-HTTP-Method-Override": "DELETE", "X-Original-URL": "/", "X-Forwarded-Prefix": "/x",
		"Origin": "https://evil.example", "Authorization": "Bearer x", "Host": "evil.example",
	} {
		request.Header.Set(name, value)
	}
	request.Host = "evil.example"
	answer := httptest.NewRecorder()
	sets.ServeHTTP(answer, request)
	expectServed(t, answer, http.MethodGet, body)
}

func TestNotPut(t *testing.T) {
	unread := types.NamespacedName{Namespace: "default", Name: "unread"}
	again := map[string]string{"Retry-After": "1"}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		c := &cluster{exists: map[types.NamespacedName]bool{acme: true, unread: true}}
		sets := jwks.NewSets(c.known)
		expectRefused(t, ask(t, sets, method, "/default/unread/jwks.json", "*"), method, http.StatusServiceUnavailable, again)
		expectRefused(t, ask(t, sets, method, "/default/unknown/jwks.json", "*"), method, http.StatusNotFound, nil)
		sets.Remove(unread)
		sets.Put(acme, []byte(body))
		expectServed(t, ask(t, sets, method, path), method, body)

		// Removed, and still there: its keys are read again. Removed, and gone: 404.
		sets.Remove(acme)
		expectRefused(t, ask(t, sets, method, path), method, http.StatusServiceUnavailable, again)
		c.exists[acme] = false
		expectRefused(t, ask(t, sets, method, path), method, http.StatusNotFound, nil)

		// Where nobody can tell, nothing is denied.
		c.err = errors.New("secret text")
		expectRefused(t, ask(t, sets, method, path), method, http.StatusServiceUnavailable, again)
		if want := []types.NamespacedName{unread, {Namespace: "default", Name: "unknown"}, acme, acme, acme}; !slices.Equal(c.asked, want) {
			t.Errorf("asked for %q, want %q", c.asked, want)
		}
	}
}

func TestKnownThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sets := jwks.NewSets(func(ctx context.Context, _ types.NamespacedName) (bool, error) {
			<-ctx.Done()
			return false, ctx.Err()
		})
		started := time.Now()
		expectRefused(t, ask(t, sets, http.MethodGet, path), http.MethodGet, http.StatusServiceUnavailable, map[string]string{"Retry-After": "1"})
		if took := time.Since(started); took != 2*time.Second {
			t.Errorf("answered after %s", took)
		}
	})
}

func TestMethods(t *testing.T) {
	sets := jwks.NewSets(neverAsked(t))
	sets.Put(acme, []byte(body))
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "QUERY"} {
		for _, target := range []string{path, "/default/unknown/jwks.json"} {
			request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
			request.Method = method
			answer := httptest.NewRecorder()
			sets.ServeHTTP(answer, request)
			expectRefused(t, answer, method, http.StatusMethodNotAllowed, map[string]string{"Allow": "GET, HEAD"})
		}
		expectRefused(t, ask(t, sets, method, "/default/jwks.json"), method, http.StatusNotFound, nil)
	}
}

// TestOtherPaths are not found, and nobody is asked: neither for names that are none, nor for other spellings of one.
func TestOtherPaths(t *testing.T) {
	sets := jwks.NewSets(neverAsked(t))
	sets.Put(acme, []byte(body))
	// What a careless caller could have put is still not served by a name that is none.
	sets.Put(types.NamespacedName{Namespace: "Default", Name: "acme-jwt"}, []byte(body))
	sets.Put(types.NamespacedName{Namespace: "default", Name: ".."}, []byte(body))
	sets.Put(types.NamespacedName{}, []byte(body))
	label, subdomain := strings.Repeat("a", 64), strings.Repeat("a.", 126)+"ab"
	for _, target := range []string{
		"/", "//", "///jwks.json", "/jwks.json", "/default", "/default/", "/default/acme-jwt", "/default/acme-jwt/", "/default/jwks.json", "/default//jwks.json",
		"/healthz", "/metrics", "/.well-known/jwks.json", "/favicon.ico", "/debug/pprof/",
		path + "/", path + "//", "/" + path, "/." + path, "/.." + path, "/x/.." + path, "/default/./acme-jwt/jwks.json", "/default/x/../acme-jwt/jwks.json",
		"/default/../jwks.json", "/default//acme-jwt/jwks.json", "/default/acme-jwt//jwks.json", "/default/acme-jwt/x/jwks.json", "/x" + path,
		"/default%2facme-jwt/jwks.json", "/default/acme-jwt%2Fjwks.json", "/%2fdefault/acme-jwt/jwks.json", "/default/acme%2djwt/jwks.json",
		"/%64efault/acme-jwt/jwks.json", "/default/acme-jwt/jwks%2Ejson", "/default/%2e%2e/jwks.json", path + "%00", path + "%20", path + "%3f", "/default/acme-jwt/jwks.json%2f",
		path + ";v=1", path + ".gz", "/default/acme-jwt/JWKS.json", "/default/acme-jwt/jwks.jso", "/default/acme-jwt/xjwks.json",
		"/Default/acme-jwt/jwks.json", "/default/Acme-jwt/jwks.json", "/-default/acme-jwt/jwks.json", "/default/acme-jwt-/jwks.json", "/default/acme_jwt/jwks.json",
		"/de.fault/acme-jwt/jwks.json", "/default/.acme/jwks.json", "/default/acme..jwt/jwks.json", "/default/*/jwks.json", "/*/acme-jwt/jwks.json", "/default/%C3%A4/jwks.json",
		"/" + label + "/acme-jwt/jwks.json", "/default/" + subdomain + "/jwks.json",
	} {
		t.Run(target, func(t *testing.T) {
			for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
				expectRefused(t, ask(t, sets, method, target), method, http.StatusNotFound, nil)
			}
		})
	}
}

// TestLongestNames are names all the same.
func TestLongestNames(t *testing.T) {
	c := &cluster{}
	sets := jwks.NewSets(c.known)
	longest := types.NamespacedName{Namespace: strings.Repeat("a", 63), Name: strings.Repeat("a.", 126) + "b"}
	expectRefused(t, ask(t, sets, http.MethodGet, "/"+longest.Namespace+"/"+longest.Name+"/jwks.json"), http.MethodGet, http.StatusNotFound, nil)
	if !slices.Equal(c.asked, []types.NamespacedName{longest}) {
		t.Errorf("asked for %q", c.asked)
	}
}

// TestUnderWay puts and removes a set while it is fetched: what is served is always whole, with its own tag.
func TestUnderWay(t *testing.T) {
	c := &cluster{exists: map[types.NamespacedName]bool{acme: true}}
	sets := jwks.NewSets(c.known)
	bodies := map[string]bool{}
	for i := range 4 {
		bodies[strings.Repeat(strconv.Itoa(i), 100+i)] = true
	}
	var writers, readers sync.WaitGroup
	for content := range bodies {
		writers.Go(func() {
			buffer := []byte(content)
			for range 200 {
				sets.Put(acme, buffer)
				clear(buffer)
				copy(buffer, content)
				sets.Remove(acme)
			}
			sets.Put(acme, buffer)
		})
	}
	for range 4 {
		readers.Go(func() {
			for range 500 {
				answer := ask(t, sets, http.MethodGet, path)
				got := answer.Body.String()
				switch {
				case answer.Code == http.StatusServiceUnavailable:
				case answer.Code != http.StatusOK || !bodies[got] || answer.Header().Get("Etag") != tagOf(got):
					t.Errorf("%d %s %q", answer.Code, answer.Header().Get("Etag"), got)
				}
			}
		})
	}
	writers.Wait()
	readers.Wait()
	if answer := ask(t, sets, http.MethodGet, path); answer.Code != http.StatusOK || !bodies[answer.Body.String()] {
		t.Errorf("at last: %d %q", answer.Code, answer.Body)
	}
}
