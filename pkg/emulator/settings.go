package emulator

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// The media types that the Pay API understands by default (gini-api: documentation v1, iOS v2).
const (
	MediaTypeV1 = "application/vnd.gini.v1+json"
	MediaTypeV2 = "application/vnd.gini.v2+json"
)

// LocationMode says what the answer to POST /api/users has as Location.
type LocationMode string

// How the new account's address is given.
const (
	LocationAbsolute LocationMode = "absolute" // the default and Gini's way: https://host/api/users/<id>
	LocationRelative LocationMode = "relative" // /api/users/<id>
	LocationAbsent   LocationMode = "absent"   // no header at all
)

// TokenForm is what tokens look like.
type TokenForm string

// The forms Gini's tokens have had.
const (
	FormBase64  TokenForm = "base64"  // the default: 20 random bytes in plain Base64, 28 characters, may hold + and /, ends in =
	FormAwkward TokenForm = "awkward" // as base64, and every token does hold +, / and =
	FormUUID    TokenForm = "uuid"    // the older form
)

// Settings are the switches of a running emulator, one for each point that Gini's documentation leaves open. Change them with
// [Server.Configure]; their JSON form is the file of `gini-emulator --settings` and durations in it are strings such as "90s".
type Settings struct {
	// Login is how tokens of POST /login (derived users) behave.
	Login Behaviour `json:"login"`
	// UserCenter is how tokens of the password grant (anonymous users) behave.
	UserCenter Behaviour `json:"user_center"`
	// ClientToken is how tokens of the client_credentials grant behave. They never have refresh tokens. Its Lifetime defaults to 12 h
	// whatever Lifetime below says.
	ClientToken Behaviour `json:"client_token"`
	// Lifetime is that of users' access tokens where the Behaviour does not say. Default 12 h; NoExpiry for none.
	Lifetime time.Duration `json:"lifetime"`
	// TokenForm is what access and refresh tokens look like. Default FormBase64.
	TokenForm TokenForm `json:"token_form"`

	// PayAPIMediaTypes are served by the Pay API; another Accept is 406. Default v1 and v2. The answer has the one asked for.
	PayAPIMediaTypes []string `json:"pay_api_media_types"`
	// PayAPIPrefix and UserCenterPrefix stand before every path, as with a proxy. Default none.
	PayAPIPrefix     string `json:"pay_api_prefix"`
	UserCenterPrefix string `json:"user_center_prefix"`
	// PayAPIErrorItems gives Pay API errors the form {"items":[{"code","message"}],"requestId"} instead of {"message","requestId"}.
	PayAPIErrorItems bool `json:"pay_api_error_items"`

	// EmailDomains is the allow-list for new e-mail addresses; empty allows all. Refused looks like any other 400.
	EmailDomains []string `json:"email_domains"`
	// CreateUserStatus answers a created account. Default 201; SDKs take any 2xx.
	CreateUserStatus int `json:"create_user_status"`
	// Location is the form of the created account's address. Default LocationAbsolute.
	Location LocationMode `json:"location"`
	// UpdateUserStatus answers a changed account. Default 204 (not documented).
	UpdateUserStatus int `json:"update_user_status"`
	// DeleteUserStatus answers a deleted account. Default 204 (not documented); take any 2xx.
	DeleteUserStatus int `json:"delete_user_status"`

	// MissingIdentifierStatus answers a missing or empty X-User-Identifier: 400 (default) or 401.
	MissingIdentifierStatus int `json:"missing_identifier_status"`
	// WrongPasswordStatus answers a wrong or unknown e-mail or password: 400 invalid_grant (default), or 401 as after a change of
	// client credentials. The 401 looks exactly like that of a wrong client secret: only asking for a client token tells them apart.
	WrongPasswordStatus int `json:"wrong_password_status"`
	// ForeignAccountStatus answers the login of an account that another client made, with its right password: 400 invalid_grant (default),
	// or 401 that looks exactly like that of a wrong client secret.
	ForeignAccountStatus int `json:"foreign_account_status"`
	// StaleClientTokenStatus answers an expired or ended client token at /api/users: 401 (default), 400, 403 or 500.
	StaleClientTokenStatus int `json:"stale_client_token_status"`
	// NoCheckToken makes /oauth/check_token a 404. Gini's clients stopped using it in 2024.
	NoCheckToken bool `json:"no_check_token"`
	// FailOverlapping answers 500 to a token request (password, refresh, /login) that arrives while another one for the same user is under way.
	FailOverlapping bool `json:"fail_overlapping"`

	// Marker is put into every error_description and message, every scripted error body and, as unknown fields, into every JSON
	// answer: a test that finds it in a log, an Event or a status knows that an answer was copied there. Default none.
	Marker string `json:"marker"`
	// MaxBodyBytes is the longest request body; a longer one is 413. Default 1 MiB.
	MaxBodyBytes int64 `json:"max_body_bytes"`
}

