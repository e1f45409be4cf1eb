package identity

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"unicode/utf8"
)

// maxClaims is how many characters further claims may have in all, names and values together, as JWTs travel in a header.
const maxClaims = 4096

// ClaimsError says why further claims cannot be used. Its text is fit for people, and holds no value.
type ClaimsError struct{ problem string }

// Error implements error.
func (e *ClaimsError) Error() string { return e.problem }

// ReadClaims brings the values of further claims into the one form that equal JSON has: what differs in blanks, escapes or the order
// of names is no other JWT. Numbers keep their digits. Errors are a *ClaimsError.
func ReadClaims(values map[string]json.RawMessage) (map[string]json.RawMessage, error) {
	claims, characters := make(map[string]json.RawMessage, len(values)), 0
	for _, name := range slices.Sorted(maps.Keys(values)) { // always the same one is told of
		decoder := json.NewDecoder(bytes.NewReader(values[name]))
		decoder.UseNumber()
		var meant any
		if err := decoder.Decode(&meant); err != nil || meant == nil {
			return nil, &ClaimsError{"claim " + name + " is null: give it a value, or leave it out"}
		}
		same, err := json.Marshal(meant)
		if err != nil {
			return nil, &ClaimsError{"claim " + name + " is no JSON"} // cannot be: it was decoded
		}
		claims[name] = same
		characters += utf8.RuneCountInString(name) + utf8.RuneCount(same)
	}
	if characters > maxClaims {
		return nil, &ClaimsError{"they have more than 4096 characters in all, names and values in JSON together: servers refuse JWTs that long"}
	}
	return claims, nil
}
