package views

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	testclock "k8s.io/utils/clock/testing"
)

// proxy stands between an operator and the API server, and shows the operator another cluster than there is. It speaks plain HTTP and
// JSON, and has no streamed lists, so that what is listed and what is watched can be told apart.
type proxy struct {
	url      string
	upstream http.RoundTripper
	clock    *testclock.FakeClock // nil: nothing is late

	mu sync.Mutex
	// lag is how late watches tell of anything, by the clock.
	lag time.Duration
	// dropped says which events of each watch are not told of, by their numbers from 0; nil: none.
	dropped func(number int) bool
	// expiry is closed, and made anew, to end all watches: a client then lists anew.
	expiry chan struct{}
	// listed are the first lists that an operator asked for, and old the answers that they are given, by their keys.
	listed map[string]*http.Request
	old    map[string][]byte
	// lie is what is answered to a write that was done, the first of each kind in each act.
	lie  lie
	act  string
	lied map[string]bool
	// requests counts those that are no leases' and no Events', by verb and resource, and deletions are the DELETEs.
	requests  map[string]int
	deletions []deletion
}

// lie is what an operator is told of a write that was done.
type lie string

const (
	truth    lie = ""
	timeout  lie = "504"
	conflict lie = "409"
	noAnswer lie = "a cut connection"
)

// deletion is a DELETE, and whether it names the UID and the version of what it means.
type deletion struct {
	path         string
	uid, version bool
}

func newProxy(clk *testclock.FakeClock) *proxy {
	GinkgoHelper()
	upstream, err := rest.TransportFor(restConfig)
	Expect(err).NotTo(HaveOccurred())
	p := &proxy{
		upstream: upstream, clock: clk, expiry: make(chan struct{}), listed: map[string]*http.Request{}, lied: map[string]bool{},
		requests: map[string]int{},
	}
	server := httptest.NewServer(p)
	p.url = server.URL
	DeferCleanup(func() { p.expire(); server.CloseClientConnections(); server.Close() })
	return p
}

// target is what a request is about.
type target struct {
	verb, resource, subresource, name string
}

func targetOf(r *http.Request) target {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	at := 2 // of /api/v1/…
	if parts[0] == "apis" {
		at = 3
	}
	t := target{verb: r.Method}
	if len(parts) > at+2 && parts[at] == "namespaces" {
		at += 2
	}
	names := []*string{&t.resource, &t.name, &t.subresource}
	for i, part := range parts[min(at, len(parts)):] {
		if i < len(names) {
			*names[i] = part
		}
	}
	switch query := r.URL.Query(); {
	case r.Method != http.MethodGet:
	case query.Get("watch") == "true" || query.Get("watch") == "1":
		t.verb = "WATCH"
	case t.name == "":
		t.verb = "LIST"
	}
	return t
}

func (t target) isAside() bool { return slices.Contains([]string{"leases", "events"}, t.resource) }

func (t target) isWrite() bool {
	return !t.isAside() && !slices.Contains([]string{"GET", "LIST", "WATCH"}, t.verb)
}

func (t target) String() string {
	if t.subresource != "" {
		return t.verb + " " + t.resource + "/" + t.subresource
	}
	return t.verb + " " + t.resource
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	about := targetOf(r)
	outgoing := r.Clone(r.Context())
	outgoing.RequestURI = ""
	outgoing.Body = http.NoBody
	if len(body) > 0 {
		outgoing.Body = io.NopCloser(bytes.NewReader(body))
	}
	outgoing.URL.Scheme, outgoing.URL.Host = "https", strings.Trim(strings.TrimPrefix(restConfig.Host, "https:"), "/")
	outgoing.Host = ""
	outgoing.Header.Del("Accept-Encoding")
	outgoing.Header.Set("Accept", withoutProtobuf(r.Header.Get("Accept")))
	if r.URL.Query().Get("sendInitialEvents") == "true" {
		say(w, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid)
		return
	}
	p.note(about, r.URL.Path, body)
	if about.verb == "LIST" && p.replays(w, outgoing) {
		return
	}
	response, err := p.upstream.RoundTrip(outgoing)
	if err != nil {
		GinkgoWriter.Println("the API server is not there:", about, err)
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = response.Body.Close() }()
	switch {
	case about.verb == "WATCH" && response.StatusCode == http.StatusOK:
		p.stream(w, r, response)
	case about.isWrite() && response.StatusCode < 300 && p.lies(w, about, r.URL.Path):
	default:
		maps.Copy(w.Header(), response.Header)
		w.WriteHeader(response.StatusCode)
		_, _ = io.Copy(w, response.Body)
	}
}

