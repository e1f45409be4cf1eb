package emulator

import "net/http"

// login is POST /login: a derived user of an untrusted device (gini-api, flows 3 and 4).
func (s *Server) login(c *call) answer {
	cl, identifier := s.authenticated(c), c.identifier
	if c.jwt != nil {
		user, refused := s.useJWT(c)
		if refused != nil {
			return s.payAPIError(c, http.StatusUnauthorized, refused.message)
		}
		cl, identifier = s.clients[user.client], user.name
	}
	unauthorized := s.payAPIError(c, http.StatusUnauthorized, "Invalid client credentials")
	if cl == nil {
		return unauthorized
	}
	if refused := s.restricted(c, cl, DerivedUsers, unauthorized); refused != nil {
		return *refused
	}
	mediaType, ok := c.accepts(s.settings.PayAPIMediaTypes...)
	if !ok {
		return s.errorFor(c, http.StatusNotAcceptable)
	}
	if c.hasWrongContentType(append([]string{jsonType, formType}, s.settings.PayAPIMediaTypes...)...) {
		return s.errorFor(c, http.StatusUnsupportedMediaType)
	}
	if identifier == "" {
		return s.payAPIError(c, s.settings.MissingIdentifierStatus, "X-User-Identifier is missing")
	}
	user := userKey{cl.id, identifier}
	s.derive(user)
	return s.loggedIn(user, Login, s.terms(Login, cl), mediaType)
}

// documents is GET /documents: the list is empty, what counts is whose it is. A trusted device comes with Basic and names
// the user (flow 1) or with a JWT that does (flow 2), an untrusted one with the user's access token (flows 3, 4 and 6). With
// right credentials GET /documents/{id} is 404, as there are no documents.
func (s *Server) documents(c *call) answer {
	user, refused := s.documentsUser(c)
	if refused != nil {
		return *refused
	}
	mediaType, ok := c.accepts(s.settings.PayAPIMediaTypes...)
	if !ok {
		return s.errorFor(c, http.StatusNotAcceptable)
	}
	if !c.hasBearer {
		s.derive(user)
	}
	if c.route.document != "" {
		return s.errorFor(c, http.StatusNotFound)
	}
	return s.object(http.StatusOK, mediaType, map[string]any{
		"totalCount": 0, "documents": []any{},
		// Not Gini's: so that a test can prove whose credential it was.
		"user": user.name, "client": user.client,
	})
}

func (s *Server) documentsUser(c *call) (userKey, *answer) {
	refuse := func(status int, message string) (userKey, *answer) {
		a := s.payAPIError(c, status, message)
		return userKey{}, &a
	}
	unauthorized := s.payAPIError(c, http.StatusUnauthorized, "Invalid client credentials")
	switch {
	case c.jwt != nil:
		user, refused := s.useJWT(c)
		if refused != nil {
			return refuse(http.StatusUnauthorized, refused.message)
		}
		return user, s.restricted(c, s.clients[user.client], DerivedUsers, unauthorized)
	case c.hasBearer:
		if t, state := s.use(c); state == tokenValid && !t.isClientToken() {
			return t.owner, nil
		}
		// The Pay API has its own error form (gini-api, "Statuses"), so the OAuth code travels as its message.
		return refuse(http.StatusUnauthorized, "invalid_token")
	case c.hasBasic:
		cl := s.authenticated(c)
		if cl == nil {
			return userKey{}, &unauthorized
		}
		if refused := s.restricted(c, cl, DerivedUsers, unauthorized); refused != nil {
			return userKey{}, refused
		}
		if c.identifier == "" {
			return refuse(s.settings.MissingIdentifierStatus, "X-User-Identifier is missing")
		}
		return userKey{cl.id, c.identifier}, nil
	}
	return refuse(http.StatusUnauthorized, "Credentials are missing")
}

// derive makes a derived user on first use.
func (s *Server) derive(user userKey) {
	if !s.derived[user] {
		s.derived[user] = true
		s.recorder.derived(user)
	}
}
