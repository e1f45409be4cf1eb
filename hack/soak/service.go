package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// service is what a Service of Kubernetes is for JWK Sets: one address for both operators.
type service struct {
	addresses func() []string
	server    *http.Server
}

// startService listens at a free port of this machine.
func startService(ctx context.Context, addresses func() []string) (s *service, url string, err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	s = &service{addresses: addresses}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: time.Second}
	go func() {
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic(err) // the listener is ours
		}
	}()
	return s, "http://" + listener.Addr().String(), nil
}

func (s *service) close() { _ = s.server.Close() }

// ServeHTTP hands a request to the first operator that answers it.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, address := range s.addresses() {
		if status, body := ask(r.Context(), "http://"+address+r.URL.Path); status == http.StatusOK {
			w.Header().Set("Content-Type", "application/jwk-set+json")
			w.Header().Set("Cache-Control", "public, max-age=300")
			_, _ = io.WriteString(w, body) //nolint:gosec // nobody looks at it in a browser
			return
		}
	}
	w.WriteHeader(http.StatusServiceUnavailable)
}
