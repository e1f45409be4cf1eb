package jwks

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
)

const (
	// knownTimeout is how long known may take to say whether a set is one to wait for.
	knownTimeout = 2 * time.Second
	// retryAfter is the seconds after which a set that is not read yet is worth asking for again.
	retryAfter = "1"

	// The answers' bodies are constant: nothing of the request comes back in them.
	noSuchSet = "No JWK Set is here. The path of one is /{namespace}/{name}/jwks.json, with the namespace and name of a GiniClient that signs JWTs.\n"
	notRead   = "This JWK Set is not read yet. Ask again in a second.\n"
	notAsked  = "A JWK Set can only be read. Ask with GET or HEAD.\n"
)

// cacheControl lets anybody keep a set, as it is the same for everybody.
var cacheControl = fmt.Sprintf("public, max-age=%d", int(MaxAge.Seconds()))

// ServeHTTP answers GET and HEAD of /{namespace}/{name}/jwks.json; everything else is refused without looking further.
func (s *Sets) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	name, ok := nameIn(request.URL)
	if !ok {
		refuse(writer, request, http.StatusNotFound, noSuchSet)
		return
	}
	if request.Method != http.MethodGet && request.Method != http.MethodHead {
		writer.Header().Set("Allow", "GET, HEAD")
		refuse(writer, request, http.StatusMethodNotAllowed, notAsked)
		return
	}
	if found, put := s.find(name); put {
		found.serve(writer, request)
		return
	}
	ctx, cancel := context.WithTimeout(request.Context(), knownTimeout)
	defer cancel()
	if exists, err := s.known(ctx, name); exists || err != nil {
		// Neither 404 nor an empty set: whoever fetches would take the keys for withdrawn.
		writer.Header().Set("Retry-After", retryAfter)
		refuse(writer, request, http.StatusServiceUnavailable, notRead)
		return
	}
	refuse(writer, request, http.StatusNotFound, noSuchSet)
}

// nameIn reads the GiniClient's name out of the URL of its set. The path is taken as it was sent: neither cleaned nor unescaped.
func nameIn(address *url.URL) (types.NamespacedName, bool) {
	if address.RawPath != "" { // something is escaped that no name has, or that needs no escaping
		return types.NamespacedName{}, false
	}
	path, rooted := strings.CutPrefix(address.Path, "/")
	path, ofSet := strings.CutSuffix(path, "/jwks.json")
	namespace, name, both := strings.Cut(path, "/")
	if !rooted || !ofSet || !both || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return types.NamespacedName{}, false
	}
	return types.NamespacedName{Namespace: namespace, Name: name}, true
}

// serve sends the set, or says that the one that the client holds is the same.
func (s set) serve(writer http.ResponseWriter, request *http.Request) {
	header := writer.Header()
	header.Set("Cache-Control", cacheControl)
	header.Set("ETag", s.etag)
	header.Set("X-Content-Type-Options", "nosniff")
	if s.matches(request.Header.Values("If-None-Match")) {
		writer.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Type", "application/jwk-set+json") // RFC 7517, 8.5
	send(writer, request, http.StatusOK, s.body)
}

// matches compares as RFC 9110, 13.1.2 asks: weakly, with each tag of each If-None-Match, or with a star that stands alone.
// No tag has a quote inside, so what lies between two commas can only be the set's tag where it was meant as a tag.
func (s set) matches(conditions []string) bool {
	condition := strings.Join(conditions, ",")
	if strings.Trim(condition, " \t") == "*" {
		return true
	}
	for tag := range strings.SplitSeq(condition, ",") {
		if strings.TrimPrefix(strings.Trim(tag, " \t"), "W/") == s.etag {
			return true
		}
	}
	return false
}

// refuse answers with a sentence for whoever looks at it. Nobody may keep it: a set can be there a moment later.
func refuse(writer http.ResponseWriter, request *http.Request, status int, sentence string) {
	header := writer.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	send(writer, request, status, sentence)
}

// send ends an answer. To HEAD it says the length that GET would have sent.
func send(writer http.ResponseWriter, request *http.Request, status int, body string) {
	writer.Header().Set("Content-Length", strconv.Itoa(len(body)))
	writer.WriteHeader(status)
	if request.Method != http.MethodHead {
		_, _ = io.WriteString(writer, body) // it fails only where nobody is left to hear of it
	}
}
