// Package examples_test runs the programs of examples/ against the emulator, with a folder as the kubelet mounts it, and asks the
// emulator afterwards what they sent.
package examples_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// TestR12_2Examples runs each example. It needs their runtimes, so it is skipped unless they are said to be there.
func TestR12_2Examples(t *testing.T) {
	if os.Getenv("EXAMPLES") != "required" {
		t.Skip("SKIPPED: the examples did not run. EXAMPLES=required runs them; it needs default-jdk-headless, python3, nodejs and curl")
	}
	folder := t.TempDir()
	build(t, folder)
	for _, p := range programs(folder) {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.present(t)
			t.Run("renewals", p.usesEachToken)
			t.Run("no newer token", p.doesNotRepeatInVain)
			t.Run("newer token refused", p.repeatsOnce)
			t.Run("redirect", p.keepsTheTokenFromOthers)
			t.Run("malformed", p.sendsNothingMalformed)
			t.Run("plain files", p.readsPlainFiles)
			t.Run("one success", p.needsOneSuccess)
			t.Run("no answer", p.tellsOfNoAnswer)
			t.Run("not told", p.saysWhatItWasNotTold)
		})
	}
}

// Three renewals: after two of them the former token expires at once, and with the second it ends while a request carries it.
func (p program) usesEachToken(t *testing.T) {
	w := newWorld(t)
	w.plan = map[moment]func(){arrived(1): w.unseen, answered(2): w.renew, arrived(4): w.end, answered(6): w.renew}
	lines := p.lines(t, w, 7)

	tokens := w.named(0, 0, 1, 1, 2, 2, 3, 3) // the fifth repeats the fourth
	if got := w.used(); fmt.Sprint(got) != fmt.Sprint(tokens) {
		t.Errorf("tokens used: %v instead of %v", got, tokens)
	}
	uses := w.gini.Ledger().TokenUses
	if want := (emulator.Uses{Accepted: 7, Refused: 1, UsedEnded: 1}); uses != want {
		t.Errorf("uses: %+v instead of %+v", uses, want)
	}
	accepted := append(append([]string{}, tokens[:3]...), tokens[4:]...)
	for n, line := range lines {
		if line.status != http.StatusOK {
			t.Errorf("request %d: status %d", n+1, line.status)
		}
		if want := w.expiries[accepted[n]]; p.tells && line.until != want {
			t.Errorf("request %d: a token valid until %s is said to be valid until %s", n+1, want, line.until)
		}
	}
}

// A refused request is not repeated with the token that was refused.
func (p program) doesNotRepeatInVain(t *testing.T) {
	w := newWorld(t)
	w.gini.EndToken(w.latest())
	for _, line := range p.lines(t, w, 2) {
		if line.status != http.StatusUnauthorized {
			t.Errorf("status %d", line.status)
		}
	}
	if n := len(w.used()); n != 2 {
		t.Errorf("%d requests were sent instead of 2", n)
	}
}

// A request that was repeated is not repeated again.
func (p program) repeatsOnce(t *testing.T) {
	w := newWorld(t)
	w.plan = map[moment]func(){arrived(1): w.endBoth, arrived(2): w.endBoth}
	for _, line := range p.lines(t, w, 1) {
		if line.status != http.StatusUnauthorized {
			t.Errorf("status %d", line.status)
		}
	}
	if got, want := w.used(), w.named(0, 1); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("tokens used: %v instead of %v", got, want)
	}
}

// Whoever answers with a redirect gets the token nowhere else.
func (p program) keepsTheTokenFromOthers(t *testing.T) {
	w := newWorld(t)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		dump, err := httputil.DumpRequest(r, true)
		if err != nil {
			t.Error(err)
		}
		w.discreet("a request to another host", string(dump))
	}))
	defer other.Close()
	w.gini.Script(emulator.Fault{Effect: emulator.Redirect(http.StatusFound, other.URL+"/documents")})
	p.lines(t, w, 1)
	if n := len(w.used()); n != 1 {
		t.Errorf("%d requests were sent", n)
	}
}

