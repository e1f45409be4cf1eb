package emulator

import (
	"cmp"
	"fmt"
	"net/http"
)

// UserKind is one of Gini's two kinds of users (gini-api, "Hosts").
type UserKind string

// The kinds of users.
const (
	DerivedUsers   UserKind = "derived"
	AnonymousUsers UserKind = "anonymous"
)

// Restriction lets a client have one kind of users alone (gini-api, flow 6). The zero value stands for a client that may have both.
//
// A client with DerivedUsers is refused whatever it asks of the User Center, client tokens too. A client with AnonymousUsers is refused
// POST /login, and GET /documents of a trusted device. Users' access tokens that were issued before stay valid. Wrong client credentials
// are 401 in any case.
type Restriction struct {
	// To is the kind of users that the client may have: DerivedUsers or AnonymousUsers.
	To UserKind `json:"to"`
	// Status is the refusal: 401, 403 (default) or 429. The 401 looks exactly like that of wrong credentials at the same endpoint.
	Status int `json:"status,omitempty"`
}

// WithRestriction restricts a client to one kind of users; values that Restriction.Validate refuses panic.
func WithRestriction(r Restriction) ClientOption {
	r = r.checked()
	return func(c *client) { c.restriction = r }
}

// Restrict changes which kind of users a client may have, and says whether there is such a client. The zero Restriction allows both;
// values that Restriction.Validate refuses panic.
func (s *Server) Restrict(clientID string, r Restriction) bool {
	r = r.checked()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients[clientID]
	if c != nil {
		c.restriction = r
	}
	return c != nil
}

// Validate tells of a kind of users or a status that is not possible. The zero value is allowed.
func (r *Restriction) Validate() error {
	if *r == (Restriction{}) {
		return nil
	}
	if r.To != DerivedUsers && r.To != AnonymousUsers {
		return fmt.Errorf("to: %q is none of derived, anonymous", r.To)
	}
	if r.Status != 0 && !oneOf(http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests)(r.Status) {
		return fmt.Errorf("status: %d is none of 401, 403, 429", r.Status)
	}
	return nil
}

// checked is the restriction with its default.
func (r Restriction) checked() Restriction {
	if err := r.Validate(); err != nil {
		panic("emulator: Restriction: " + err.Error())
	}
	if r.To != "" {
		r.Status = cmp.Or(r.Status, http.StatusForbidden)
	}
	return r
}

// UnmarshalJSON refuses unknown names and values.
func (r *Restriction) UnmarshalJSON(data []byte) error {
	type plain Restriction
	if err := unmarshalStrict(data, (*plain)(r)); err != nil {
		return err
	}
	return r.Validate()
}

// restricted is how a client with right credentials is refused this kind of users, nil if it may have them. A 401 is the one that
// wrong credentials get.
func (s *Server) restricted(c *call, cl *client, users UserKind, wrongCredentials answer) *answer {
	switch r := cl.restriction; {
	case r.To == "" || r.To == users:
		return nil
	case r.Status == http.StatusUnauthorized:
		return &wrongCredentials
	default:
		a := s.errorFor(c, r.Status)
		return &a
	}
}
