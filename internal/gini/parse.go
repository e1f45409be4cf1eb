package gini

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gini-operator/gini-operator/internal/secret"
	"github.com/gini-operator/gini-operator/internal/transport"
)

// MaxLifetime caps ExpiresIn both ways, and so what is reckoned with: greater times would overflow.
const MaxLifetime = 100 * 365 * 24 * time.Hour

// parseGrant reads a token answer as Gini's own clients do, and more leniently: unknown fields do not matter, nor does
// the lifetime's spelling. problem is constant text; what the decoder says may quote the token.
func parseGrant(content []byte) (grant Grant, problem string) {
	fields, ok := transport.ParseObject(content)
	if !ok {
		return Grant{}, "not a JSON object"
	}
	token, ok := fields.Text("access_token")
	if !ok || !isToken(token) {
		return Grant{}, "no usable access_token"
	}
	if kind, ok := fields.Text("token_type"); fields.Says("token_type") && (!ok || !strings.EqualFold(kind, "bearer")) {
		return Grant{}, "the token_type is not bearer"
	}
	grant.AccessToken = secret.New(token)
	// A refresh token only saves something; one that cannot be used is as good as none.
	if refresh, ok := fields.Text("refresh_token"); ok && isToken(refresh) {
		grant.RefreshToken = secret.New(refresh)
	}
	grant.ExpiresIn, grant.ExpiryKnown = lifetime(fields)
	return grant, ""
}

// lifetime reads expires_in: seconds, as a number or as a string that holds one. Anything else is not known.
func lifetime(fields transport.Object) (time.Duration, bool) {
	const name = "expires_in"
	number := string(fields[name])
	if quoted, ok := fields.Text(name); ok {
		number = strings.TrimSpace(quoted)
	}
	seconds, ok := transport.ParseNumber(number)
	if !ok {
		return 0, false
	}
	limit := MaxLifetime.Seconds()
	return time.Duration(max(-limit, min(seconds, limit)) * float64(time.Second)), true
}

// isToken accepts what can stand in an Authorization header: visible ASCII (RFC 6749, appendix A, less the blank).
func isToken(token string) bool {
	return len(token) <= maxToken && !transport.SaysNothing(token) && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
}

// knownCodes are the OAuth error codes that may stand in an error's text (RFC 6749, 4.1.2.1 and 5.2; RFC 6750, 3.1;
// RFC 8707, 2; and "unauthorized", which Spring Security OAuth answers to wrong Basic credentials).
var knownCodes = []string{
	"invalid_grant", "invalid_client", "invalid_token", "invalid_request", "unauthorized_client", "unsupported_grant_type",
	"unsupported_response_type", "invalid_scope", "insufficient_scope", "access_denied", "server_error",
	"temporarily_unavailable", "redirect_uri_mismatch", "unauthorized", "invalid_target",
}

// ErrorCode returns the OAuth error code of a refusal if it is a known one; anything else could be any text.
func ErrorCode(content []byte) string {
	fields, _ := transport.ParseObject(content)
	code, _ := fields.Text("error")
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
