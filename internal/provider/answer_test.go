package provider

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/secret"
	"github.com/gini-operator/gini-operator/internal/transport"
)

// TestAnswers has a call meet the answers that matter, over a real connection.
func TestAnswers(t *testing.T) {
	const html, oauth = "text/html;charset=utf-8", "application/json"
	const (
		grantType = "the client may not use the client credentials grant"
		scopes    = "the client may not have these scopes: check oauth2.scopes"
		audience  = "the client may not have JWTs for this audience or resource: check oauth2.parameters"
		request   = "the provider does not accept the request: check oauth2.parameters, userIdentifierParameter and clientAuthentication"
		denied    = "the provider denies this client such JWTs: let it have them there, or check oauth2.parameters (such as audience) and oauth2.scopes"
	)
	for _, meet := range []struct {
		status      int
		contentType string
		body        string
		want        gini.Kind
		detail      string
	}{
		{400, oauth, `{"error":"invalid_client"}`, gini.CredentialsRejected, ""},
		{400, oauth, `{"error":"unauthorized_client"}`, gini.CredentialsRejected, grantType},
		{401, oauth, `{"error":"unauthorized_client"}`, gini.CredentialsRejected, grantType},
		{400, oauth, `{"error":"invalid_scope"}`, gini.Unexpected, scopes},
		{401, oauth, `{"error":"invalid_scope"}`, gini.Unexpected, scopes},
		{403, oauth, `{"error":"invalid_scope"}`, gini.Unexpected, scopes},
		{400, oauth, `{"error":"invalid_target"}`, gini.Unexpected, audience},
		{403, oauth, `{"error":"invalid_target"}`, gini.Unexpected, audience},
		{
			400, oauth, `{"error":"unsupported_grant_type"}`, gini.Unexpected,
			"the provider does not allow the client credentials grant: allow this client to use it",
		},
		{400, oauth, `{"error":"invalid_request"}`, gini.Unexpected, request},
		{403, oauth, `{"error":"invalid_request"}`, gini.Unexpected, request},
		{400, oauth, `{"error":"something_else"}`, gini.Unexpected, request},
		{400, oauth, `{"ERROR":"invalid_client"}`, gini.Unexpected, request},
		{400, oauth, "\xef\xbb\xbf" + `{"error":"invalid_client"}`, gini.CredentialsRejected, ""},
		{400, oauth, `{"error":"invalid_grant","error_description":"no such user"}`, gini.GrantRejected, "the provider gives no JWT for this user"},
		{401, oauth, `{"error":"invalid_grant"}`, gini.GrantRejected, "the provider gives no JWT for this user"},
		{401, oauth, `{"error":"invalid_client"}`, gini.CredentialsRejected, ""},
		{401, oauth, `{"error":"invalid_request"}`, gini.CredentialsRejected, ""},
		{401, html, `<html>`, gini.CredentialsRejected, ""},
		{401, "", ``, gini.CredentialsRejected, ""},
		{401, oauth, `{"error":"access_denied"}`, gini.CredentialsRejected, ""}, // so some say to a wrong secret
		{403, oauth, `{"error":"access_denied"}`, gini.Unexpected, denied},
		{400, oauth, `{"error":"access_denied"}`, gini.Unexpected, denied},
		{403, oauth, ``, gini.Unexpected, denied},
		{403, oauth, `{"error":"invalid_client"}`, gini.CredentialsRejected, ""},
		{403, html, `<html>the proxy says no`, gini.Unexpected, "a web page"},
		{404, oauth, `{}`, gini.Unexpected, "there is no token endpoint at the token URL"},
		{405, oauth, ``, gini.Unexpected, "there is no token endpoint at the token URL"},
		{406, oauth, ``, gini.Unexpected, ""},
		{418, oauth, `{"error":"invalid_client"}`, gini.Unexpected, ""},
		{429, oauth, `{}`, gini.RateLimited, ""},
		{500, oauth, `{"error":"server_error"}`, gini.Unavailable, ""},
		{502, html, `<html>`, gini.Unavailable, ""},
		{503, "text/plain", strings.Repeat("later", transport.MaxBody), gini.Unavailable, ""},
		{400, oauth, `{"error":"temporarily_unavailable"}`, gini.Unavailable, ""},
		{301, html, ``, gini.Unexpected, "a redirect"},
		{307, "", ``, gini.Unexpected, "a redirect"},
		{200, html, `<html>please accept our terms`, gini.Unexpected, "a web page"},
		{200, oauth, `{"token_type":"Bearer"}`, gini.Unexpected, "no access_token in the answer"},
		{200, oauth, `{"access_token":null}`, gini.Unexpected, "no access_token in the answer"},
		{200, oauth, `{"access_token":""}`, gini.Unexpected, "no access_token in the answer"},
		{200, oauth, `{"access_token":"null"}`, gini.Unexpected, "no access_token in the answer"},
		{200, oauth, `{"access_token":"undefined"}`, gini.Unexpected, "no access_token in the answer"},
		{200, oauth, `{"access_token":"None"}`, gini.Unexpected, "no access_token in the answer"},
		{200, oauth, `{"access_token":" "}`, gini.Unexpected, "no access_token in the answer"},
		{200, oauth, `{"Access_Token":"a.b.c"}`, gini.Unexpected, "no access_token in the answer"},
		{200, oauth, `{"access_token":"a.b.c","access_token":"a.b.c"}`, gini.Unexpected, "no access_token in the answer"},
		{200, oauth, `{"access_token":7}`, gini.Unexpected, "no access_token in the answer"},
		{200, oauth, `{"access_token":["a.b.c"]}`, gini.Unexpected, "no access_token in the answer"},
		{200, oauth, `{"error":"who knows"}`, gini.Unexpected, "no access_token in the answer"},
		{200, oauth, `{"error":"unauthorized_client"}`, gini.CredentialsRejected, grantType},
		{200, oauth, `{"access_token":"a.b.c"`, gini.Unexpected, "not a JSON object"},
		{200, oauth, `[]`, gini.Unexpected, "not a JSON object"},
		{200, oauth, `null`, gini.Unexpected, "not a JSON object"},
		{200, "application/x-www-form-urlencoded", `access_token=a.b.c`, gini.Unexpected, "not a JSON object"},
		{204, "", ``, gini.Unexpected, "not a JSON object"},
		{200, oauth, `{}` + strings.Repeat(" ", transport.MaxBody), gini.Unexpected, "the body is too large"},
		{200, oauth, `{"access_token":"28-characters-of-an-opaque-token"}`, gini.Unexpected, "the access_token is not a JWT"},
	} {
		p := newProvider(t)
		p.answer = says(meet.status, meet.body, "Content-Type", meet.contentType, "Retry-After", "7", "Location", "/jwks.json")
		_, err := clientOf(t, p.URL).Obtain(bounded(t), testIdentifier)
		wantFailure(t, err, meet.want, meet.detail)
		failure, ok := errors.AsType[*gini.Error](err)
		if !ok || failure.Status != meet.status {
			t.Errorf("%v, want status %d", err, meet.status)
			continue
		}
		later := meet.want == gini.RateLimited || meet.want == gini.Unavailable
		if want := map[bool]time.Duration{true: 7 * time.Second}[later]; failure.RetryAfter != want {
			t.Errorf("%v: RetryAfter %s, want %s", err, failure.RetryAfter, want)
		}
		if gini.ClientLevel(meet.want) == (meet.want == gini.GrantRejected) {
			t.Errorf("%v: whom does it concern?", err)
		}
	}
}

