package emulator

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestFetchTimesOut: a server that never answers is given up, and then asked again.
func TestFetchTimesOut(t *testing.T) {
	end := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-end }))
	defer server.Close()
	defer close(end)
	k := newKeySetCache()
	if k.timeout != 10*time.Second {
		t.Errorf("the timeout is %s", k.timeout)
	}
	k.timeout = time.Millisecond
	for range 2 {
		reported := 0
		config := JWT{Issuer: "i", JWKSURL: server.URL}
		_, err := k.get(t.Context(), &config, "k1", time.Now, func(err error) {
			if reported++; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("reported %v", err)
			}
		})
		if !errors.Is(err, context.DeadlineExceeded) || reported != 1 {
			t.Errorf("%v, reported %d times", err, reported)
		}
	}
}
