package emulator

import (
	"fmt"
	"slices"
	"time"
)

// Fault is one rule of a script: which requests, and what happens to them instead of Gini's answer.
type Fault struct {
	// Name appears in Ledger.Faults and Call.Fault; it defaults to the effect's kind.
	Name   string `json:"name,omitempty"`
	Match  Match  `json:"match"`
	Effect Effect `json:"effect"`
}

// Match picks requests; what is left out matches all. The requests that fit Operations, ClientID, User, Users, StaleClientToken and
// Overlapping are counted from 1 for each rule, and Skip, Nth, Every and Count pick among them.
type Match struct {
	Operations []Operation `json:"operations,omitempty"`
	// ClientID as claimed by the request, right secret or not; with a bearer token, the client that got it.
	ClientID string `json:"client_id,omitempty"`
	// User is a derived user's identifier, or an anonymous one's account id or e-mail address.
	User string `json:"user,omitempty"`
	// Users are more of them: the rule is for any of these. To change the set, take the rule away (RemoveFaults) and script another one.
	Users []string `json:"users,omitempty"`
	// StaleClientToken matches only requests that carry an expired or ended client token.
	StaleClientToken bool `json:"stale_client_token,omitempty"`
	// Overlapping matches only token requests that arrive while another one for the same user (or of the same client, for client tokens) is under way.
	Overlapping bool `json:"overlapping,omitempty"`

	// Skip lets so many pass first; Nth and Every count from there.
	Skip int `json:"skip,omitempty"`
	// Nth matches one request only.
	Nth int `json:"nth,omitempty"`
	// Every matches each third request where it is 3.
	Every int `json:"every,omitempty"`
	// Count ends the rule after so many requests have had its effect.
	Count int `json:"count,omitempty"`
	// Until ends the rule at that moment of the emulator's clock.
	Until time.Time `json:"until,omitzero"`
}

// rule is a Fault at work.
type rule struct {
	fault       Fault
	seen, fired int
}

// fires counts the call and decides. The first rule of the script that fires wins, later ones do not see the call.
func (r *rule) fires(c *call, a arrival, now time.Time) bool {
	m := &r.fault.Match
	if len(m.Operations) > 0 && !slices.Contains(m.Operations, c.op) ||
		m.ClientID != "" && m.ClientID != c.clientID ||
		!m.meansUserOf(c) ||
		m.StaleClientToken && !a.staleClientToken ||
		m.Overlapping && !a.overlapping ||
		past(now, m.Until) {
		return false
	}
	r.seen++
	n := r.seen - m.Skip
	if n <= 0 || m.Nth > 0 && n != m.Nth || m.Every > 0 && n%m.Every != 0 || m.Count > 0 && r.fired >= m.Count {
		return false
	}
	r.fired++
	return true
}

// meansUserOf tells whether the rule is for the call's user. One that names no user is for all, and for calls without one.
func (m *Match) meansUserOf(c *call) bool {
	if m.User == "" && len(m.Users) == 0 {
		return true
	}
	return slices.ContainsFunc([]string{c.user.name, c.email}, func(name string) bool {
		return name != "" && (name == m.User || slices.Contains(m.Users, name))
	})
}

// Validate tells of an operation or an effect that does not exist.
func (f *Fault) Validate() error {
	for _, op := range f.Match.Operations {
		if !slices.Contains(operations, op) {
			return fmt.Errorf("operations: %q is none of %q", op, operations)
		}
	}
	return f.Effect.validate()
}

// Script adds rules after those there are and returns what takes exactly these away again. A request has the effect of the first rule
// that matches it. A fault that Fault.Validate refuses panics, as it would make a test prove nothing.
func (s *Server) Script(faults ...Fault) (remove func()) {
	for _, f := range faults {
		if err := f.Validate(); err != nil {
			panic("emulator: " + err.Error())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	added := make([]*rule, 0, len(faults))
	for _, f := range faults {
		if f.Name == "" {
			f.Name = string(f.Effect.kind())
		}
		added = append(added, &rule{fault: f})
	}
	s.rules = append(s.rules, added...)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.rules = slices.DeleteFunc(s.rules, func(r *rule) bool { return slices.Contains(added, r) })
	}
}

// RemoveFaults takes all rules of this name away and says how many there were.
func (s *Server) RemoveFaults(name string) (removed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.rules)
	s.rules = slices.DeleteFunc(s.rules, func(r *rule) bool { return r.fault.Name == name })
	return before - len(s.rules)
}

// Reset ends all faults and releases what hangs. Settings stay.
func (s *Server) Reset() {
	s.mu.Lock()
	s.rules = nil
	s.mu.Unlock()
	s.Release()
}

// Release lets the requests go on that hang now: they are answered as if nothing had been. Later ones hang again while their rule stands.
func (s *Server) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.released)
	s.released = make(chan struct{})
}

// fault is what the script says about a call. Server.mu is held.
func (s *Server) fault(c *call, a arrival) *Fault {
	for _, r := range s.rules {
		if r.fires(c, a, s.now()) {
			return &r.fault
		}
	}
	if s.settings.FailOverlapping && a.overlapping && c.op.isTokenRequest() {
		return &Fault{Name: "overlapping", Effect: Status(500, "")}
	}
	return nil
}
