package emulator

import "time"

// What follows happens at Gini without a client knowing. Each says whether there was what it names.

// RotateSecret gives a registered application another secret; the old one is wrong from now on. Tokens stay valid.
func (s *Server) RotateSecret(clientID, newSecret string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients[clientID]
	if c != nil {
		c.secret = newSecret
	}
	return c != nil
}

// RemoveClient takes an application's registration away and ends its and its users' tokens. Accounts stay, for when AddClient
// brings it back.
func (s *Server) RemoveClient(clientID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.clients[clientID]
	delete(s.clients, clientID)
	s.tokens.forget(s.now(), func(k userKey) bool { return k.client == clientID })
	return ok
}

// AddAccount makes an account without a request, for tests that start from an existing one. It is not held against password or domain
// rules; ok is false where the e-mail address exists.
func (s *Server) AddAccount(clientID, email, password string) (id string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accounts.email(email) != nil {
		return "", false
	}
	a := s.accounts.add(clientID, email, password, s.now())
	s.recorder.accountCreated(a)
	return a.id, true
}

// DeleteAccount deletes an account by id or e-mail address and ends its tokens.
func (s *Server) DeleteAccount(idOrEmail string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts.find(idOrEmail)
	if a != nil {
		s.deleteAccount(a)
	}
	return a != nil
}

// DeleteAllAccounts deletes the accounts of all clients, ends their tokens, and says how many there were.
func (s *Server) DeleteAllAccounts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	deleted := map[userKey]bool{}
	for _, a := range s.accounts.inOrder() {
		deleted[userKey{a.clientID, a.id}] = true
		s.removeAccount(a)
	}
	s.tokens.forget(s.now(), func(k userKey) bool { return deleted[k] })
	return len(deleted)
}

// deleteAccount deletes an account and ends its tokens.
func (s *Server) deleteAccount(a *account) {
	s.removeAccount(a)
	s.tokens.forget(s.now(), func(k userKey) bool { return k == userKey{a.clientID, a.id} })
}

// removeAccount leaves the account's tokens to the caller.
func (s *Server) removeAccount(a *account) {
	s.accounts.remove(a)
	s.recorder.accountDeleted(a, s.now())
}

// ChangePassword gives an account, named by id or e-mail address, another password. Tokens stay valid.
func (s *Server) ChangePassword(idOrEmail, password string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts.find(idOrEmail)
	if a != nil {
		a.password = password
	}
	return a != nil
}

// EndToken ends one valid access token before its time.
func (s *Server) EndToken(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tokens.access.known[token]
	if t.state(s.now()) != tokenValid {
		return false
	}
	t.ended = true
	return true
}

// EndTokensOf ends the valid access tokens of a user (account id, e-mail address or identifier, of any client) and says how many. Refresh
// tokens stay.
func (s *Server) EndTokensOf(user string) int {
	return s.endTokens(func(k userKey) bool {
		a := s.accounts.find(user)
		return k.name != "" && (k.name == user || a != nil && k.name == a.id)
	})
}

// EndClientTokens ends the valid client tokens of a client and says how many.
func (s *Server) EndClientTokens(clientID string) int {
	return s.endTokens(func(k userKey) bool { return k == userKey{client: clientID} })
}

// EndAllTokens ends all valid access tokens, client tokens too, and says how many. Refresh tokens stay.
func (s *Server) EndAllTokens() int { return s.endTokens(func(userKey) bool { return true }) }

func (s *Server) endTokens(owned func(userKey) bool) (ended int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens.endWhere(s.now(), owned)
}

// endWhere ends the valid access tokens of these owners.
func (st *tokenStore) endWhere(now time.Time, owned func(userKey) bool) (ended int) {
	for owner, h := range st.holders {
		if owned(owner) {
			ended += h.endAll(now, nil)
		}
	}
	return ended
}
