package emulator

import (
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json"
)

// call is one request, taken apart. It holds credentials: it is never printed.
type call struct {
	method, path string
	route        route
	op           Operation
	// refused is what makes the request impossible before anybody looks at who sent it: no such path, method, or size.
	refused int

	params      url.Values // query and form together, as Gini's framework sees them
	body        []byte
	contentType string
	accept      []string

	basicID, basicSecret string
	hasBasic             bool
	bearer               string
	hasBearer            bool
	jwt                  *presentedJWT // nil: none, or an operation that does not look at it
	identifier           string

	baseURL   string // of the host as the client sees it, with the prefix
	requestID string

	// Attribution for ledger and faults, from what is claimed, not from what is proven.
	clientID string
	user     userKey
	email    string
	// wrongCredentials: client credentials came, and they are not those of a registered client.
	wrongCredentials bool
}

// read takes a request apart. An error means that the client went away before it was complete.
func read(r *http.Request, settings *Settings) (*call, error) {
	c := &call{
		method: r.Method, path: r.URL.Path, params: r.URL.Query(), requestID: newRequestID(),
		accept: mediaRanges(r.Header.Values("Accept")), identifier: r.Header.Get("X-User-Identifier"), op: Unknown,
	}
	c.readAuthorization(r)
	if c.contentType = r.Header.Get("Content-Type"); c.contentType != "" {
		if parsed, _, err := mime.ParseMediaType(c.contentType); err == nil {
			c.contentType = parsed
		}
	}
	var err error
	c.body, err = io.ReadAll(http.MaxBytesReader(nil, r.Body, settings.MaxBodyBytes))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		c.refused = http.StatusRequestEntityTooLarge
	} else if err != nil {
		return nil, err
	}
	if c.method == http.MethodPost && c.contentType == formType {
		form, err := url.ParseQuery(string(c.body))
		if err != nil {
			c.refused = http.StatusBadRequest
		}
		for name, values := range form {
			c.params[name] = append(c.params[name], values...)
		}
	}
	c.findRoute(r, settings)
	if c.op == Login || c.op == Documents {
		c.preferJWT(readJWT(r))
	}
	return c, nil
}

// preferJWT takes the JWT for the call's only credential where there is one: neither Authorization nor X-User-Identifier counts beside it.
func (c *call) preferJWT(j *presentedJWT) {
	if j == nil {
		return
	}
	c.jwt = j
	c.hasBasic, c.basicID, c.basicSecret = false, "", ""
	c.hasBearer, c.bearer = false, ""
	c.identifier = ""
}

func (c *call) findRoute(r *http.Request, settings *Settings) {
	found := false
	for h, prefix := range map[host]string{payAPI: settings.PayAPIPrefix, userCenter: settings.UserCenterPrefix} {
		path, ok := strings.CutPrefix(r.URL.Path, prefix)
		if !ok {
			continue
		}
		if rt, ok := routeOf(h, path); ok {
			c.route, c.path, found = rt, path, true
			scheme := "http"
			if r.TLS != nil {
				scheme = "https"
			}
			c.baseURL = scheme + "://" + r.Host + prefix
		}
	}
	switch {
	case !found:
		c.refused = http.StatusNotFound
	case !slices.Contains(c.route.methods, c.method):
		c.refused = http.StatusMethodNotAllowed
	default:
		c.op = operationOf(c)
	}
}

// readAuthorization takes "bearer" and "basic" in any case: Gini's documentation writes BEARER, its SDKs Bearer.
func (c *call) readAuthorization(r *http.Request) {
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	value = strings.TrimSpace(value)
	switch strings.ToLower(scheme) {
	case "bearer":
		c.bearer, c.hasBearer = value, true
	case "basic":
		decoded, err := base64.StdEncoding.DecodeString(value)
		id, secret, ok := strings.Cut(string(decoded), ":")
		c.hasBasic = true
		if err == nil && ok {
			c.basicID, c.basicSecret = id, secret
		}
	}
}

// clientCredentials are those of Basic, or at /oauth/token those in the form.
func (c *call) clientCredentials() (id, secret string, ok bool) {
	if c.hasBasic {
		return c.basicID, c.basicSecret, true
	}
	if c.path == "/oauth/token" && c.params.Get("client_id") != "" {
		return c.params.Get("client_id"), c.params.Get("client_secret"), true
	}
	return "", "", false
}

// hasWrongContentType tells whether there is a body in another type than these.
func (c *call) hasWrongContentType(allowed ...string) bool {
	return len(c.body) > 0 && !slices.Contains(allowed, c.contentType)
}

// accepts gives the first of the offered types that the request takes; a request without Accept takes all.
func (c *call) accepts(offered ...string) (mediaType string, ok bool) {
	if c.accept == nil {
		return offered[0], true
	}
	for _, want := range c.accept {
		for _, have := range offered {
			if want == have || want == "*/*" || want == "application/*" {
				return have, true
			}
		}
	}
	return "", false
}

// mediaRanges are those of an Accept header, parameters cut off, without the ones that q=0 excludes; nil where the header is missing or
// empty.
func mediaRanges(headers []string) []string {
	if strings.TrimSpace(strings.Join(headers, "")) == "" {
		return nil
	}
	ranges := []string{}
	for part := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		name, params, err := mime.ParseMediaType(part)
		if err != nil {
			if name = strings.TrimSpace(part); name == "" {
				continue
			}
		}
		if q := params["q"]; q != "" && strings.Trim(q, "0.") == "" {
			continue
		}
		ranges = append(ranges, name)
	}
	return ranges
}
