package emulator

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// Claim names of gini-api's example (flow 2), for a [JWT] that names none.
const (
	DefaultUserIdentifierClaim = "x-user-identifier"
	DefaultClientIDClaim       = "x-client-id"
	DefaultClientSecretClaim   = "x-client-secret"
)

// JWT is what Gini was told about the identity provider of a client (gini-api, flows 2 and 4). The zero value stands for a client that
// has none.
type JWT struct {
	// Issuer is the iss of the JWTs, by which the client is found. Clients may share one; the client id claim then tells them apart.
	Issuer string `json:"issuer"`
	// JWKSURL is where the public keys are, http or https. Redirects are not followed.
	JWKSURL string `json:"jwks_url"`

	// UserIdentifierClaim, ClientIDClaim and ClientSecretClaim name the claims with the user's identifier and the client's credentials.
	// The secret may be left out of a JWT, but where it is there it must be right. Default as in Gini's example.
	UserIdentifierClaim string `json:"user_identifier_claim,omitempty"`
	ClientIDClaim       string `json:"client_id_claim,omitempty"`
	ClientSecretClaim   string `json:"client_secret_claim,omitempty"`

	// Audience must be in aud. Empty: aud is not looked at, the default.
	Audience string `json:"audience,omitempty"`
	// Leeway is by how much clocks may differ: exp may have passed, iat and nbf may be ahead. Default none.
	Leeway time.Duration `json:"leeway,omitempty"`
	// CacheFor is how long a fetched JWK Set is used, by the emulator's clock. 0, the default: as long as Cache-Control says with max-age,
	// not at all with no-store or no-cache, and 5 minutes where it says nothing. Otherwise exactly that long, whatever it says.
	CacheFor time.Duration `json:"cache_for,omitempty"`
	// RefetchOnUnknownKey fetches the set anew for a kid that the cached one lacks. By default such a JWT is refused until the cache ends.
	RefetchOnUnknownKey bool `json:"refetch_on_unknown_key,omitempty"`
	// StaleIfError uses the cached set on beyond its time while it cannot be fetched. By default JWTs are refused then.
	StaleIfError bool `json:"stale_if_error,omitempty"`
}

// WithJWT tells Gini of the client's identity provider; values that JWT.Validate refuses panic. Basic goes on working.
func WithJWT(config JWT) ClientOption {
	config = config.checked()
	return func(c *client) { c.jwt = config }
}

// SetJWT changes what Gini knows of a client's identity provider, and says whether there is such a client. The zero JWT takes it away;
// values that JWT.Validate refuses panic. A cached JWK Set belongs to its URL and stays.
func (s *Server) SetJWT(clientID string, config JWT) bool {
	config = config.checked()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients[clientID]
	if c != nil {
		c.jwt = config
	}
	return c != nil
}

// Validate tells of what is missing or impossible. The zero value is allowed.
func (j *JWT) Validate() error {
	if *j == (JWT{}) {
		return nil
	}
	if j.Issuer == "" {
		return errors.New("issuer: needed")
	}
	// The URL appears in logs, so it is no place for a password, and the error does not repeat it.
	if u, err := url.Parse(j.JWKSURL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return errors.New("jwks_url: needed is an http or https URL without user and password")
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"leeway", j.Leeway}, {"cache_for", j.CacheFor}} {
		if d.value < 0 {
			return fmt.Errorf("%s: %s is negative", d.name, d.value)
		}
	}
	return nil
}

// checked is the configuration with its defaults.
func (j JWT) checked() JWT {
	if err := j.Validate(); err != nil {
		panic("emulator: JWT: " + err.Error())
	}
	j.UserIdentifierClaim = cmp.Or(j.UserIdentifierClaim, DefaultUserIdentifierClaim)
	j.ClientIDClaim = cmp.Or(j.ClientIDClaim, DefaultClientIDClaim)
	j.ClientSecretClaim = cmp.Or(j.ClientSecretClaim, DefaultClientSecretClaim)
	return j
}

// MarshalJSON writes durations as strings.
func (j JWT) MarshalJSON() ([]byte, error) { return marshal(j.jsonForm()) }

// UnmarshalJSON refuses unknown names and values.
func (j *JWT) UnmarshalJSON(data []byte) error {
	if err := unmarshalStrict(data, j.jsonForm()); err != nil {
		return err
	}
	return j.Validate()
}

type plainJWT JWT

func (j *JWT) jsonForm() any {
	return &struct {
		*plainJWT
		Leeway   *durationText `json:"leeway"`
		CacheFor *durationText `json:"cache_for"`
	}{(*plainJWT)(j), (*durationText)(&j.Leeway), (*durationText)(&j.CacheFor)}
}