func TestAnswersThatAreTaken(t *testing.T) {
	header, claims := goodJWT(testIdentifier)
	good := signed(header, claims)
	for _, meet := range []struct {
		status            int
		contentType, body string
	}{
		{200, "", `{"access_token":"` + good + `"}`},
		{201, "text/plain", ` {"access_token":"` + good + `","token_type":"bearer"}`},
		{200, "application/json", `{"access_token":"` + good + `","expires_in":"3600","x":{"y":[1]}}`},
		{200, "application/json", `{"access_token":"` + good + `","expires_in":1e400,"token_type":7,"refresh_token":{}}`},
		{200, "application/json", `{"access_token":"` + good + `","expires_in":-1}`},
		{200, "application/json", `{"access_token":"` + good + `","expires_in":9223372036854775807}`},
		{200, "application/json", "\xef\xbb\xbf" + `{"Access_Token":"a.b.c","access_token":"` + good + `"}`},
	} {
		p := newProvider(t)
		p.answer = says(meet.status, meet.body, "Content-Type", meet.contentType)
		token, err := clientOf(t, p.URL).Obtain(bounded(t), testIdentifier)
		if err != nil || token.JWT.Reveal() != good {
			t.Errorf("%s %s: %v", meet.contentType, strings.Replace(meet.body, good, "…", 1), err)
		}
	}
}

