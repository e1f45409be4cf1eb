package emulator

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// reply carries a call out and writes its answer, with the effect that the script has for it. It returns the status, 0 where none
// was written.
func (s *Server) reply(ctx context.Context, w http.ResponseWriter, c *call, e *Effect) int {
	if !wait(ctx, e.Latency) {
		return 0
	}
	var genuine answer
	carryOut := func() { genuine = s.carryOut(ctx, c) }
	switch kind := e.kind(); {
	case kind == KindHang:
		if e.TakesEffect {
			carryOut()
		}
		if !s.hang(ctx) {
			return 0
		}
		if !e.TakesEffect {
			carryOut()
		}
	case kind == KindNone || e.TakesEffect:
		carryOut()
	}
	if !wait(ctx, e.LatencyAfter) {
		return 0
	}
	if k := e.kind(); k == KindNone || k == KindHang {
		return write(w, c, genuine, e.Header)
	}
	return s.replace(w, c, e, genuine)
}

func (s *Server) carryOut(ctx context.Context, c *call) answer {
	s.checkJWT(ctx, c)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handle(c)
}

// replace writes what the effect has in place of Gini's answer. Cut connections end in http.ErrAbortHandler, which net/http takes as the wish
// to close them (HTTP/2: to reset the stream).
func (s *Server) replace(w http.ResponseWriter, c *call, e *Effect, genuine answer) int {
	a := answer{status: http.StatusOK, contentType: jsonType}
	const placeholder = `{"access_token":"incomplete","token_type":"bearer","expires_in":43199}`
	body := genuine.body
	if len(body) == 0 {
		body = []byte(placeholder)
	}
	switch e.kind() {
	case KindStatus:
		a = s.statusAnswer(c, e)
	case KindCutHeader:
		panic(http.ErrAbortHandler)
	case KindCutBody:
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		a.body = body[:len(body)/2]
		write(w, c, a, e.Header)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case KindBrokenJSON:
		a.body = body[:len(body)/2]
	case KindHTML:
		a.contentType = "text/html; charset=utf-8"
		a.body = []byte("<!DOCTYPE html><html><body><h1>Welcome</h1><p>" + s.withMarker("Please sign in.") + "</p></body></html>")
	case KindOversized:
		return writeOversized(w, c, e)
	case KindRedirect:
		a.status = http.StatusFound
		a.header = map[string]string{"Location": e.RedirectTo}
	}
	if e.Status != 0 {
		a.status = e.Status
	}
	return write(w, c, a, e.Header)
}

func (s *Server) statusAnswer(c *call, e *Effect) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.errorFor(c, e.Status)
	if e.Body != "" {
		a.contentType, a.body = "text/plain; charset=utf-8", []byte(s.marked(e.Body))
		if e.ContentType != "" {
			a.contentType = e.ContentType
		}
	}
	if e.RetryAfterDate != 0 {
		if a.header == nil {
			a.header = map[string]string{}
		}
		a.header["Retry-After"] = s.now().Add(e.RetryAfterDate).UTC().Format(http.TimeFormat)
	}
	return a
}

func (s *Server) withMarker(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.marked(text)
}

func write(w http.ResponseWriter, c *call, a answer, extra map[string]string) int {
	a.finish(c, w.Header())
	for name, value := range extra {
		w.Header().Set(name, value)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // a client that went away is its own business
	return a.status
}

func writeOversized(w http.ResponseWriter, c *call, e *Effect) int {
	const head, tail = `{"access_token":"`, `"}`
	size := e.Size
	if size == 0 {
		size = defaultOversize
	}
	status := write(w, c, answer{status: http.StatusOK, contentType: jsonType, body: []byte(head)}, e.Header)
	_, err := io.CopyN(w, repeated{}, max(0, size-int64(len(head)+len(tail))))
	if err == nil {
		_, _ = io.Copy(w, strings.NewReader(tail))
	}
	return status
}

// repeated reads as the letter x without end.
type repeated struct{}

func (repeated) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// wait lets real time pass: latency is the network's, not the emulator's clock's. False means that the client went away.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// hang waits for Release (true) or for the client to go away (false).
func (s *Server) hang(ctx context.Context) bool {
	s.mu.Lock()
	released := s.released
	s.mu.Unlock()
	select {
	case <-released:
		return true
	case <-ctx.Done():
		return false
	}
}
