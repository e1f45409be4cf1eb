package main

import (
	"strings"
	"testing"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// TestAccountsLost: a user has the account that was made last for it, and no more were made than were deleted.
func TestAccountsLost(t *testing.T) {
	g := newGinis()[0]
	a := &application{name: "acme", clientID: "acme", gini: g}
	g.applications = []*application{a}
	derived, managed := &user{name: "derived", application: a}, &user{name: "managed", application: a, flow: flows[6]}
	existing := &user{name: "existing", application: a, flow: flows[7]}
	a.users = []*user{derived, managed, existing}

	account := func(id string, created, deleted float64) emulator.Account {
		made := emulator.Account{ID: id, ClientID: "acme", Created: s(created)}
		if deleted > 0 {
			made.Deleted = s(deleted)
		}
		return made
	}
	elsewhere := emulator.Account{ID: "elsewhere", ClientID: "another", Created: s(1)}
	for _, tt := range []struct {
		name     string
		deleted  []string // of the managed user's
		now      string   // the managed user's
		existing string   // the existing user's
		made     []emulator.Account
		want     []string
	}{
		{"nothing has happened", nil, "m1", "e", []emulator.Account{account("m1", 1, 0)}, nil},
		{"deleted once", []string{"m1"}, "m2", "e", []emulator.Account{account("m1", 1, 5), account("m2", 6, 0)}, nil},
		{"deleted twice", []string{"m1", "m2"}, "m3", "e",
			[]emulator.Account{account("m1", 1, 5), account("m2", 6, 8), account("m3", 9, 0)}, nil},

		{"another one for no reason", nil, "m2", "e", []emulator.Account{account("m1", 1, 0), account("m2", 6, 0)},
			[]string{`managed had the account "m1" at first, and then "m2"`, "has made 3 accounts for acme: its users, of whose accounts 0 were deleted, need 2"}},
		{"one too many after it was deleted", []string{"m1"}, "m3", "e",
			[]emulator.Account{account("m1", 1, 5), account("m2", 6, 0), account("m3", 7, 0)},
			[]string{"has made 4 accounts for acme: its users, of whose accounts 1 were deleted, need 3"}},
		{"the deleted one still", []string{"m1"}, "m1", "e", []emulator.Account{account("m1", 1, 5)},
			[]string{`managed has the account "m1", which Gini "fresh" does not have`, "has made 2 accounts"}},
		{"none any more", []string{"m1"}, "", "e", []emulator.Account{account("m1", 1, 5)},
			[]string{`managed has the account "", which Gini "fresh" does not have`, "has made 2 accounts"}},
		{"an older one", []string{"m1"}, "m0", "e", []emulator.Account{account("m0", 0.5, 0), account("m1", 1, 5)},
			[]string{`managed has the account "m0", which was there before its former one was deleted`}},
		{"that of another client", []string{"m1"}, "elsewhere", "e", []emulator.Account{account("m1", 1, 5)},
			[]string{`managed has the account "elsewhere", which Gini "fresh" does not have for acme`, "has made 2 accounts"}},
		{"not the one that was deleted", []string{"m2"}, "m3", "e",
			[]emulator.Account{account("m1", 1, 0), account("m2", 2, 5), account("m3", 6, 0)},
			[]string{`managed had the account "m1" at first, and then "m2"`, "has made 4 accounts"}},
		{"the existing user's is another", nil, "m1", "m1", []emulator.Account{account("m1", 1, 0)},
			[]string{`existing had the account "e" at first, and then "m1"`}},
	} {
		ledger := &emulator.Ledger{Existing: []emulator.Account{account("e", 0.1, 0), elsewhere}}
		for _, made := range tt.made {
			if made.Deleted.IsZero() {
				ledger.Existing = append(ledger.Existing, made)
			} else {
				ledger.DeletedAccounts = append(ledger.DeletedAccounts, made)
			}
		}
		before := map[*user]string{managed: "m1", existing: "e"}
		after := map[*user]string{managed: tt.now, existing: tt.existing}
		deleted := map[*user][]string{}
		if tt.deleted != nil {
			deleted[managed] = tt.deleted
		}
		problems := accountsLost(g, ledger, before, after, deleted)
		if len(problems) != len(tt.want) {
			t.Errorf("%s: %q", tt.name, problems)
			continue
		}
		for i, want := range tt.want {
			if !strings.Contains(problems[i], want) {
				t.Errorf("%s: %q instead of %q", tt.name, problems[i], want)
			}
		}
	}
}