func TestJWTs(t *testing.T) {
	const (
		notOne    = "the access_token is not a JWT"
		algorithm = "the JWT's algorithm is not one that is checked by a public key"
		issuer    = "the JWT's issuer is not the configured one"
		clientID  = "the JWT's client id claim is not the client's id at Gini"
		user      = "the JWT lacks the user identifier claim"
		noExpiry  = "the JWT lacks an expiry, or it is not a number"
		ended     = "the JWT has expired already"
		endsSoon  = "the JWT expires within 30 seconds: let the provider give longer ones, or set the clocks right"
		notYet    = "the JWT is not valid yet"
	)
	holds := func(claim, what string) string {
		return "the JWT's " + claim + " holds " + what + ", where a string is expected: let the provider put one there, or name another claim in oauth2.claimNames"
	}
	now := testNow.Unix()
	type parts = map[string]any
	for name, test := range map[string]struct {
		spoil  func(header, claims parts)
		want   gini.Kind
		detail string
	}{
		"good":              {func(_, _ parts) {}, gini.None, ""},
		"PS512":             {func(h, _ parts) { h["alg"] = "PS512" }, gini.None, ""},
		"ES256":             {func(h, _ parts) { h["alg"] = "ES256" }, gini.None, ""},
		"EdDSA":             {func(h, _ parts) { h["alg"] = "EdDSA" }, gini.None, ""},
		"no typ":            {func(h, _ parts) { delete(h, "typ") }, gini.None, ""},
		"none":              {func(h, _ parts) { h["alg"] = "none" }, gini.Unexpected, algorithm},
		"None":              {func(h, _ parts) { h["alg"] = "None" }, gini.Unexpected, algorithm},
		"HMAC":              {func(h, _ parts) { h["alg"] = "HS256" }, gini.Unexpected, algorithm},
		"unknown algorithm": {func(h, _ parts) { h["alg"] = "MARK" }, gini.Unexpected, algorithm},
		"no algorithm":      {func(h, _ parts) { delete(h, "alg") }, gini.Unexpected, notOne},
		"number as alg":     {func(h, _ parts) { h["alg"] = 7 }, gini.Unexpected, notOne},
		"other issuer":      {func(_, c parts) { c["iss"] = testIssuer + "/" }, gini.Unexpected, issuer},
		"no issuer":         {func(_, c parts) { delete(c, "iss") }, gini.Unexpected, "the JWT lacks the issuer"},
		"issuers":           {func(_, c parts) { c["iss"] = []string{testIssuer} }, gini.Unexpected, holds("issuer", "a list")},
		"other client":      {func(_, c parts) { c["x-client-id"] = "ACME" }, gini.Unexpected, clientID},
		"no client":         {func(_, c parts) { delete(c, "x-client-id") }, gini.Unexpected, "the JWT lacks the client id claim"},
		"other user":        {func(_, c parts) { c["x-user-identifier"] = "team-b-1" }, gini.GrantRejected, "the JWT is for another user"},
		"longer user":       {func(_, c parts) { c["x-user-identifier"] = testIdentifier + "\n" }, gini.GrantRejected, "the JWT is for another user"},
		"no user":           {func(_, c parts) { delete(c, "x-user-identifier") }, gini.Unexpected, user},
		"empty user":        {func(_, c parts) { c["x-user-identifier"] = "" }, gini.Unexpected, user},
		"null as user":      {func(_, c parts) { c["x-user-identifier"] = nil }, gini.Unexpected, user},
		"user in capitals":  {func(_, c parts) { c["X-User-Identifier"] = c["x-user-identifier"]; delete(c, "x-user-identifier") }, gini.Unexpected, user},
		"number as user":    {func(_, c parts) { c["x-user-identifier"] = 7 }, gini.Unexpected, holds("user identifier claim", "a number")},
		"list as user":      {func(_, c parts) { c["x-user-identifier"] = []string{testIdentifier} }, gini.Unexpected, holds("user identifier claim", "a list")},
		"object as user":    {func(_, c parts) { c["x-user-identifier"] = parts{} }, gini.Unexpected, holds("user identifier claim", "an object")},
		"true as user":      {func(_, c parts) { c["x-user-identifier"] = true }, gini.Unexpected, holds("user identifier claim", "true or false")},
		"list as client":    {func(_, c parts) { c["x-client-id"] = []string{testGiniID} }, gini.Unexpected, holds("client id claim", "a list")},
		"number as client":  {func(_, c parts) { c["x-client-id"] = 1.5 }, gini.Unexpected, holds("client id claim", "a number")},
		"other user too":    {func(_, c parts) { c["x-user-identifier"], c["iss"] = "team-b-1", "x" }, gini.Unexpected, issuer},
		"no expiry":         {func(_, c parts) { delete(c, "exp") }, gini.Unexpected, noExpiry},
		"text as expiry":    {func(_, c parts) { c["exp"] = "1795600000" }, gini.Unexpected, noExpiry},
		"expired":           {func(_, c parts) { c["exp"] = now }, gini.Unexpected, ended},
		"expired long ago":  {func(_, c parts) { c["exp"] = json.RawMessage("-1e300") }, gini.Unexpected, ended},
		"ends at once":      {func(_, c parts) { c["exp"] = float64(now) + 0.9 }, gini.Unexpected, ended},
		"ends soon":         {func(_, c parts) { c["exp"] = float64(now) + 29.9 }, gini.Unexpected, endsSoon},
		"lasts long enough": {func(_, c parts) { c["exp"] = now + 30 }, gini.None, ""},
		"negative expiry":   {func(_, c parts) { c["exp"] = -1 }, gini.Unexpected, ended},
		"least expiry":      {func(_, c parts) { c["exp"] = json.RawMessage("-1e400") }, gini.Unexpected, ended},
		"null as expiry":    {func(_, c parts) { c["exp"] = nil }, gini.Unexpected, noExpiry},
		"huge nbf":          {func(_, c parts) { c["nbf"] = json.RawMessage("1e400") }, gini.Unexpected, notYet},
		"nbf long ago":      {func(_, c parts) { c["nbf"] = 0 }, gini.None, ""},
		"nbf a minute off":  {func(_, c parts) { c["nbf"] = now + 60 }, gini.None, ""},
		"nbf later":         {func(_, c parts) { c["nbf"] = now + 61 }, gini.Unexpected, notYet},
		"text as nbf":       {func(_, c parts) { c["nbf"] = "0" }, gini.Unexpected, "the JWT's nbf is not a number"},
		"null as nbf":       {func(_, c parts) { c["nbf"] = nil }, gini.Unexpected, "the JWT's nbf is not a number"},
		"too long":          {func(_, c parts) { c["x"] = strings.Repeat("x", maxJWT) }, gini.Unexpected, "the JWT is too long"},
	} {
		p := newProvider(t)
		p.spoil = test.spoil
		token, err := clientOf(t, p.URL).Obtain(bounded(t), testIdentifier)
		if test.want == gini.None {
			if err != nil || token.JWT.Empty() || !token.ExpiresAt.After(testNow) || token.ExpiresAt.Nanosecond() != 0 {
				t.Errorf("%s: %v, %+v", name, err, token)
			}
			continue
		}
		if failure, ok := errors.AsType[*gini.Error](err); !ok || failure.Kind != test.want || failure.Detail != test.detail || failure.Status != 200 {
			t.Errorf("%s: %v, want %s: %s", name, err, test.want, test.detail)
		}
		if !token.JWT.Empty() {
			t.Errorf("%s: the JWT is handed on all the same", name)
		}
	}
}

