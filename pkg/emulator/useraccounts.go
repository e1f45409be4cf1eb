package emulator

import (
	"encoding/json"
	"net/http"
)

// credentials are the members of the bodies of POST /api/users and PUT /api/users/{id}; unknown ones are ignored.
type credentials struct {
	Email       string `json:"email"`
	Password    string `json:"password"`
	OldEmail    string `json:"oldEmail"`
	OldPassword string `json:"oldPassword"`
}

func (s *Server) createUser(c *call) answer {
	clientID, in, refused := s.userRequest(c)
	if refused != nil {
		return *refused
	}
	// All of these look alike (gini-api, flow 6): "the status alone does not tell which".
	if len(in.Password) < minPasswordLength || !emailAllowed(in.Email, s.settings.EmailDomains) || s.accounts.email(in.Email) != nil {
		return s.badUser()
	}
	a := s.accounts.add(clientID, in.Email, in.Password, s.now())
	s.recorder.accountCreated(a)
	created := answer{status: s.settings.CreateUserStatus, header: map[string]string{}}
	switch s.settings.Location {
	case LocationAbsent:
	case LocationRelative:
		created.header["Location"] = s.settings.UserCenterPrefix + "/api/users/" + a.id
	default:
		created.header["Location"] = c.baseURL + "/api/users/" + a.id
	}
	return created
}

func (s *Server) getUser(c *call) answer {
	a, refused := s.ownAccount(c)
	if refused != nil {
		return *refused
	}
	return s.object(http.StatusOK, jsonType, map[string]any{"id": a.id, "email": a.email})
}

// updateUser changes both or neither of e-mail and password.
func (s *Server) updateUser(c *call) answer {
	_, in, refused := s.userRequest(c)
	if refused != nil {
		return *refused
	}
	a, refused := s.accountOf(c)
	if refused != nil {
		return *refused
	}
	changesPassword := in.Password != "" || in.OldPassword != ""
	changesEmail := in.Email != "" || in.OldEmail != ""
	if !changesPassword && !changesEmail ||
		changesPassword && (in.OldPassword != a.password || len(in.Password) < minPasswordLength) ||
		changesEmail && (in.OldEmail != a.email || !emailAllowed(in.Email, s.settings.EmailDomains)) {
		return s.badUser()
	}
	if taken := s.accounts.email(in.Email); changesEmail && taken != nil && taken != a {
		return s.badUser()
	}
	if changesPassword {
		a.password = in.Password
	}
	if changesEmail {
		s.accounts.changeEmail(a, in.Email)
		s.recorder.emailChanged(a)
	}
	return answer{status: s.settings.UpdateUserStatus}
}

// deleteUser deletes the account with its access tokens. Gini deletes documents and extractions too, which there are none of here.
func (s *Server) deleteUser(c *call) answer {
	a, refused := s.ownAccount(c)
	if refused != nil {
		return *refused
	}
	s.deleteAccount(a)
	return answer{status: s.settings.DeleteUserStatus}
}

// userRequest checks what POST and PUT share: who asks, media types, and that the body is a JSON object.
func (s *Server) userRequest(c *call) (clientID string, in credentials, refused *answer) {
	clientID, refused = s.clientOfToken(c)
	if refused != nil {
		return "", in, refused
	}
	if _, ok := c.accepts(jsonType); !ok {
		a := s.errorFor(c, http.StatusNotAcceptable)
		return "", in, &a
	}
	if c.hasWrongContentType(jsonType) {
		a := s.errorFor(c, http.StatusUnsupportedMediaType)
		return "", in, &a
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		a := s.badUser()
		return "", in, &a
	}
	return clientID, in, nil
}

// ownAccount is the account of the path if it is one of the asking client's.
func (s *Server) ownAccount(c *call) (*account, *answer) {
	clientID, refused := s.clientOfToken(c)
	if refused != nil {
		return nil, refused
	}
	if _, ok := c.accepts(jsonType); !ok {
		a := s.errorFor(c, http.StatusNotAcceptable)
		return nil, &a
	}
	c.clientID = clientID
	return s.accountOf(c)
}

// accountOf takes the client from the attribution, which a valid token has proven by now.
func (s *Server) accountOf(c *call) (*account, *answer) {
	a := s.accounts.byID[c.route.account]
	if a == nil || a.clientID != c.clientID {
		notFound := s.errorFor(c, http.StatusNotFound)
		return nil, &notFound
	}
	return a, nil
}

// badUser is one answer for everything that is wrong with an account's data.
func (s *Server) badUser() answer {
	return s.oauthError(http.StatusBadRequest, "invalid_request", "Invalid user data")
}
