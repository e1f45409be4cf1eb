package gini

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

// tokenServer numbers the client tokens it gives out; which one users may come with is for the test to say.
type tokenServer struct {
	given    atomic.Int64
	answer   func(number int64) string
	accepted func(authorization string) bool
	refusal  http.HandlerFunc
	served   atomic.Int64
	hold     func() // called within a token request
}

func (s *tokenServer) handler() script {
	return script{
		askClient: func(w http.ResponseWriter, r *http.Request) {
			number := s.given.Add(1)
			if s.hold != nil {
				s.hold()
			}
			says(200, s.answer(number))(w, r)
		},
		askUser: func(w http.ResponseWriter, r *http.Request) {
			s.served.Add(1)
			if !s.accepted(r.Header.Get("Authorization")) {
				s.refusal(w, r)
				return
			}
			says(200, `{"id":"`+testUserID+`"}`)(w, r)
		},
	}
}

func numbered(number int64) string {
	return fmt.Sprintf(`{"access_token":"client-%d","token_type":"bearer","expires_in":3599}`, number)
}

func anyToken(string) bool { return true }

// TestClientTokenIsAskedForOnce by a hundred callers at once (R2.5).
func TestClientTokenIsAskedForOnce(t *testing.T) {
	const callers = 100
	var started sync.WaitGroup
	started.Add(callers)
	gini := &tokenServer{answer: numbered, accepted: anyToken, hold: started.Wait}
	client := clientOf(t, serve(t, gini.handler()).URL)
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			started.Done()
			wantKind(t, calls[OperationUser](bounded(t), client), None)
		})
	}
	all.Wait()
	if gini.given.Load() != 1 {
		t.Errorf("%d client tokens for %d calls at once", gini.given.Load(), callers)
	}
}

// TestStaleClientTokenIsReplacedOnce, whatever Gini answers to it (R16.6).
func TestStaleClientTokenIsReplacedOnce(t *testing.T) {
	const callers = 100
	for _, status := range []int{400, 401, 403, 500} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			// All of them have met the refusal of the first token before the first one hears of it.
			var refused sync.WaitGroup
			refused.Add(callers)
			gini := &tokenServer{answer: numbered}
			gini.accepted = func(authorization string) bool { return authorization == "Bearer client-2" }
			gini.refusal = func(w http.ResponseWriter, r *http.Request) {
				refused.Done()
				refused.Wait()
				says(status, "")(w, r)
			}
			client := clientOf(t, serve(t, gini.handler()).URL)
			wantKind(t, client.VerifyCredentials(bounded(t)), None)
			var all sync.WaitGroup
			for range callers {
				all.Go(func() { wantKind(t, calls[OperationUser](bounded(t), client), None) })
			}
			all.Wait()
			if gini.given.Load() != 2 {
				t.Errorf("%d client tokens, want 2", gini.given.Load())
			}
		})
	}
}

func TestRefusedClientTokenIsReplacedOnlyOnce(t *testing.T) {
	for name, answer := range map[string]func(int64) string{
		"new tokens":           numbered,
		"the same token again": func(int64) string { return numbered(1) },
	} {
		for _, status := range []int{401, 403} {
			t.Run(fmt.Sprint(name, " ", status), func(t *testing.T) {
				gini := &tokenServer{answer: answer, accepted: func(string) bool { return false }, refusal: says(status, "")}
				client := clientOf(t, serve(t, gini.handler()).URL)
				wantKind(t, calls[OperationUser](bounded(t), client), TokenRejected)
				if gini.given.Load() != 2 || gini.served.Load() != 2 {
					t.Errorf("%d client tokens, %d requests; want 2 and 2", gini.given.Load(), gini.served.Load())
				}
			})
		}
	}
}