// TestExpiryThatIsFarAway is reckoned with as far as times go: 100 years.
func TestExpiryThatIsFarAway(t *testing.T) {
	latest := testNow.Add(gini.MaxLifetime).Truncate(time.Second)
	for written, want := range map[string]time.Time{
		strconv.FormatInt(latest.Unix()-1, 10): latest.Add(-time.Second), strconv.FormatInt(latest.Unix(), 10): latest, strconv.FormatInt(latest.Unix()+1, 10): latest,
		strconv.FormatInt(testNow.UnixMilli(), 10): latest, "9223372036854775807": latest, "9223372036854775808": latest, "1e300": latest, "1e400": latest,
		"253402300800.5": latest,
	} {
		p := newProvider(t)
		p.spoil = func(_, claims map[string]any) { claims["exp"] = json.RawMessage(written) }
		token, err := clientOf(t, p.URL).Obtain(bounded(t), testIdentifier)
		if err != nil || !token.ExpiresAt.Equal(want) {
			t.Errorf("%s: %s, %v; want %s", written, token.ExpiresAt, err, want)
		}
	}
}

func TestWhatIsNoJWT(t *testing.T) {
	header, claims := goodJWT(testIdentifier)
	good := signed(header, claims)
	parts := strings.Split(good, ".")
	encode := base64.RawURLEncoding.EncodeToString
	for name, text := range map[string]string{
		"two parts": parts[0] + "." + parts[1], "four parts": good + ".a", "JWE": "a.b.c.d.e", "no signature": parts[0] + "." + parts[1] + ".",
		"line break": parts[0] + ".\n" + parts[1] + "." + parts[2], "blank": good + " ", "padding": parts[0] + "." + parts[1] + "==." + parts[2],
		"header null": encode([]byte("null")) + "." + parts[1] + "." + parts[2], "claims text": parts[0] + "." + encode([]byte(`"x"`)) + "." + parts[2],
		"claims cut": parts[0] + "." + parts[1][:len(parts[1])-8] + "." + parts[2], "not ASCII": good + "ü", "dots": "..",
	} {
		if got, problem := parse(text); problem != "the access_token is not a JWT" || got != nil {
			t.Errorf("%s: %q, %v", name, problem, got)
		}
	}
	if _, problem := parse(good); problem != "" {
		t.Error(problem)
	}
}