// defaultSettings is the likeliest Gini.
func defaultSettings() Settings {
	return Settings{
		Lifetime:                DefaultLifetime,
		TokenForm:               FormBase64,
		PayAPIMediaTypes:        []string{MediaTypeV1, MediaTypeV2},
		CreateUserStatus:        http.StatusCreated,
		Location:                LocationAbsolute,
		UpdateUserStatus:        http.StatusNoContent,
		DeleteUserStatus:        http.StatusNoContent,
		MissingIdentifierStatus: http.StatusBadRequest,
		WrongPasswordStatus:     http.StatusBadRequest,
		ForeignAccountStatus:    http.StatusBadRequest,
		StaleClientTokenStatus:  http.StatusUnauthorized,
		MaxBodyBytes:            1 << 20,
	}
}

// Validate tells of a value that is none of those documented.
func (s *Settings) Validate() error {
	for _, b := range []struct {
		name string
		*Behaviour
	}{{"login", &s.Login}, {"user_center", &s.UserCenter}, {"client_token", &s.ClientToken}} {
		if err := b.validate(); err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
	}
	if !slices.Contains([]TokenForm{"", FormBase64, FormAwkward, FormUUID}, s.TokenForm) {
		return fmt.Errorf("token_form: %q is none of base64, awkward, uuid", s.TokenForm)
	}
	if !slices.Contains([]LocationMode{"", LocationAbsolute, LocationRelative, LocationAbsent}, s.Location) {
		return fmt.Errorf("location: %q is none of absolute, relative, absent", s.Location)
	}
	if len(s.PayAPIMediaTypes) == 0 {
		return fmt.Errorf("pay_api_media_types: at least one is needed")
	}
	if s.MaxBodyBytes <= 0 {
		return fmt.Errorf("max_body_bytes: %d is not positive", s.MaxBodyBytes)
	}
	for _, status := range []struct {
		name    string
		value   int
		allowed func(int) bool
	}{
		{"create_user_status", s.CreateUserStatus, isSuccess},
		{"update_user_status", s.UpdateUserStatus, isSuccess},
		{"delete_user_status", s.DeleteUserStatus, isSuccess},
		{"missing_identifier_status", s.MissingIdentifierStatus, oneOf(400, 401)},
		{"wrong_password_status", s.WrongPasswordStatus, oneOf(400, 401)},
		{"foreign_account_status", s.ForeignAccountStatus, oneOf(400, 401)},
		{"stale_client_token_status", s.StaleClientTokenStatus, oneOf(400, 401, 403, 500)},
	} {
		if !status.allowed(status.value) {
			return fmt.Errorf("%s: %d is not possible there", status.name, status.value)
		}
	}
	return nil
}

func isSuccess(status int) bool { return status >= 200 && status < 300 }

func oneOf(values ...int) func(int) bool {
	return func(v int) bool { return slices.Contains(values, v) }
}

// clone copies what a caller could otherwise change behind the mutex.
func (s *Settings) clone() Settings {
	c := *s
	c.PayAPIMediaTypes = slices.Clone(s.PayAPIMediaTypes)
	c.EmailDomains = slices.Clone(s.EmailDomains)
	c.Login, c.UserCenter, c.ClientToken = s.Login.clone(), s.UserCenter.clone(), s.ClientToken.clone()
	return c
}

// MarshalJSON writes durations as strings.
func (s Settings) MarshalJSON() ([]byte, error) { return marshal(s.jsonForm()) }

// UnmarshalJSON changes the settings that data names and keeps the others; an unknown name is an error.
func (s *Settings) UnmarshalJSON(data []byte) error {
	if err := unmarshalStrict(data, s.jsonForm()); err != nil {
		return err
	}
	return s.Validate()
}

type plainSettings Settings

// jsonForm shadows the durations with pointers to them that have a text form.
func (s *Settings) jsonForm() any {
	return &struct {
		*plainSettings
		Lifetime *durationText `json:"lifetime"`
	}{(*plainSettings)(s), (*durationText)(&s.Lifetime)}
}
