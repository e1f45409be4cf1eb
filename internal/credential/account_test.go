package credential_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/gini-operator/gini-operator/internal/credential"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/secret"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

var address = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}@users\.acme\.example$`)

func TestNewAccount(t *testing.T) {
	const accounts = 2000
	emails, passwords, counts := map[string]bool{}, map[string]bool{}, map[rune]int{}
	for range accounts {
		account, err := credential.NewAccount("users.acme.example")
		if err != nil {
			t.Fatal(err)
		}
		if !address.MatchString(account.Email) {
			t.Fatalf("e-mail address %q", account.Email)
		}
		invented := account.Password.Reveal()
		if len(invented) != 32 || strings.ContainsFunc(invented, func(r rune) bool {
			return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9')
		}) {
			t.Fatalf("password of %d characters", len(invented))
		}
		emails[account.Email], passwords[invented] = true, true
		for _, r := range invented {
			counts[r]++
		}
	}
	if len(emails) != accounts || len(passwords) != accounts {
		t.Errorf("%d e-mail addresses and %d passwords of %d are distinct", len(emails), len(passwords), accounts)
	}
	// Each of 62 characters about 1032 times; the standard deviation is 32.
	if len(counts) != 62 {
		t.Errorf("%d characters are used, want 62", len(counts))
	}
	for r, count := range counts {
		if count < 832 || count > 1232 {
			t.Errorf("%q stands %d times", r, count)
		}
	}
}

func account() credential.Account { return credential.Account{Email: email, Password: password} }

// TestEnsureAccount: whatever happened before, there is one account afterwards, or an error, and never a second one.
func TestEnsureAccount(t *testing.T) {
	lost := emulator.CutBeforeHeader().AfterTakingEffect() // made, and the answer is lost
	for _, c := range []struct {
		name     string
		options  []emulator.Option
		before   func(*world)
		untried  bool
		created  bool
		granted  bool
		asked    string
		accounts int
	}{
		{name: "untried", untried: true, created: true, asked: "ClientToken CreateUser", accounts: 1},
		{name: "tried, but never made", created: true, asked: "PasswordLogin ClientToken CreateUser", accounts: 1},
		{
			name: "made before a crash", granted: true, asked: "PasswordLogin CheckToken", accounts: 1,
			before: func(w *world) { w.AddAccount(clientID, email, password.Reveal()) },
		},
		{
			name: "untried, they say, but it exists", untried: true, granted: true, accounts: 1,
			asked:  "ClientToken CreateUser PasswordLogin CheckToken",
			before: func(w *world) { w.AddAccount(clientID, email, password.Reveal()) },
		},
		{
			name: "made, and the answer was lost", granted: true, asked: "PasswordLogin CheckToken", accounts: 1,
			before: func(w *world) {
				remove := w.Script(emulator.Fault{Match: emulator.Match{Operations: []emulator.Operation{emulator.CreateUser}}, Effect: lost})
				if _, err := credential.EnsureAccount(w.t.Context(), w, account(), true); gini.KindOf(err) != gini.Unreachable {
					w.t.Fatalf("the first try: %v", err)
				}
				remove()
			},
		},
		{
			name: "wrong passwords are 401", options: []emulator.Option{emulator.WithSettings(func(s *emulator.Settings) { s.WrongPasswordStatus = 401 })},
			created: true, asked: "PasswordLogin ClientToken CreateUser", accounts: 1,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, c.options...)
			if c.before != nil {
				c.before(w)
			}
			mark := w.Mark()
			made, err := credential.EnsureAccount(t.Context(), w, account(), c.untried)
			if err != nil {
				t.Fatal(err)
			}
			if made.Created != c.created || (made.Grant != nil) != c.granted {
				t.Errorf("created %v, with a grant: %v", made.Created, made.Grant != nil)
			}
			if c.granted && !w.used(made.Grant.AccessToken) {
				t.Error("Gini refuses the token of the login")
			}
			accounts := w.Ledger().Accounts()
			if len(accounts) != c.accounts || accounts[0].ID != made.UserID || accounts[0].Email != email {
				t.Errorf("accounts %+v, and the user id %q", accounts, made.UserID)
			}
			if got := strings.TrimSuffix(w.requests(mark), " Documents"); got != c.asked {
				t.Errorf("asked %q, want %q", got, c.asked)
			}
			// And again, as after a crash at this point: nothing is made.
			again, err := credential.EnsureAccount(t.Context(), w, account(), false)
			if err != nil || again.Created || again.UserID != made.UserID || w.Ledger().AccountsCreated != c.accounts {
				t.Errorf("again: %+v, %v", again, err)
			}
		})
	}
}

// TestEnsureAccountRejected: e-mail address and password neither log in nor make an account.
func TestEnsureAccountRejected(t *testing.T) {
	for _, c := range []struct {
		name    string
		options []emulator.Option
		before  func(*world)
	}{
		{name: "the e-mail address is somebody's", before: func(w *world) { w.AddAccount(clientID, email, "another-password") }},
		{name: "an account of another client", before: func(w *world) { w.AddAccount("beta", email, password.Reveal()) }},
		{name: "the domain is refused", options: []emulator.Option{emulator.WithEmailDomains("gini.example")}},
	} {
		for _, untried := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				w := newWorld(t, c.options...)
				if c.before != nil {
					c.before(w)
				}
				existing := len(w.Ledger().Accounts())
				made, err := credential.EnsureAccount(t.Context(), w, account(), untried)
				if !errors.Is(err, credential.ErrAccountRejected) || gini.KindOf(err) != gini.Invalid || made != (credential.Made{}) {
					t.Errorf("untried %v: %+v, %v", untried, made, err)
				}
				if got := len(w.Ledger().Accounts()); got != existing {
					t.Errorf("%d accounts", got)
				}
			})
		}
	}
}

// TestEnsureAccountFails: what belongs to the client, or says nothing, is no verdict on the account.
func TestEnsureAccountFails(t *testing.T) {
	for _, operation := range []emulator.Operation{emulator.PasswordLogin, emulator.ClientToken, emulator.CreateUser} {
		for kind, effect := range map[gini.Kind]emulator.Effect{
			gini.Unavailable: emulator.Unavailable(), gini.RateLimited: emulator.TooManyRequests(0), gini.Unexpected: emulator.HTML(),
			gini.Unreachable: emulator.CutBeforeHeader(),
		} {
			if operation == emulator.CreateUser && kind == gini.Unexpected {
				continue // any 2xx is a success
			}
			t.Run(string(operation)+" "+string(kind), func(t *testing.T) {
				w := newWorld(t)
				w.Script(emulator.Fault{Match: emulator.Match{Operations: []emulator.Operation{operation}}, Effect: effect})
				made, err := credential.EnsureAccount(t.Context(), w, account(), false)
				if gini.KindOf(err) != kind || errors.Is(err, credential.ErrAccountRejected) || made != (credential.Made{}) {
					t.Errorf("%+v, %v", made, err)
				}
				if n := w.Ledger().AccountsCreated; n != 0 {
					t.Errorf("%d accounts were made", n)
				}
			})
		}
	}
	w := newWorld(t)
	if _, err := credential.EnsureAccount(t.Context(), w.as(clientID, "wrong"), account(), false); gini.KindOf(err) != gini.CredentialsRejected &&
		!errors.Is(err, credential.ErrAccountRejected) {
		t.Errorf("with wrong client credentials: %v", err)
	}
}

// TestUserIDIsAHint: where Gini does not tell the id, the account serves all the same.
func TestUserIDIsAHint(t *testing.T) {
	w := newWorld(t, emulator.WithSettings(func(s *emulator.Settings) { s.NoCheckToken, s.Location = true, emulator.LocationAbsent }))
	made, err := credential.EnsureAccount(t.Context(), w, account(), true)
	if err != nil || !made.Created || made.UserID != "" {
		t.Errorf("made: %+v, %v", made, err)
	}
	made, err = credential.EnsureAccount(t.Context(), w, account(), false)
	if err != nil || made.Created || made.UserID != "" || made.Grant == nil {
		t.Errorf("found: %+v, %v", made, err)
	}
	if id := credential.UserIDOf(t.Context(), w, secret.New("forged")); id != "" {
		t.Errorf("a forged token is %q's", id)
	}
}

// TestExplainRejection: an account is lost only where Gini answers 404 for its id to the client that made it (R3.7).
func TestExplainRejection(t *testing.T) {
	rejection := &gini.Error{Kind: gini.GrantRejected, Operation: gini.OperationPasswordLogin, Status: 400}
	for _, c := range []struct {
		name    string
		before  func(w *world, id string) string
		want    error
		kind    gini.Kind
		asksFor bool
	}{
		{name: "the password was changed", want: credential.ErrAccountRejected, kind: gini.GrantRejected, asksFor: true, before: func(w *world, id string) string {
			w.ChangePassword(id, "another")
			return id
		}},
		{name: "deleted", want: credential.ErrAccountLost, kind: gini.NotFound, asksFor: true, before: func(w *world, id string) string {
			w.DeleteAccount(id)
			return id
		}},
		{name: "without an id", want: credential.ErrAccountRejected, kind: gini.GrantRejected, before: func(w *world, id string) string {
			w.DeleteAccount(id)
			return ""
		}},
		{name: "an outage", kind: gini.Unavailable, asksFor: true, before: func(w *world, id string) string {
			w.DeleteAccount(id)
			w.Script(emulator.Fault{Match: emulator.Match{Operations: []emulator.Operation{emulator.GetUser}}, Effect: emulator.Unavailable()})
			return id
		}},
		{name: "a gateway's 404", kind: gini.Unexpected, asksFor: true, before: func(w *world, id string) string {
			w.Script(emulator.Fault{Match: emulator.Match{Operations: []emulator.Operation{emulator.GetUser}}, Effect: emulator.Status(404, "page not found")})
			return id
		}},
		{name: "a wrong client secret", kind: gini.CredentialsRejected, before: func(w *world, id string) string {
			w.DeleteAccount(id)
			w.RotateSecret(clientID, "another")
			return id
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			id, _ := w.AddAccount(clientID, email, password.Reveal())
			id = c.before(w, id)
			err := credential.ExplainRejection(t.Context(), w, id, rejection)
			for _, verdict := range []error{credential.ErrAccountLost, credential.ErrAccountRejected} {
				if errors.Is(err, verdict) != errors.Is(c.want, verdict) {
					t.Errorf("%v, want %v", err, c.want)
				}
			}
			if gini.KindOf(err) != c.kind {
				t.Errorf("of kind %q, want %q", gini.KindOf(err), c.kind)
			}
			if asked := w.Ledger().Count(emulator.GetUser) > 0; asked != c.asksFor {
				t.Errorf("Gini was asked for the account: %v", asked)
			}
		})
	}
	// To another client an account does not exist, which is not to be taken for a loss: whoever calls has checked the client id.
	w := newWorld(t, emulator.WithClient("beta", "s3cr3t-of-beta"))
	id, _ := w.AddAccount("beta", email, password.Reveal())
	if err := credential.ExplainRejection(t.Context(), w.as("beta", "s3cr3t-of-beta"), id, rejection); !errors.Is(err, credential.ErrAccountRejected) {
		t.Errorf("%v", err)
	}
}
