package gini

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gini-operator/gini-operator/internal/secret"
)

// maxLifetime caps ExpiresIn both ways.
const maxLifetime = 100 * 365 * 24 * time.Hour

// parseGrant reads a token answer as Gini's own clients do, and more leniently: unknown fields do not matter, nor does
// the lifetime's spelling. problem is constant text; what the decoder says may quote the token.
func parseGrant(content []byte) (grant Grant, problem string) {
	var fields struct {
		AccessToken  json.RawMessage `json:"access_token"`
		RefreshToken json.RawMessage `json:"refresh_token"`
		TokenType    json.RawMessage `json:"token_type"`
		ExpiresIn    json.RawMessage `json:"expires_in"`
	}
	if !isObject(content) || json.Unmarshal(content, &fields) != nil {
		return Grant{}, "not a JSON object"
	}
	token, ok := text(fields.AccessToken)
	if !ok || !isToken(token) {
		return Grant{}, "no usable access_token"
	}
	if kind, ok := text(fields.TokenType); !ok && !absent(fields.TokenType) || kind != "" && !strings.EqualFold(kind, "bearer") {
		return Grant{}, "the token_type is not bearer"
	}
	grant.AccessToken = secret.New(token)
	// A refresh token only saves something; one that cannot be used is as good as none.
	if refresh, ok := text(fields.RefreshToken); ok && isToken(refresh) {
		grant.RefreshToken = secret.New(refresh)
	}
	grant.ExpiresIn, grant.ExpiryKnown = lifetime(fields.ExpiresIn)
	return grant, ""
}

// lifetime reads expires_in: seconds, as a number or as a string that holds one. Anything else is not known.
func lifetime(raw json.RawMessage) (time.Duration, bool) {
	number := strings.TrimSpace(string(raw))
	if quoted, ok := text(raw); ok {
		number = strings.TrimSpace(quoted)
	}
	// JSON's numbers only: ParseFloat would also take NaN, infinities and hexadecimal.
	if number == "" || !strings.ContainsRune("-0123456789", rune(number[0])) || !json.Valid([]byte(number)) {
		return 0, false
	}
	seconds, err := strconv.ParseFloat(number, 64) // out of range: an infinity, which is capped
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	limit := maxLifetime.Seconds()
	return time.Duration(max(-limit, min(seconds, limit)) * float64(time.Second)), true
}

// isToken accepts what can stand in an Authorization header: visible ASCII (RFC 6749, appendix A, less the blank).
func isToken(token string) bool {
	return token != "" && len(token) <= maxToken && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
}

func isObject(content []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(content, " \t\r\n"), []byte("{"))
}

func absent(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// text returns a JSON string's value; false for null and everything else.
func text(raw json.RawMessage) (string, bool) {
	var value string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &value) != nil {
		return "", false
	}
	return value, true
}

// knownCodes are the OAuth error codes that may stand in an error's text (RFC 6749, 4.1.2.1 and 5.2; RFC 6750, 3.1;
// and "unauthorized", which Spring Security OAuth answers to wrong Basic credentials).
var knownCodes = []string{
	"invalid_grant", "invalid_client", "invalid_token", "invalid_request", "unauthorized_client", "unsupported_grant_type",
	"unsupported_response_type", "invalid_scope", "insufficient_scope", "access_denied", "server_error",
	"temporarily_unavailable", "redirect_uri_mismatch", "unauthorized",
}

// ErrorCode returns the OAuth error code of a refusal if it is a known one; anything else could be any text.
func ErrorCode(content []byte) string {
	var fields struct {
		Error json.RawMessage `json:"error"`
	}
	if !isObject(content) || json.Unmarshal(content, &fields) != nil {
		return ""
	}
	code, _ := text(fields.Error)
	if at := slices.Index(knownCodes, code); at >= 0 {
		return knownCodes[at]
	}
	return ""
}

// requestID returns Gini's X-Request-Id, which its support asks for, or nothing if it does not look like one.
func requestID(header http.Header) string {
	id := header.Get("X-Request-Id")
	if len(id) > 128 || strings.ContainsFunc(id, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._:-", r))
	}) {
		return ""
	}
	return id
}