// What cannot be a header is not sent, and HTTP libraries that quote it in their errors do not get to see it.
func (p program) sendsNothingMalformed(t *testing.T) {
	w := newWorld(t)
	token := w.latest()
	for name, authorization := range map[string]string{
		"control":     "Bearer " + token + "\x01" + token,
		"two lines":   "Bearer " + token + "\r\nX-Other: " + token,
		"other bytes": "Bearer " + token + "ü",
	} {
		for _, folder := range []string{w.dir, filepath.Join(w.dir, "..data")} {
			path := filepath.Join(folder, "authorization")
			if err := os.WriteFile(path, []byte(authorization), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if r := p.run(t, w, 1); r.code != 1 || strings.Contains(r.stdout, " 200") {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if n := len(w.used()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

// On a developer's machine there is no ..data, and an editor leaves a line break at the end.
func (p program) readsPlainFiles(t *testing.T) {
	w := newWorld(t)
	w.dir = t.TempDir()
	until := w.expiries[emulator.Fingerprint(w.latest())]
	for name, text := range map[string]string{
		"access_token": w.latest(), "token_type": "Bearer", "expires_at": until, "authorization": "Bearer " + w.latest(),
	} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.lines(t, w, 1)[0]; got.status != http.StatusOK || (p.tells && got.until != until) {
		t.Errorf("%+v", got)
	}
}

// One request that succeeds is enough for exit code 0.
func (p program) needsOneSuccess(t *testing.T) {
	w := newWorld(t)
	w.gini.Script(emulator.Fault{Match: emulator.Match{Count: 1}, Effect: emulator.Status(http.StatusInternalServerError, "")})
	if lines := p.lines(t, w, 2); lines[0].status != http.StatusInternalServerError || lines[1].status != http.StatusOK {
		t.Errorf("%+v", lines)
	}
}

// Where nobody answers, there is a line for each request all the same.
func (p program) tellsOfNoAnswer(t *testing.T) {
	w := newWorld(t)
	front := httptest.NewServer(w)
	front.Close()
	r := p.start(t, w, "GINI_TOKEN_DIR="+w.dir, "GINI_URL="+front.URL, "GINI_REQUESTS=2")
	if r.code != 1 || strings.Count(r.stdout, "\n") != 2 || !strings.HasSuffix(r.stderr, "None of the requests succeeded.\n") {
		t.Errorf("%+v", r)
	}
}

// What a program was not told, it says in one sentence, before it does anything.
func (p program) saysWhatItWasNotTold(t *testing.T) {
	w := newWorld(t)
	folder, url := "GINI_TOKEN_DIR="+w.dir, "GINI_URL=http://127.0.0.1:1"
	const (
		noFolder  = "GINI_TOKEN_DIR is not set: it must name the folder where the Secret is mounted.\n"
		noURL     = "GINI_URL is not set: it must be the URL of Gini's Pay API, https://pay-api.gini.net.\n"
		wrongURL  = "GINI_URL must begin with https:// or http://, as https://pay-api.gini.net does.\n"
		wrongEnds = "GINI_REQUESTS must be a number from 1 to 999999999, or absent.\n"
	)
	for _, c := range []struct {
		environment []string
		want        string
	}{
		{[]string{url}, noFolder},
		{[]string{url, "GINI_TOKEN_DIR="}, noFolder},
		{[]string{folder}, noURL},
		{[]string{folder, "GINI_URL="}, noURL},
		{[]string{folder, "GINI_URL=pay-api.gini.net"}, wrongURL},
		{[]string{folder, "GINI_URL=https://"}, wrongURL},
		{[]string{folder, url, "GINI_REQUESTS=0"}, wrongEnds},
		{[]string{folder, url, "GINI_REQUESTS=ten"}, wrongEnds},
		{[]string{folder, url, "GINI_REQUESTS=-1"}, wrongEnds},
		{[]string{folder, url, "GINI_REQUESTS=1000000000"}, wrongEnds},
	} {
		if r := p.start(t, w, c.environment...); r != (result{stderr: c.want, code: 2}) {
			t.Errorf("%q: %+v instead of %q", c.environment, r, c.want)
		}
	}
}
