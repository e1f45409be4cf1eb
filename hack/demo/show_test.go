package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestFetch(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		out.WriteHeader(status)
		_, _ = io.WriteString(out, `{"keys":[]}`)
	}))
	defer server.Close()

	if set, err := fetch(t.Context(), server.URL); set != `{"keys":[]}` || err != nil {
		t.Errorf("%q, %v", set, err)
	}
	status = http.StatusNotFound
	want := "the JWK Set cannot be fetched: " + server.URL + " answers 404 Not Found"
	if set, err := fetch(t.Context(), server.URL); set != "" || err == nil || err.Error() != want {
		t.Errorf("%q, %v, instead of %q", set, err, want)
	}
	server.Close()
	if _, err := fetch(t.Context(), server.URL); err == nil || !strings.HasPrefix(err.Error(), "the JWK Set cannot be fetched: ") {
		t.Errorf("a server that does not answer: %v", err)
	}
}
