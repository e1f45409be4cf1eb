package emulator

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// minPasswordLength is Gini's (gini-api, flow 6).
const minPasswordLength = 6

// account is an anonymous user. It belongs to the client that made it.
type account struct {
	id, email, password string
	clientID            string
	created             time.Time
	sequence            int // order of creation: instants can be equal, with a fake clock they usually are
}

// accountStore has the existing accounts. E-mail addresses are unique over all clients and compared without case. Guarded by Server.mu.
type accountStore struct {
	byID    map[string]*account
	byEmail map[string]*account
	made    int
}

func newAccountStore() *accountStore {
	return &accountStore{byID: map[string]*account{}, byEmail: map[string]*account{}}
}

func (st *accountStore) email(address string) *account { return st.byEmail[strings.ToLower(address)] }

// find takes an id or an e-mail address.
func (st *accountStore) find(idOrEmail string) *account {
	if a := st.byID[idOrEmail]; a != nil {
		return a
	}
	return st.email(idOrEmail)
}

func (st *accountStore) add(clientID, email, password string, now time.Time) *account {
	st.made++
	a := &account{id: uuid.NewString(), email: email, password: password, clientID: clientID, created: now, sequence: st.made}
	st.byID[a.id] = a
	st.byEmail[strings.ToLower(email)] = a
	return a
}

// inOrder are the accounts, oldest first.
func (st *accountStore) inOrder() []*account {
	return slices.SortedFunc(maps.Values(st.byID), func(a, b *account) int { return a.sequence - b.sequence })
}

func (st *accountStore) changeEmail(a *account, email string) {
	delete(st.byEmail, strings.ToLower(a.email))
	a.email = email
	st.byEmail[strings.ToLower(email)] = a
}

func (st *accountStore) remove(a *account) {
	delete(st.byID, a.id)
	delete(st.byEmail, strings.ToLower(a.email))
}

// emailAllowed is the allow-list of domains, and that it looks like an address at all.
func emailAllowed(address string, domains []string) bool {
	local, domain, ok := strings.Cut(address, "@")
	if !ok || local == "" || domain == "" || strings.ContainsAny(address, " \t\r\n") {
		return false
	}
	return len(domains) == 0 || slices.ContainsFunc(domains, func(d string) bool { return strings.EqualFold(d, domain) })
}
