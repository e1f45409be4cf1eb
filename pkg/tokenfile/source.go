package tokenfile

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/oauth2"
)

// Keys names the files of a mounted Secret, and the header that the token is sent in. A file that is named must be there; what has no name
// is not read.
type Keys struct {
	// Token holds the token alone. Required.
	Token string
	// Type holds the token's type. Bearer, where no file is named.
	Type string
	// ExpiresAt holds the time until which the token is valid, in RFC 3339.
	ExpiresAt string
	// Authorization holds the header's value, ready to be sent. It is made of type and token where no file is named.
	Authorization string
	// Header is the header's name. Required.
	Header string
}

// AccessTokenKeys are those of an untrusted device's Secret, and the default.
func AccessTokenKeys() Keys {
	return Keys{Token: "access_token", Type: "token_type", ExpiresAt: "expires_at", Authorization: "authorization", Header: "Authorization"}
}

// JWTKeys are those of the Secret of a trusted device with JWT.
func JWTKeys() Keys {
	return Keys{Token: "jwt", ExpiresAt: "jwt_expires_at", Authorization: "x_jwt_authorization", Header: "X-JWT-Authorization"}
}

func (k Keys) validate() error {
	if k.Token == "" || k.Header == "" {
		return errors.New("tokenfile: Keys need a Token and the name of a Header")
	}
	for _, name := range []string{k.Token, k.Type, k.ExpiresAt, k.Authorization} {
		if name != "" && (name != filepath.Base(name) || strings.HasPrefix(name, "..")) {
			return fmt.Errorf("tokenfile: %q cannot be a file of a mounted Secret", name)
		}
	}
	return nil
}

// Option configures a Source.
type Option func(*Source)

// WithKeys reads other files than those of an access token: JWTKeys, or where the pod's volume has items, the paths that these name.
func WithKeys(keys Keys) Option { return func(s *Source) { s.keys = keys } }

// Source is a mounted token. All its methods may be called at any time from any goroutine.
type Source struct {
	dir  string
	keys Keys

	mu     sync.Mutex // guards what follows
	folder string     // where token was read, if what is there never changes
	token  Token
}

// Open reads the token in dir, the folder where the Secret is mounted, and fails where it cannot: with a Secret that is not optional the kubelet
// starts no container before the files are there.
func Open(dir string, opts ...Option) (*Source, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, readError(dir, err)
	}
	s := &Source{dir: absolute, keys: AccessTokenKeys()}
	for _, option := range opts {
		option(s)
	}
	if err := s.keys.validate(); err != nil {
		return nil, err
	}
	if _, err := s.Current(); err != nil {
		return nil, err
	}
	return s, nil
}

// Current is the token that the folder holds now. It may have expired, where the operator could not renew it: Gini then says so.
// Do not keep it for later, ask again.
func (s *Source) Current() (Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for attempt := 1; ; attempt++ {
		folder, err := generation(s.dir)
		if err == nil && folder == s.folder {
			return s.token, nil
		}
		var token Token
		if err == nil {
			token, err = s.keys.read(s.dir, folder)
		}
		if err == nil {
			s.folder, s.token = "", Token{}
			if immutable(folder) {
				s.folder, s.token = folder, token
			}
			return token, nil
		}
		if attempt == maxAttempts || !replaced(s.dir, folder) {
			return Token{}, err
		}
	}
}

// Token implements oauth2.TokenSource for libraries that ask for one. It reads the folder as Current does. Mind that oauth2.NewClient and
// oauth2.ReuseTokenSource keep a token until it expires, so they go on sending one that Gini ended early: a Transport does not.
func (s *Source) Token() (*oauth2.Token, error) {
	token, err := s.Current()
	switch {
	case err != nil:
		return nil, err
	case http.CanonicalHeaderKey(token.header) != "Authorization":
		return nil, ErrJWT
	}
	return &oauth2.Token{AccessToken: token.Reveal(), TokenType: token.tokenType, Expiry: token.expiresAt}, nil
}
