package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestCheckReady: it waits for an operator that becomes ready, whatever proxy there is.
func TestCheckReady(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	var asked atomic.Int32
	operator := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" || asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer operator.Close()
	// As main calls it, but for the pause.
	if err := checkReady(t.Context(), time.Millisecond, operator.URL+"/readyz"); err != nil {
		t.Error(err)
	}
	if asked.Load() != 3 {
		t.Errorf("asked %d times", asked.Load())
	}
	if err := run(t.Context(), []string{"check-ready", operator.URL + "/readyz"}); err != nil {
		t.Errorf("as the program: %v", err)
	}
}

// TestCheckReadyFails: it fails where the operator is not ready, where nobody serves, and at once where it is called wrongly; the error says which.
func TestCheckReadyFails(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var asked atomic.Int32
	unready := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		if asked.Add(1) == 3 {
			stop()
		}
	}))
	defer unready.Close()
	if err := checkReady(ctx, time.Millisecond, unready.URL+"/readyz"); err == nil || !strings.Contains(err.Error(), "answers 500") {
		t.Errorf("an operator that is not ready: %v", err)
	}

	nobody := httptest.NewServer(http.NotFoundHandler())
	nobody.Close()
	short, done := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer done()
	if err := checkReady(short, time.Millisecond, nobody.URL+"/readyz"); err == nil {
		t.Error("nobody serves, and it says ready")
	}

	for name, arguments := range map[string][]string{
		"needs one URL":  {"check-ready"},
		"needs one":      {"check-ready", nobody.URL, nobody.URL},
		"is no URL":      {"check-ready", "localhost:8081/readyz"},
		`"readyz" is no`: {"check-ready", "readyz"},
	} {
		if err := run(t.Context(), arguments); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v: %v", arguments, err)
		}
	}
}
