package restore_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
)

// watchLag keeps what the API server tells of changes to one resource, as in "secrets", from whoever watches it.
type watchLag struct {
	resource string
	gate     sync.RWMutex
}

// hold keeps everything back until release is called.
func (l *watchLag) hold() (release func()) {
	l.gate.Lock()
	return l.gate.Unlock
}

func (l *watchLag) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		if err == nil && request.URL.Query().Get("watch") != "" && strings.HasSuffix(request.URL.Path, "/"+l.resource) {
			response.Body = &lagging{ReadCloser: response.Body, gate: &l.gate}
		}
		return response, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// lagging is what a watch reads.
type lagging struct {
	io.ReadCloser
	gate *sync.RWMutex
}

func (l *lagging) Read(into []byte) (int, error) {
	n, err := l.ReadCloser.Read(into)
	l.gate.RLock()
	defer l.gate.RUnlock()
	return n, err
}
