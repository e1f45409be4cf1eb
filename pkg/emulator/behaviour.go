package emulator

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Lifetimes, as Spring Security OAuth has them by default (gini-api, "How tokens behave").
const (
	DefaultLifetime        = 12 * time.Hour
	DefaultRefreshLifetime = 30 * 24 * time.Hour
	// NoExpiry as a lifetime makes tokens that never expire; their answers have no expires_in.
	NoExpiry time.Duration = -1
)

// TokenMode is what a login does while the user has a valid token.
type TokenMode string

// The three readings of gini-api's "How tokens behave".
const (
	// Fresh: each login gives a new token and earlier ones stay valid. The default.
	Fresh TokenMode = "fresh"
	// Sticky: the same token with the remaining lifetime while it is valid; a new one only once it expired.
	Sticky TokenMode = "sticky"
	// FreshEndsOld: each login gives a new token and ends the earlier ones.
	FreshEndsOld TokenMode = "fresh-ends-old"
)

// RefreshMode says whether logins come with a refresh token.
type RefreshMode string

// The ways of refresh tokens.
const (
	// RefreshAbsent: none, and the refresh grant is 401 invalid_client. The default.
	RefreshAbsent RefreshMode = "absent"
	// RefreshStable: one for each user, the same over refreshes and logins until it expires.
	RefreshStable RefreshMode = "stable"
	// RefreshRotating: a refresh ends the refresh token and gives another one. A Fresh login gives its own, FreshEndsOld ends the earlier ones.
	RefreshRotating RefreshMode = "rotating"
)

// ExpiresInForm is how an answer writes expires_in.
type ExpiresInForm string

// The forms of expires_in.
const (
	ExpiresInNumber ExpiresInForm = "number" // 43199, the default
	ExpiresInFloat  ExpiresInForm = "float"  // 43199.0
	ExpiresInString ExpiresInForm = "string" // "43199"
	ExpiresInAbsent ExpiresInForm = "absent"
)

// Behaviour is how one endpoint issues tokens. The zero value is a fresh token of the default lifetime at each login, without refresh token.
type Behaviour struct {
	// Mode defaults to Fresh.
	Mode TokenMode `json:"mode,omitempty"`
	// Lifetime of an access token; 0 takes Settings.Lifetime (client tokens: 12 h), NoExpiry is none.
	Lifetime time.Duration `json:"lifetime,omitempty"`
	// Refresh defaults to RefreshAbsent, or RefreshStable for a client made WithRefreshTokens.
	Refresh RefreshMode `json:"refresh,omitempty"`
	// RefreshLifetime of a refresh token counts from when it was made, refreshes do not prolong it. 0 is 30 days, NoExpiry is none.
	RefreshLifetime time.Duration `json:"refresh_lifetime,omitempty"`
	// ExpiresIn is the form of expires_in. Its value is the remaining lifetime in whole seconds, rounded down as if the answer took
	// a moment: 12 h reads 43199 in all of Gini's examples, and the last second of a sticky token reads 0. Default ExpiresInNumber.
	ExpiresIn ExpiresInForm `json:"expires_in,omitempty"`
	// ExpiresInRaw, where set, is the JSON literal that is written instead, such as "0", "-5", "1e12" or "null". The token's true
	// lifetime stays as it is.
	ExpiresInRaw string `json:"expires_in_raw,omitempty"`
	// TokenType defaults to "bearer".
	TokenType string `json:"token_type,omitempty"`
	// ExtraFields are further members of the answer.
	ExtraFields map[string]any `json:"extra_fields,omitempty"`
}

func (b *Behaviour) validate() error {
	switch {
	case !slices.Contains([]TokenMode{"", Fresh, Sticky, FreshEndsOld}, b.Mode):
		return fmt.Errorf("mode: %q is none of fresh, sticky, fresh-ends-old", b.Mode)
	case !slices.Contains([]RefreshMode{"", RefreshAbsent, RefreshStable, RefreshRotating}, b.Refresh):
		return fmt.Errorf("refresh: %q is none of absent, stable, rotating", b.Refresh)
	case !slices.Contains([]ExpiresInForm{"", ExpiresInNumber, ExpiresInFloat, ExpiresInString, ExpiresInAbsent}, b.ExpiresIn):
		return fmt.Errorf("expires_in: %q is none of number, float, string, absent", b.ExpiresIn)
	case b.ExpiresInRaw != "" && !json.Valid([]byte(b.ExpiresInRaw)):
		return fmt.Errorf("expires_in_raw: %q is not JSON", b.ExpiresInRaw)
	}
	return nil
}

func (b *Behaviour) clone() Behaviour {
	c := *b
	c.ExtraFields = maps.Clone(b.ExtraFields)
	return c
}

// expiry is when something with this lifetime that starts now ends; zero is never.
func expiry(now time.Time, lifetime time.Duration) time.Time {
	if lifetime < 0 {
		return time.Time{}
	}
	return now.Add(lifetime)
}

// firstSet is the first lifetime that is not 0.
func firstSet(lifetimes ...time.Duration) time.Duration {
	for _, l := range lifetimes {
		if l != 0 {
			return l
		}
	}
	return DefaultLifetime
}

// expiresIn is the JSON literal of expires_in; ok is false where the answer has none.
func (b *Behaviour) expiresIn(now, expires time.Time) (literal json.RawMessage, ok bool) {
	if b.ExpiresInRaw != "" {
		return json.RawMessage(b.ExpiresInRaw), true
	}
	if b.ExpiresIn == ExpiresInAbsent || expires.IsZero() {
		return nil, false
	}
	seconds := int64(max(0, expires.Sub(now)-1) / time.Second)
	form := map[ExpiresInForm]string{ExpiresInFloat: "%d.0", ExpiresInString: "\"%d\""}[b.ExpiresIn]
	if form == "" {
		form = "%d"
	}
	return json.RawMessage(fmt.Sprintf(form, seconds)), true
}

// MarshalJSON writes durations as strings.
func (b Behaviour) MarshalJSON() ([]byte, error) { return marshal(b.jsonForm()) }

// UnmarshalJSON changes what data names and keeps the rest; an unknown name is an error.
func (b *Behaviour) UnmarshalJSON(data []byte) error {
	if err := unmarshalStrict(data, b.jsonForm()); err != nil {
		return err
	}
	return b.validate()
}

type plainBehaviour Behaviour

func (b *Behaviour) jsonForm() any {
	return &struct {
		*plainBehaviour
		Lifetime        *durationText `json:"lifetime"`
		RefreshLifetime *durationText `json:"refresh_lifetime"`
	}{(*plainBehaviour)(b), (*durationText)(&b.Lifetime), (*durationText)(&b.RefreshLifetime)}
}