// FuzzAnswer reads any answer. What is taken for a JWT says what it must, by another reading of it; what is not makes
// an error of the package's own words.
func FuzzAnswer(f *testing.F) {
	header, claims := goodJWT(testIdentifier)
	good := signed(header, claims)
	answer := func(change func(header, claims map[string]any)) string {
		spoiledHeader, spoiled := goodJWT(testIdentifier)
		change(spoiledHeader, spoiled)
		return `{"access_token":"` + signed(spoiledHeader, spoiled) + `","token_type":"Bearer"}`
	}
	for _, seed := range []string{
		`{"access_token":"` + good + `"}`, ``, `{}`, `null`, `<html>`, `{"error":"invalid_client"}`, `{"error":"invalid_grant"}`, `{"access_token":"a.b.c"}`,
		`{"access_token":".."}`, `{"access_token":7}`, `{"ACCESS_TOKEN":"` + good + `"}`, strings.Repeat(`{"a":`, 100),
		answer(func(h, _ map[string]any) { h["alg"] = "none" }), answer(func(h, _ map[string]any) { h["alg"] = "HS256" }),
		answer(func(_, c map[string]any) { c["exp"] = json.RawMessage("1e300") }), answer(func(_, c map[string]any) { c["nbf"] = 1e300 }),
		answer(func(_, c map[string]any) { c["iss"] = nil }), answer(func(_, c map[string]any) { c["x-user-identifier"] = "team-b-1" }),
	} {
		f.Add(200, "application/json", []byte(seed), "")
		f.Add(400, "text/html", []byte(seed), "7")
	}
	f.Add(401, "text/plain", []byte(`{"error":"MARK"}`), "soon")
	f.Add(302, "", []byte(``), "Fri, 31 Dec 9999 23:59:59 GMT")
	client := clientOf(f, "https://id.acme.example")
	words := constantWords()
	f.Fuzz(func(t *testing.T, status int, contentType string, content []byte, after string) {
		unreadable := ""
		if len(content) > transport.MaxBody {
			unreadable = "the body is too large"
		}
		got := transport.Answer{
			Status: status, Body: content[:min(len(content), transport.MaxBody)], Unreadable: unreadable,
			Header: http.Header{"Content-Type": {contentType}, "Retry-After": {after}},
		}
		text, failure := client.judge(got, testNow)
		if failure == nil {
			token, refused := client.examine(text, testIdentifier, testNow)
			if failure = refused; refused == nil {
				mustBeGood(t, token.JWT, token.ExpiresAt)
				return
			}
			if !token.JWT.Empty() {
				t.Fatal("a JWT that is no good is handed on")
			}
		}
		if failure.Kind == gini.None || failure.RetryAfter < 0 || failure.RetryAfter > transport.MaxRetryAfter || failure.Cause != nil {
			t.Fatalf("%#v", failure)
		}
		if !slices.Contains(words, failure.Detail) || failure.Code != "" && !bytesHold(content, failure.Code) || failure.RequestID != "" {
			t.Fatalf("%q is not of our own words", failure.Error())
		}
	})
}

