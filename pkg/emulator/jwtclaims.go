package emulator

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// maxJWTBytes is the longest JWT that is looked at: as much as usual servers allow for all headers together.
const maxJWTBytes = 8 << 10

// presentedJWT is the JWT of a call. It is a credential: it is never printed.
type presentedJWT struct {
	raw string
	// header and claims are what it says of itself, before anything is proven; nil where it cannot be read.
	header, claims map[string]any

	// What checkJWT found: whose it is, until when, and why it is refused all the same (nil: it is not).
	clientID, identifier string
	expires              time.Time
	refused              *jwtError
}

// readJWT takes "bearer" in any case, as readAuthorization does. It gives nil where the header is missing or empty.
func readJWT(r *http.Request) *presentedJWT {
	values := r.Header.Values("X-JWT-Authorization")
	if strings.TrimSpace(strings.Join(values, "")) == "" {
		return nil
	}
	j := &presentedJWT{}
	scheme, raw, _ := strings.Cut(strings.TrimSpace(values[0]), " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "bearer") {
		return j
	}
	j.raw = strings.TrimSpace(raw)
	parts := strings.Split(j.raw, ".")
	if len(j.raw) > maxJWTBytes || len(parts) != 3 {
		return j
	}
	j.header, j.claims = jsonPart(parts[0]), jsonPart(parts[1])
	return j
}

// jsonPart decodes the header or the claims; nil where that is not a JSON object.
func jsonPart(encoded string) (object map[string]any) {
	data, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || json.Unmarshal(data, &object) != nil {
		return nil
	}
	return object
}

// text is a member that must be a string; empty where it is none.
func text(object map[string]any, name string) string {
	value, _ := object[name].(string)
	return value
}

// registrationFor is a copy of the client that a JWT with these claims is held against: one with its issuer, and among several the one that
// it names. Server.mu is held.
func (s *Server) registrationFor(claims map[string]any) (found client, ok bool) {
	issuer := text(claims, "iss")
	if issuer == "" {
		return client{}, false
	}
	for id, c := range s.clients {
		if c.jwt.Issuer != issuer {
			continue
		}
		if text(claims, c.jwt.ClientIDClaim) == id {
			return *c, true
		}
		if !ok || id < found.id { // any would do, but always the same one
			found, ok = *c, true
		}
	}
	return found, ok
}

// attributeJWT is attribute for a call with a JWT. Without a registration the claims have their default names. Server.mu is held.
func (s *Server) attributeJWT(c *call) {
	names := JWT{}.checked()
	if cl, ok := s.registrationFor(c.jwt.claims); ok {
		names = cl.jwt
	}
	if id := text(c.jwt.claims, names.ClientIDClaim); s.everClients[id] {
		c.clientID = id
	}
	if name := text(c.jwt.claims, names.UserIdentifierClaim); name != "" {
		c.user = userKey{c.clientID, name}
	}
}
