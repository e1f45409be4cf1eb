package emulator

import (
	"maps"
	"net/http"

	"github.com/google/uuid"
)

// answer is what goes back. It may hold credentials: it is never printed.
type answer struct {
	status      int
	contentType string
	header      map[string]string
	body        []byte
}

func newRequestID() string { return uuid.NewString() }

// object is an answer with a JSON object, to which the marker adds unknown fields.
func (s *Server) object(status int, contentType string, fields map[string]any) answer {
	if m := s.settings.Marker; m != "" {
		fields = maps.Clone(fields)
		fields["unknown_field"] = m
		fields["unknown_object"] = map[string]any{"unknown_field": m}
	}
	body, err := marshal(fields)
	if err != nil { // only ExtraFields can be at fault
		return answer{status: http.StatusInternalServerError, contentType: "text/plain", body: []byte("extra_fields cannot be written as JSON")}
	}
	return answer{status: status, contentType: contentType, body: body}
}

// oauthError is the User Center's way (gini-api, "Statuses").
func (s *Server) oauthError(status int, code, description string) answer {
	a := s.object(status, jsonType, map[string]any{"error": code, "error_description": s.marked(description)})
	if status == http.StatusUnauthorized {
		scheme := "Bearer"
		if code == "invalid_client" {
			scheme = "Basic"
		}
		a.header = map[string]string{"WWW-Authenticate": scheme + ` realm="gini"`}
	}
	return a
}

// payAPIError is the Pay API's way. X-Request-Id comes with every Pay API answer, see finish.
func (s *Server) payAPIError(c *call, status int, message string) answer {
	fields := map[string]any{"message": s.marked(message), "requestId": c.requestID}
	if s.settings.PayAPIErrorItems {
		item := map[string]any{"code": http.StatusText(status), "message": s.marked(message)}
		fields = map[string]any{"items": []any{item}, "requestId": c.requestID}
	}
	mediaType, ok := c.accepts(s.settings.PayAPIMediaTypes...)
	if !ok {
		mediaType = s.settings.PayAPIMediaTypes[0]
	}
	a := s.object(status, mediaType, fields)
	if status == http.StatusUnauthorized {
		a.header = map[string]string{"WWW-Authenticate": `Basic realm="gini"`}
	}
	return a
}

// errorFor is an error in the look of the host that the call went to.
func (s *Server) errorFor(c *call, status int) answer {
	if c.route.host == payAPI {
		return s.payAPIError(c, status, http.StatusText(status))
	}
	code := map[int]string{
		http.StatusUnauthorized: "unauthorized", http.StatusForbidden: "access_denied", http.StatusNotFound: "not_found",
		http.StatusMethodNotAllowed: "method_not_allowed", http.StatusNotAcceptable: "not_acceptable",
		http.StatusUnsupportedMediaType: "unsupported_media_type", http.StatusTooManyRequests: "too_many_requests",
	}[status]
	switch {
	case code != "":
	case status >= http.StatusInternalServerError:
		code = "server_error"
	default:
		code = "invalid_request"
	}
	return s.oauthError(status, code, http.StatusText(status))
}

// tokenAnswer is the answer to every request for a token.
func (s *Server) tokenAnswer(t *token, b *Behaviour, mediaType, scope string, withRefresh bool) answer {
	fields := map[string]any{}
	maps.Copy(fields, b.ExtraFields)
	fields["access_token"] = t.value
	fields["token_type"] = "bearer"
	if b.TokenType != "" {
		fields["token_type"] = b.TokenType
	}
	if literal, ok := b.expiresIn(s.now(), t.expires); ok {
		fields["expires_in"] = literal
	}
	if scope != "" {
		fields["scope"] = scope
	}
	if withRefresh && t.refresh != nil {
		fields["refresh_token"] = t.refresh.value
	}
	a := s.object(http.StatusOK, mediaType, fields)
	a.header = map[string]string{"Cache-Control": "no-store", "Pragma": "no-cache"}
	return a
}

func (s *Server) marked(text string) string {
	if s.settings.Marker == "" {
		return text
	}
	return text + " " + s.settings.Marker
}

// finish adds what every answer of the host has.
func (a answer) finish(c *call, h http.Header) {
	for name, value := range a.header {
		h.Set(name, value)
	}
	if len(a.body) > 0 {
		h.Set("Content-Type", a.contentType)
	}
	if c.route.host == payAPI {
		h.Set("X-Request-Id", c.requestID)
	}
}