func withoutProtobuf(accept string) string {
	types := slices.DeleteFunc(strings.Split(accept, ","), func(one string) bool {
		return strings.Contains(one, "protobuf") || strings.Contains(one, "cbor") || one == ""
	})
	if len(types) == 0 {
		return "application/json"
	}
	return strings.Join(types, ",")
}

// say answers with a Status.
func say(w http.ResponseWriter, code int, reason metav1.StatusReason) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(statusOf(code, reason))
}

func statusOf(code int, reason metav1.StatusReason) metav1.Status {
	return metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: int32(code),
		Reason: reason, Message: "said by a test",
	}
}

func (p *proxy) note(about target, path string, body []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !about.isAside() {
		p.requests[about.String()]++
	}
	if about.verb != http.MethodDelete {
		return
	}
	deleted := deletion{path: path}
	if object, _, err := clientgoscheme.Codecs.UniversalDeserializer().Decode(body, nil, &metav1.DeleteOptions{}); err == nil {
		if options, ok := object.(*metav1.DeleteOptions); ok && options.Preconditions != nil {
			deleted.uid = options.Preconditions.UID != nil && *options.Preconditions.UID != ""
			deleted.version = options.Preconditions.ResourceVersion != nil && *options.Preconditions.ResourceVersion != ""
		}
	}
	p.deletions = append(p.deletions, deleted)
}

// lies answers a write that was done in another way, where it is the first of its kind in this act.
func (p *proxy) lies(w http.ResponseWriter, about target, path string) bool {
	p.mu.Lock()
	key := fmt.Sprint(p.act, about.verb, path)
	told, lied := p.lie, p.lied[key]
	p.lied[key] = true
	p.mu.Unlock()
	switch {
	case told == truth, lied:
		return false
	case told == timeout:
		say(w, http.StatusGatewayTimeout, metav1.StatusReasonTimeout)
	case told == conflict && about.verb == http.MethodPost:
		say(w, http.StatusConflict, metav1.StatusReasonAlreadyExists)
	case told == conflict:
		say(w, http.StatusConflict, metav1.StatusReasonConflict)
	default:
		panic(http.ErrAbortHandler)
	}
	return true
}

// replays answers a list with the old one, where there is one, and remembers lists that operators ask for when they start.
func (p *proxy) replays(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Query().Get("resourceVersion") != "0" {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := r.URL.Path + " " + r.Header.Get("Accept")
	p.listed[key] = r.Clone(r.Context())
	answer, ok := p.old[key]
	if ok {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	}
	return ok
}

// record keeps the lists as they are now, to replay those of some resources to an operator that starts.
func (p *proxy) record(ctx SpecContext, resources ...string) (replay func()) {
	GinkgoHelper()
	old := map[string][]byte{}
	p.mu.Lock()
	listed := maps.Clone(p.listed)
	p.mu.Unlock()
	for key, request := range listed {
		if !slices.Contains(resources, targetOf(request).resource) {
			continue
		}
		again := request.Clone(ctx)
		query := again.URL.Query()
		query.Del("resourceVersion")
		query.Del("limit")
		again.URL.RawQuery = query.Encode()
		again.Body = http.NoBody
		response, err := p.upstream.RoundTrip(again)
		Expect(err).NotTo(HaveOccurred())
		content, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		Expect(err).NotTo(HaveOccurred())
		Expect(response.StatusCode).To(Equal(http.StatusOK), string(content))
		old[key] = content
	}
	Expect(old).NotTo(BeEmpty())
	return func() { p.set(func() { p.old = old }) }
}

func (p *proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// expire ends all watches as if what they began with was long gone: lists are asked for anew.
func (p *proxy) expire() {
	p.set(func() {
		close(p.expiry)
		p.expiry = make(chan struct{})
	})
}

// counted are the requests so far, by verb and resource.
func (p *proxy) counted() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.requests)
}

// expectCareful checks that no object was ever deleted by its name alone.
func (p *proxy) expectCareful() {
	GinkgoHelper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, deleted := range p.deletions {
		Expect(deleted).To(Equal(deletion{path: deleted.path, uid: true, version: true}))
	}
}
