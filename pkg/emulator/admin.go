package emulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// adminRequest is what an action under /admin/ takes; each uses the members that it needs.
type adminRequest struct {
	Client   string `json:"client"`
	Secret   string `json:"secret"`
	Account  string `json:"account"` // id or e-mail address
	Email    string `json:"email"`
	Password string `json:"password"`
	User     string `json:"user"` // account id, e-mail address or identifier
	JWT      JWT    `json:"jwt"`
	Fault    string `json:"fault"` // the name of one

	Restriction Restriction `json:"restriction"`
}

// AdminHandler lets another process do what a Go test does with methods: faults, settings, and what happens at Gini without a client
// knowing. It asks for no credentials, so serve it where only tests can reach it, and never at the address of ServeHTTP.
//
//	POST /admin/script            one Fault or a list of them, as JSON
//	POST /admin/remove-faults     {"fault"}: takes those of this name away
//	POST /admin/reset             ends all faults;  POST /admin/release lets go what hangs
//	GET|POST /admin/settings      Settings; POST changes those that the body names
//	POST /admin/clients           {"client","secret"}: AddClient; with "jwt" also WithJWT, with "restriction" also WithRestriction
//	POST /admin/jwt               {"client","jwt":{"issuer","jwks_url",…}}: SetJWT; without "jwt" it takes the identity provider away
//	POST /admin/restrict          {"client","restriction":{"to","status"}}: Restrict; without "restriction" it allows all users
//	POST /admin/rotate-secret     {"client","secret"}
//	POST /admin/remove-client     {"client"}
//	POST /admin/accounts          {"client","email","password"}: AddAccount
//	POST /admin/delete-account    {"account"};  /admin/delete-all-accounts
//	POST /admin/change-password   {"account","password"}
//	POST /admin/end-tokens        {"user"};  /admin/end-client-tokens {"client"};  /admin/end-all-tokens
//
// The answer is 200 with {"done": true} or {"done": <number>}, 404 where there is no such client, account or token, and 400 with {"error"}
// for a body that is not understood.
func (s *Server) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /admin/script", s.adminScript)
	mux.HandleFunc("GET /admin/settings", func(w http.ResponseWriter, _ *http.Request) { adminReply(w, http.StatusOK, s.Settings()) })
	mux.HandleFunc("POST /admin/settings", s.adminSettings)
	for path, act := range map[string]func(adminRequest) any{
		"reset":   func(adminRequest) any { s.Reset(); return true },
		"release": func(adminRequest) any { s.Release(); return true },
		"clients": func(r adminRequest) any {
			if r.Client != "" {
				s.AddClient(r.Client, r.Secret, WithJWT(r.JWT), WithRestriction(r.Restriction))
			}
			return r.Client != ""
		},
		"jwt":           func(r adminRequest) any { return s.SetJWT(r.Client, r.JWT) },
		"restrict":      func(r adminRequest) any { return s.Restrict(r.Client, r.Restriction) },
		"remove-faults": func(r adminRequest) any { return s.RemoveFaults(r.Fault) },
		"rotate-secret": func(r adminRequest) any { return s.RotateSecret(r.Client, r.Secret) },
		"remove-client": func(r adminRequest) any { return s.RemoveClient(r.Client) },
		"accounts": func(r adminRequest) any {
			_, ok := s.AddAccount(r.Client, r.Email, r.Password)
			return ok
		},
		"delete-account":      func(r adminRequest) any { return s.DeleteAccount(r.Account) },
		"delete-all-accounts": func(adminRequest) any { return s.DeleteAllAccounts() },
		"change-password":     func(r adminRequest) any { return s.ChangePassword(r.Account, r.Password) },
		"end-tokens":          func(r adminRequest) any { return s.EndTokensOf(r.User) },
		"end-client-tokens":   func(r adminRequest) any { return s.EndClientTokens(r.Client) },
		"end-all-tokens":      func(adminRequest) any { return s.EndAllTokens() },
	} {
		mux.HandleFunc("POST /admin/"+path, func(w http.ResponseWriter, r *http.Request) {
			var in adminRequest
			body, ok := adminBody(w, r)
			if !ok {
				return
			}
			if len(body) > 0 {
				if err := unmarshalStrict(body, &in); err != nil {
					adminRefuse(w, err)
					return
				}
			}
			done := act(in)
			status := http.StatusOK
			if done == false {
				status = http.StatusNotFound
			}
			adminReply(w, status, map[string]any{"done": done})
		})
	}
	return mux
}

func (s *Server) adminScript(w http.ResponseWriter, r *http.Request) {
	body, ok := adminBody(w, r)
	if !ok {
		return
	}
	faults, err := ParseScript(body)
	if err != nil {
		adminRefuse(w, err)
		return
	}
	s.Script(faults...)
	adminReply(w, http.StatusOK, map[string]any{"done": len(faults)})
}

func (s *Server) adminSettings(w http.ResponseWriter, r *http.Request) {
	body, ok := adminBody(w, r)
	if !ok {
		return
	}
	if err := s.MergeSettings(body); err != nil {
		adminRefuse(w, err)
		return
	}
	adminReply(w, http.StatusOK, s.Settings())
}

// MergeSettings changes the settings that a JSON object names and keeps the others. Where it is refused, none change.
func (s *Server) MergeSettings(data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.settings.clone()
	if err := json.Unmarshal(data, &changed); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	s.settings = changed
	return nil
}

// ParseScript reads one fault or a list of faults from JSON. Unknown names and values are errors.
func ParseScript(data []byte) ([]Fault, error) {
	if data = bytes.TrimSpace(data); bytes.HasPrefix(data, []byte("{")) {
		data = append(append([]byte("["), data...), ']')
	}
	var faults []Fault
	if err := unmarshalStrict(data, &faults); err != nil {
		return nil, fmt.Errorf("script: %w", err)
	}
	for _, f := range faults {
		if err := f.Validate(); err != nil {
			return nil, fmt.Errorf("script: %w", err)
		}
	}
	return faults, nil
}

func adminBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		adminRefuse(w, err)
	}
	return body, err == nil
}

func adminRefuse(w http.ResponseWriter, err error) {
	adminReply(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
}

func adminReply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