func TestWhatMayHaveBeenDoneIsNotRepeated(t *testing.T) {
	for status, want := range map[int]int64{500: 1, 503: 1, 429: 1, 422: 1, 400: 2, 401: 2, 403: 2} {
		var asked, tokens atomic.Int64
		server := serve(t, script{askClient: inTurn(&tokens, says(200, goodClient)), askCreate: inTurn(&asked, says(status, ""))})
		client := clientOf(t, server.URL)
		wantKind(t, client.VerifyCredentials(bounded(t)), None)
		_ = calls[OperationCreateUser](bounded(t), client)
		if asked.Load() != want {
			t.Errorf("status %d: %d requests to create a user, want %d", status, asked.Load(), want)
		}
		_ = calls[OperationCreateUser](bounded(t), client)
		if status == 500 && tokens.Load() != 2 {
			t.Errorf("the token that met a 500 is still used")
		}
	}
}

func TestClientTokenLifetime(t *testing.T) {
	for _, test := range []struct {
		expires      string
		first, after time.Duration // still used, no longer used
	}{
		{`,"expires_in":3599`, 3593 * time.Second, 3594 * time.Second},
		{`,"expires_in":"20"`, 17 * time.Second, 18 * time.Second},
		{`,"expires_in":1e12`, 99 * 365 * 24 * time.Hour, 101 * 365 * 24 * time.Hour},
		{``, 59 * time.Second, 60 * time.Second},
		{`,"expires_in":"abc"`, 59 * time.Second, 60 * time.Second},
		{`,"expires_in":0`, 999 * time.Millisecond, time.Second},
		{`,"expires_in":-7`, 999 * time.Millisecond, time.Second},
		{`,"expires_in":3599`, 0, -time.Second}, // the clock was set back: nobody knows
	} {
		begin := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
		clock := clocktesting.NewFakePassiveClock(begin)
		gini := &tokenServer{accepted: anyToken, answer: func(int64) string { return `{"access_token":"a"` + test.expires + `}` }}
		client := clientOf(t, serve(t, gini.handler()).URL, func(c *Config) { c.Clock = clock })
		wantKind(t, calls[OperationUser](bounded(t), client), None)
		for at, want := range map[time.Duration]int64{test.first: 1, test.after: 2} {
			client.clientTokens.current = clientToken{}
			gini.given.Store(0)
			clock.SetTime(begin)
			wantKind(t, calls[OperationUser](bounded(t), client), None)
			clock.SetTime(begin.Add(at))
			wantKind(t, calls[OperationUser](bounded(t), client), None)
			if gini.given.Load() != want {
				t.Errorf("%s after %s: %d client tokens, want %d", test.expires, at, gini.given.Load(), want)
			}
		}
	}
}

// TestClientTokenHasTimeForBothTries: what is waited between the two requests is not taken from the time that they have.
func TestClientTokenHasTimeForBothTries(t *testing.T) {
	client := clientOf(t, serve(t, script{askClient: says(200, goodClient)}).URL, func(c *Config) { c.OverlapPause = 24 * time.Hour })
	wantKind(t, client.VerifyCredentials(bounded(t)), None)
}

func TestSharedRequestOutlivesItsFirstCaller(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	gini := &tokenServer{answer: numbered, accepted: anyToken, hold: func() { close(arrived); <-release }}
	client := clientOf(t, serve(t, gini.handler()).URL)
	first, giveUp := context.WithCancel(bounded(t))
	gone, served := make(chan error), make(chan error)
	go func() { gone <- calls[OperationUser](first, client) }()
	<-arrived
	go func() { served <- calls[OperationUser](bounded(t), client) }()
	giveUp()
	wantKind(t, <-gone, Canceled)
	close(release)
	wantKind(t, <-served, None)
	if gini.given.Load() != 1 {
		t.Errorf("%d client tokens", gini.given.Load())
	}
}

func TestVerifyCredentialsAsksAnew(t *testing.T) {
	gini := &tokenServer{answer: numbered, accepted: anyToken}
	client := clientOf(t, serve(t, gini.handler()).URL)
	for range 3 {
		wantKind(t, client.VerifyCredentials(bounded(t)), None)
	}
	wantKind(t, calls[OperationUser](bounded(t), client), None)
	if gini.given.Load() != 3 {
		t.Errorf("%d client tokens for 3 proofs", gini.given.Load())
	}
}
