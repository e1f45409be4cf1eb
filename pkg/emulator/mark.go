package emulator

import "maps"

// Mark is a moment in the ledger, to be compared with later by Server.Since.
type Mark struct{ counts Counts }

// Mark remembers the counters as they are.
func (s *Server) Mark() Mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Mark{s.recorder.counts.clone()}
}

// Since counts what arrived (and, by status, was answered) after the mark.
func (s *Server) Since(m Mark) Counts {
	now := s.Mark().counts
	now.Total -= m.counts.Total
	subtract(now.ByOperation, m.counts.ByOperation)
	subtract(now.ByStatus, m.counts.ByStatus)
	subtractByClient(now.ByClient, m.counts.ByClient)
	subtractByClient(now.WrongCredentials, m.counts.WrongCredentials)
	subtractByClient(now.Refused, m.counts.Refused)
	return now
}

// Requests is the number of requests so far; it never falls.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recorder.counts.Total
}

// Ledger is a copy of all that was counted. It takes time in proportion to the number of users: to ask often, use Mark, Since, Requests.
func (s *Server) Ledger() Ledger {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.recorder.snapshot()
	l.Existing = make([]Account, 0, len(s.accounts.byID))
	for _, a := range s.accounts.inOrder() {
		l.Existing = append(l.Existing, accountEntry(a))
	}
	return l
}

func accountEntry(a *account) Account {
	return Account{ID: a.id, Email: a.email, ClientID: a.clientID, Created: a.created}
}

// subtract takes earlier counts away and drops what is zero then.
func subtract[K comparable](now, earlier map[K]int) {
	for key, n := range earlier {
		now[key] -= n
	}
	maps.DeleteFunc(now, func(_ K, n int) bool { return n == 0 })
}

func subtractByClient(now, earlier map[string]map[Operation]int) {
	for id, ops := range now {
		subtract(ops, earlier[id])
		if len(ops) == 0 {
			delete(now, id)
		}
	}
}

func (c Counts) clone() Counts {
	c.ByOperation, c.ByStatus = maps.Clone(c.ByOperation), maps.Clone(c.ByStatus)
	c.ByClient, c.WrongCredentials, c.Refused = cloneByClient(c.ByClient), cloneByClient(c.WrongCredentials), cloneByClient(c.Refused)
	return c
}

func cloneByClient(counts map[string]map[Operation]int) map[string]map[Operation]int {
	cloned := make(map[string]map[Operation]int, len(counts))
	for id, ops := range counts {
		cloned[id] = maps.Clone(ops)
	}
	return cloned
}
