package emulator

import (
	"net/http"
	"slices"
)

// oauthToken is /oauth/token for all grants.
func (s *Server) oauthToken(c *call) answer {
	cl := s.authenticated(c)
	if cl == nil {
		return s.badClient()
	}
	if refused := s.restricted(c, cl, AnonymousUsers, s.badClient()); refused != nil {
		return *refused
	}
	if _, ok := c.accepts(jsonType); !ok {
		return s.errorFor(c, http.StatusNotAcceptable)
	}
	if c.hasWrongContentType(formType) {
		return s.errorFor(c, http.StatusUnsupportedMediaType)
	}
	if c.op != ClientToken && c.method == http.MethodGet {
		// A password or refresh token in a URL ends up in access logs: only the client's own grant may come by GET.
		return s.errorFor(c, http.StatusMethodNotAllowed)
	}
	switch c.op {
	case ClientToken:
		return s.clientToken(cl)
	case PasswordLogin:
		return s.passwordLogin(c, cl)
	case Refresh:
		return s.refresh(c, cl)
	}
	if c.params.Get("grant_type") == "" {
		return s.oauthError(http.StatusBadRequest, "invalid_request", "Missing grant type")
	}
	return s.oauthError(http.StatusBadRequest, "unsupported_grant_type", "Unsupported grant type")
}

func (s *Server) clientToken(cl *client) answer {
	if cl.noClientCredentials {
		return s.unauthorizedGrant()
	}
	tm := s.terms(ClientToken, cl)
	t, _ := s.tokens.login(s.now(), userKey{client: cl.id}, ClientToken, tm)
	return s.tokenAnswer(t, tm.behaviour, jsonType, "read", false)
}

func (s *Server) passwordLogin(c *call, cl *client) answer {
	if cl.noPassword {
		return s.unauthorizedGrant()
	}
	a := s.accounts.email(c.params.Get("username"))
	switch {
	case a == nil || a.password != c.params.Get("password"):
		return s.badCredentials(s.settings.WrongPasswordStatus)
	case a.clientID != cl.id:
		return s.badCredentials(s.settings.ForeignAccountStatus)
	}
	tm := s.terms(PasswordLogin, cl)
	return s.loggedIn(userKey{cl.id, a.id}, PasswordLogin, tm, jsonType)
}

// badClient is the answer to a wrong client secret, or to the id of no client.
func (s *Server) badClient() answer {
	return s.oauthError(http.StatusUnauthorized, "invalid_client", "Bad client credentials")
}

// badCredentials refuses a password grant; a 401 looks like the one for a wrong client secret.
func (s *Server) badCredentials(status int) answer {
	if status == http.StatusUnauthorized {
		return s.badClient()
	}
	return s.oauthError(status, "invalid_grant", "Bad credentials")
}

// loggedIn is the end of both kinds of login.
func (s *Server) loggedIn(user userKey, from Operation, tm terms, mediaType string) answer {
	t, fresh := s.tokens.login(s.now(), user, from, tm)
	s.recorder.loggedIn(user, fresh)
	return s.tokenAnswer(t, tm.behaviour, mediaType, "", tm.refresh != RefreshAbsent)
}

func (s *Server) refresh(c *call, cl *client) answer {
	if !cl.hasRefreshGrant(&s.settings) {
		return s.unauthorizedGrant()
	}
	rt := s.tokens.refresh.known[c.params.Get("refresh_token")]
	if rt == nil || rt.ended || rt.owner.client != cl.id {
		return s.oauthError(http.StatusBadRequest, "invalid_grant", "Invalid refresh token")
	}
	tm := s.terms(rt.from, cl)
	t := s.tokens.renew(s.now(), rt, tm)
	if t == nil {
		return s.oauthError(http.StatusUnauthorized, "invalid_token", "Invalid refresh token (expired)")
	}
	s.recorder.refreshed(rt.owner)
	return s.tokenAnswer(t, tm.behaviour, jsonType, "", true)
}

// unauthorizedGrant is 401, and yet the client's credentials are right.
func (s *Server) unauthorizedGrant() answer {
	return s.oauthError(http.StatusUnauthorized, "invalid_client", "Unauthorized grant type")
}

// checkToken is not a use of the token: Gini's clients asked it about tokens they did not use.
func (s *Server) checkToken(c *call) answer {
	if c.hasBasic {
		cl := s.authenticated(c)
		if cl == nil {
			return s.badClient()
		}
		if refused := s.restricted(c, cl, AnonymousUsers, s.badClient()); refused != nil {
			return *refused
		}
	}
	if _, ok := c.accepts(jsonType); !ok {
		return s.errorFor(c, http.StatusNotAcceptable)
	}
	t := s.tokens.access.known[c.params.Get("token")]
	switch t.state(s.now()) {
	case tokenExpired:
		return s.oauthError(http.StatusBadRequest, "invalid_token", "Token has expired")
	case tokenUnknown, tokenEnded:
		return s.oauthError(http.StatusBadRequest, "invalid_token", "Token was not recognised")
	}
	fields := map[string]any{"client_id": t.owner.client, "scope": []string{"read"}, "active": true}
	if !t.isClientToken() {
		fields["user_name"] = t.owner.name
	}
	if !t.expires.IsZero() {
		fields["exp"] = t.expires.Unix()
	}
	return s.object(http.StatusOK, jsonType, fields)
}

// clientOfToken is who a client token at /api/users belongs to; refused is set where there is no valid one.
func (s *Server) clientOfToken(c *call) (clientID string, refused *answer) {
	unauthorized := s.oauthError(http.StatusUnauthorized, "invalid_token", "Invalid access token")
	if !c.hasBearer {
		unauthorized = s.oauthError(http.StatusUnauthorized, "unauthorized", "Full authentication is required")
		return "", &unauthorized
	}
	t, state := s.use(c)
	switch {
	case state == tokenValid && t.isClientToken():
		return t.owner.client, s.restricted(c, s.clients[t.owner.client], AnonymousUsers, unauthorized)
	case state == tokenUnknown || !t.isClientToken() || s.settings.StaleClientTokenStatus == http.StatusUnauthorized:
		return "", &unauthorized
	}
	stale := s.errorFor(c, s.settings.StaleClientTokenStatus)
	return "", &stale
}

// isStaleClientToken tells whether the call comes with a client token that was valid once.
func (s *Server) isStaleClientToken(c *call) bool {
	t := s.tokens.access.known[c.bearer]
	return c.hasBearer && t != nil && t.isClientToken() &&
		slices.Contains([]tokenState{tokenExpired, tokenEnded}, t.state(s.now()))
}
