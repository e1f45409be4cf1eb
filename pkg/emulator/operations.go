package emulator

import (
	"net/http"
	"strings"
)

// Operation names what a request asks for. A [Match] picks requests by it and the [Ledger] counts by it.
type Operation string

// The operations. GET and POST of one endpoint are one operation.
const (
	// ClientToken is /oauth/token with grant_type=client_credentials.
	ClientToken Operation = "ClientToken"
	// PasswordLogin is /oauth/token with grant_type=password: an anonymous user logs in.
	PasswordLogin Operation = "PasswordLogin"
	// Refresh is /oauth/token with grant_type=refresh_token.
	Refresh Operation = "Refresh"
	// Login is POST /login: a derived user logs in.
	Login Operation = "Login"
	// CreateUser is POST /api/users.
	CreateUser Operation = "CreateUser"
	// GetUser is GET /api/users/{id}.
	GetUser Operation = "GetUser"
	// UpdateUser is PUT /api/users/{id}.
	UpdateUser Operation = "UpdateUser"
	// DeleteUser is DELETE /api/users/{id}.
	DeleteUser Operation = "DeleteUser"
	// CheckToken is GET /oauth/check_token.
	CheckToken Operation = "CheckToken"
	// Documents is GET /documents and GET /documents/{id}: the use of a user's credential.
	Documents Operation = "Documents"
	// Unknown is everything else: another path, another method, another grant type.
	Unknown Operation = "Unknown"
)

var operations = []Operation{
	ClientToken, PasswordLogin, Refresh, Login, CreateUser, GetUser, UpdateUser, DeleteUser, CheckToken, Documents, Unknown,
}

// isTokenRequest tells whether op asks for an access token of a user.
func (op Operation) isTokenRequest() bool {
	return op == PasswordLogin || op == Refresh || op == Login
}

// host is one of Gini's two hosts; it decides media types and what errors look like.
type host int

const (
	userCenter host = iota
	payAPI
)

// route is where a path leads, whatever the method.
type route struct {
	host    host
	methods []string
	// account is the {id} of /api/users/{id}.
	account string
	// document is the {id} of /documents/{id}.
	document string
}

// routeOf finds the endpoint of a path from which the prefix has been taken; ok is false for a path that Gini does not have.
func routeOf(h host, path string) (route, bool) {
	switch {
	case h == payAPI && path == "/login":
		return route{host: payAPI, methods: []string{http.MethodPost}}, true
	case h == payAPI && path == "/documents":
		return route{host: payAPI, methods: []string{http.MethodGet}}, true
	case h == userCenter && path == "/oauth/token":
		return route{host: userCenter, methods: []string{http.MethodGet, http.MethodPost}}, true
	case h == userCenter && path == "/oauth/check_token":
		return route{host: userCenter, methods: []string{http.MethodGet}}, true
	case h == userCenter && path == "/api/users":
		return route{host: userCenter, methods: []string{http.MethodPost}}, true
	}
	if id := idUnder("/api/users/", path); h == userCenter && id != "" {
		return route{host: userCenter, methods: []string{http.MethodGet, http.MethodPut, http.MethodDelete}, account: id}, true
	}
	if id := idUnder("/documents/", path); h == payAPI && id != "" {
		return route{host: payAPI, methods: []string{http.MethodGet}, document: id}, true
	}
	return route{}, false
}

// idUnder is the last part of a path that is right below the folder; empty for any other path.
func idUnder(folder, path string) string {
	id, ok := strings.CutPrefix(path, folder)
	if !ok || strings.Contains(id, "/") {
		return ""
	}
	return id
}

// operationOf names the operation of a call whose path was found.
func operationOf(c *call) Operation {
	switch c.path {
	case "/login":
		return Login
	case "/documents":
		return Documents
	case "/oauth/check_token":
		return CheckToken
	case "/api/users":
		return CreateUser
	case "/oauth/token":
		switch c.params.Get("grant_type") {
		case "client_credentials":
			return ClientToken
		case "password":
			return PasswordLogin
		case "refresh_token":
			return Refresh
		}
		return Unknown
	}
	switch {
	case c.route.document != "":
		return Documents
	case c.method == http.MethodPut:
		return UpdateUser
	case c.method == http.MethodDelete:
		return DeleteUser
	}
	return GetUser
}
