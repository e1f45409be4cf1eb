package examples_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/gini-operator/gini-operator/pkg/emulator"
	"github.com/gini-operator/gini-operator/pkg/tokenfile/tokenfiletest"
)

const lifetime = 5 * time.Minute

// moment is a program's n-th request for documents, counted from 1: before Gini looks at it, or before its answer is sent. The program waits
// meanwhile, so whatever is done then lies between two of its steps.
type moment struct {
	n        int
	answered bool
}

func arrived(n int) moment  { return moment{n, false} }
func answered(n int) moment { return moment{n, true} }

// world is a Gini with one user, and a folder in which the user's token is mounted. It listens while a program runs; before and after that, all of
// it belongs to the test.
type world struct {
	*testing.T
	gini  *emulator.Server
	clock *clocktesting.FakeClock
	dir   string
	// plan is what happens when.
	plan map[moment]func()

	mu       sync.Mutex // guards all of it while a program runs
	requests int
	tokens   []string
	expiries map[string]string // of tokens, by their fingerprints
}

// newWorld has a first token mounted.
func newWorld(t *testing.T) *world {
	t.Helper()
	clk := clocktesting.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	w := &world{
		T: t, clock: clk, dir: t.TempDir(), expiries: map[string]string{},
		gini: emulator.New(emulator.WithClock(clk), emulator.WithClient("acme", "s3cret"), emulator.WithLifetime(lifetime),
			emulator.WithSettings(func(s *emulator.Settings) { s.TokenForm = emulator.FormAwkward })),
	}
	w.mount(w.login())

	// The files that are seen in a mounted folder are links through ..data: read one after the other, two of them may be of two
	// generations. Whoever reads them there, and not in the folder that ..data points to, finds a wrong time.
	seen := filepath.Join(w.dir, "expires_at")
	if err := os.Remove(seen); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(seen, []byte("1970-01-01T00:00:00Z"), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// ServeHTTP is the emulator's, with the plan carried out.
func (w *world) ServeHTTP(out http.ResponseWriter, req *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests++
	n := w.requests
	if happens := w.plan[arrived(n)]; happens != nil {
		happens()
	}
	w.gini.ServeHTTP(out, req)
	if happens := w.plan[answered(n)]; happens != nil {
		happens()
	}
}

// login gets another token; earlier ones stay valid.
func (w *world) login() string {
	w.Helper()
	req := httptest.NewRequestWithContext(w.Context(), http.MethodPost, "/login", nil)
	req.SetBasicAuth("acme", "s3cret")
	req.Header.Set("X-User-Identifier", "alice")
	out := httptest.NewRecorder()
	w.gini.ServeHTTP(out, req)
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(out.Body.Bytes(), &answer); err != nil || answer.Token == "" {
		w.Errorf("login: status %d, %v", out.Code, err) // not Fatalf: requests are served by other goroutines
	}
	return answer.Token
}

// mount puts a token just issued into the folder, as the kubelet does.
func (w *world) mount(token string) {
	w.Helper()
	expiresAt := w.clock.Now().Add(lifetime)
	if err := tokenfiletest.Write(w.dir, tokenfiletest.AccessToken(token, expiresAt)); err != nil {
		w.Error(err)
	}
	w.tokens = append(w.tokens, token)
	w.expiries[emulator.Fingerprint(token)] = expiresAt.Format(time.RFC3339)
}

// latest is the token that was mounted last.
func (w *world) latest() string { return w.tokens[len(w.tokens)-1] }

// renew mounts another token, and lets the one before expire.
func (w *world) renew() {
	w.clock.Step(lifetime - time.Minute)
	w.mount(w.login())
	w.clock.Step(2 * time.Minute)
}

// end ends the mounted token before its time, just when another one has been mounted.
func (w *world) end() {
	ended := w.latest()
	w.mount(w.login())
	if !w.gini.EndToken(ended) {
		w.Error("the token had ended already")
	}
}

// endBoth mounts another token, and ends both it and the one before.
func (w *world) endBoth() {
	ended := w.latest()
	w.mount(w.login())
	w.gini.EndToken(ended) // unless it has ended already
	w.gini.EndToken(w.latest())
}

// used are the fingerprints of the tokens of the requests for documents, in their order.
func (w *world) used() (fingerprints []string) {
	for _, call := range w.gini.Ledger().Calls {
		if call.Operation == emulator.Documents {
			fingerprints = append(fingerprints, call.Token)
		}
	}
	return fingerprints
}

// named are the fingerprints of the mounted tokens with these numbers, counted from 0.
func (w *world) named(numbers ...int) (fingerprints []string) {
	for _, n := range numbers {
		fingerprints = append(fingerprints, emulator.Fingerprint(w.tokens[n]))
	}
	return fingerprints
}

// discreet fails the test where text shows a token.
func (w *world) discreet(where, text string) {
	w.Helper()
	for n, token := range w.tokens {
		if strings.Contains(text, token) || strings.Contains(text, token[:len(token)/2]) {
			w.Errorf("%s shows token %d", where, n)
		}
	}
}

// unseen fails the test where a process that runs now shows a token in its arguments or its environment. Linux lets one look.
func (w *world) unseen() {
	for _, name := range []string{"cmdline", "environ"} {
		paths, err := filepath.Glob("/proc/[0-9]*/" + name)
		if err != nil {
			w.Error(err)
		}
		for _, path := range paths {
			if shown, err := os.ReadFile(path); err == nil { // else it has ended, or is not ours
				w.discreet(path, string(shown))
			}
		}
	}
}
