package emulator

import "net/http"

// refuseJWT stands where X-JWT-Authorization will be checked (gini-api, flows 2 and 4): at POST /login it will name the user in place of
// Basic and X-User-Identifier, at GET /documents it will be the credential itself. The issuer, the claim names and the JWK Set's URL
// belong to the client's registration; the signature is to be checked against a JWK Set that is fetched and cached as long as told.
func (s *Server) refuseJWT(c *call) answer {
	return s.payAPIError(c, http.StatusUnauthorized, "JWT is not configured for this client")
}
