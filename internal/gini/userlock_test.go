package gini

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/secret"
)

// TestTokenRequestsOfOneUserNeverOverlap, of whatever kind they are (R16.3).
func TestTokenRequestsOfOneUserNeverOverlap(t *testing.T) {
	var inside, overlaps, total atomic.Int64
	token := func(w http.ResponseWriter, r *http.Request) {
		if inside.Add(1) > 1 {
			overlaps.Add(1)
		}
		total.Add(1)
		for range 100 { // others have every chance to come
			runtime.Gosched()
		}
		inside.Add(-1) // before the answer leaves, which it does when this function has returned
		says(200, goodGrant)(w, r)
	}
	client := clientOf(t, serve(t, script{askLogin: token, askPassword: token, askRefresh: token}).URL)
	ctx := bounded(t)
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() { _, err := client.Login(ctx, "same"); wantKind(t, err, None) })
		all.Go(func() { _, err := client.LoginJWT(ctx, "same", secret.New("j")); wantKind(t, err, None) })
		all.Go(func() { _, err := client.PasswordLogin(ctx, "same", secret.New("p")); wantKind(t, err, None) })
		all.Go(func() { _, err := client.Refresh(ctx, "same", secret.New("r")); wantKind(t, err, None) })
	}
	all.Wait()
	if overlaps.Load() != 0 || total.Load() != 160 {
		t.Errorf("%d of %d token requests of one user overlap", overlaps.Load(), total.Load())
	}
	if len(client.users.users) != 0 {
		t.Errorf("%d locks are left", len(client.users.users))
	}
}

func TestUsersDoNotWaitForEachOther(t *testing.T) {
	var meet sync.WaitGroup
	meet.Add(2)
	server := serve(t, script{askLogin: func(w http.ResponseWriter, r *http.Request) {
		meet.Done()
		meet.Wait() // hangs unless both are here
		says(200, goodGrant)(w, r)
	}})
	client := clientOf(t, server.URL)
	var both sync.WaitGroup
	for _, user := range []string{"a", "b"} {
		both.Go(func() { _, err := client.Login(bounded(t), user); wantKind(t, err, None) })
	}
	both.Wait()
}

func TestWaitForOnesTurnEndsWithTheContext(t *testing.T) {
	client := clientOf(t, "http://127.0.0.1:1")
	unlock, err := client.users.lock(bounded(t), "same")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(bounded(t), time.Millisecond)
	defer cancel()
	_, err = client.Login(ctx, "same")
	if KindOf(err) != Canceled || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the end of the context", err)
	}
	unlock()
	if len(client.users.users) != 0 {
		t.Errorf("%d locks are left", len(client.users.users))
	}
}

// TestWhoGivesUpLeavesTheLock to who has it: the next one waits as well.
func TestWhoGivesUpLeavesTheLock(t *testing.T) {
	var locks userLocks
	unlock, err := locks.lock(bounded(t), "same")
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		if _, err = locks.lock(ended, "same"); err == nil {
			t.Fatal("two have the lock")
		}
	}
	unlock()
	if len(locks.users) != 0 {
		t.Errorf("%d locks are left", len(locks.users))
	}
}

// TestOverlapIsRepeatedOnce: a token request that met another one elsewhere, which Gini answers by 500 (R16.3).
func TestOverlapIsRepeatedOnce(t *testing.T) {
	for operation, ask := range asks {
		isToken := strings.Contains(ask, "/oauth/token") || ask == askLogin
		for _, test := range []struct {
			status int
			then   http.HandlerFunc
			asked  int64
			want   Kind
		}{
			{500, says(200, goodGrant), 2, None},
			{500, says(500, ""), 2, Unavailable},
			{500, says(400, `{"error":"invalid_grant"}`), 2, GrantRejected},
			{502, says(200, goodGrant), 1, Unavailable},
			{503, says(200, goodGrant), 1, Unavailable},
		} {
			if !isToken || operation == OperationClientToken && test.want == GrantRejected {
				continue
			}
			var asked atomic.Int64
			client := clientOf(t, serve(t, script{ask: inTurn(&asked, says(test.status, ""), test.then)}).URL)
			wantKind(t, calls[operation](bounded(t), client), test.want)
			if asked.Load() != test.asked {
				t.Errorf("%s, status %d: %d requests, want %d", operation, test.status, asked.Load(), test.asked)
			}
		}
	}
}

func TestPauseEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(bounded(t))
	server := serve(t, script{askLogin: says(500, "")})
	client := clientOf(t, server.URL, func(c *Config) {
		c.OverlapPause = time.Hour
		c.Observe = func(Observation) { cancel() }
	})
	_, err := client.Login(ctx, testIdentifier)
	if KindOf(err) != Canceled || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