func bytesHold(content []byte, code string) bool {
	fields, _ := transport.ParseObject(content)
	found, _ := fields.Text("error")
	return found == code
}

// constantWords are all details that an answer can lead to.
func constantWords() []string {
	words := []string{
		"", "a redirect", "a web page", "the body is too large", "not a JSON object", "no access_token in the answer",
		deniedUserDetail, "there is no token endpoint at the token URL", "the access_token is not a JWT", "the JWT is too long",
		"the JWT's algorithm is not one that is checked by a public key", "the JWT's issuer is not the configured one",
		"the JWT's client id claim is not the client's id at Gini", "the JWT is for another user",
		"the JWT lacks an expiry, or it is not a number", "the JWT has expired already",
		"the JWT's nbf is not a number", "the JWT is not valid yet",
	}
	for _, claim := range []string{"issuer", "client id claim", "user identifier claim"} {
		for _, what := range []string{"", "a list", "an object", "true or false", "a number"} {
			words = append(words, noText(claim, what))
		}
	}
	for _, refusal := range refusals {
		words = append(words, refusal.detail)
	}
	return words
}

func mustBeGood(t *testing.T, text secret.Text, expires time.Time) {
	t.Helper()
	parts := strings.Split(text.Reveal(), ".")
	if len(parts) != 3 || len(text.Reveal()) > maxJWT || parts[2] == "" || strings.ContainsAny(text.Reveal(), " \r\n") {
		t.Fatalf("%d parts in %d bytes", len(parts), len(text.Reveal()))
	}
	var header map[string]any
	var claims struct {
		Issuer   any      `json:"iss"`
		User     any      `json:"x-user-identifier"`
		ClientID any      `json:"x-client-id"`
		Expires  float64  `json:"-"` // may be out of range
		From     *float64 `json:"nbf"`
	}
	first, firstErr := base64.RawURLEncoding.DecodeString(parts[0])
	second, secondErr := base64.RawURLEncoding.DecodeString(parts[1])
	if err := errors.Join(firstErr, secondErr, json.Unmarshal(first, &header)); err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage // struct tags would take other cases as well
	if err := json.Unmarshal(second, &all); err != nil {
		t.Fatal(err)
	}
	exact := map[string]json.RawMessage{}
	for _, name := range []string{"iss", "x-user-identifier", "x-client-id", "nbf"} {
		if value, ok := all[name]; ok {
			exact[name] = value
		}
	}
	claims.Expires, _ = transport.ParseNumber(string(all["exp"]))
	content, err := json.Marshal(exact)
	if err == nil {
		err = json.Unmarshal(content, &claims)
	}
	if err != nil {
		t.Fatal(err)
	}
	algorithm, _ := header["alg"].(string)
	family := algorithm == "EdDSA" || slices.Contains([]string{"RS", "PS", "ES"}, algorithm[:min(len(algorithm), 2)]) && len(algorithm) == 5
	if !family || claims.Issuer != testIssuer || claims.User != testIdentifier || claims.ClientID != testGiniID {
		t.Fatalf("%s: %+v", algorithm, claims)
	}
	latest := testNow.Add(gini.MaxLifetime)
	if !expires.After(testNow) || expires.After(latest) || expires.Nanosecond() != 0 ||
		expires.Unix() != int64(claims.Expires) && (expires.Unix() != latest.Unix() || claims.Expires < float64(latest.Unix())) {
		t.Fatalf("expires at %s, exp %f", expires, claims.Expires)
	}
	if claims.From != nil && *claims.From > float64(testNow.Unix()+60) {
		t.Fatalf("valid from %f", *claims.From)
	}
}
