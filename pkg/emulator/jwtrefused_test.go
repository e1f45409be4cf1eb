package emulator_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// one is the ledger of one refusal for this reason.
func one(reason func(*emulator.JWTUses) *int) emulator.JWTUses {
	u := emulator.JWTUses{Refused: 1}
	*reason(&u) = 1
	return u
}

var (
	malformed     = one(func(u *emulator.JWTUses) *int { return &u.Malformed })
	unknownIssuer = one(func(u *emulator.JWTUses) *int { return &u.UnknownIssuer })
	wrongAlg      = one(func(u *emulator.JWTUses) *int { return &u.WrongAlgorithm })
	unknownKey    = one(func(u *emulator.JWTUses) *int { return &u.UnknownKey })
	noKeySet      = one(func(u *emulator.JWTUses) *int { return &u.NoKeySet })
	badSignature  = one(func(u *emulator.JWTUses) *int { return &u.BadSignature })
	expired       = one(func(u *emulator.JWTUses) *int { return &u.UsedExpired })
	notYetValid   = one(func(u *emulator.JWTUses) *int { return &u.NotYetValid })
	wrongClaims   = one(func(u *emulator.JWTUses) *int { return &u.WrongClaims })
)

// expectRefused tries a JWT at both operations: 401 in the Pay API's form, counted for its reason, and without effect.
func expectRefused(t *testing.T, name string, serve func() (*gini, header), want emulator.JWTUses) {
	t.Helper()
	for _, request := range [][2]string{{"POST", "/login"}, {"GET", "/documents"}} {
		g, credential := serve()
		before := g.Ledger()
		r := g.do(request[0], request[1], "", credential, accept(payAccept))
		if r.status != 401 || r.text("message") == "" || r.text("requestId") != r.header.Get("X-Request-Id") || r.header.Get("Content-Type") != payAccept {
			t.Errorf("%s at %s: status %d: %s", name, request[1], r.status, r.body)
		}
		l := g.Ledger()
		if got := difference(t, before.JWTUses, l.JWTUses); got != want {
			t.Errorf("%s at %s: counted %+v, want %+v", name, request[1], got, want)
		}
		g.equal("derived users", l.DerivedUsers, before.DerivedUsers)
		for part := range strings.SplitSeq(strings.TrimPrefix(credential.value, "Bearer "), ".") {
			if len(part) > 5 && strings.Contains(r.body, part) {
				t.Errorf("%s: the answer has a part of the JWT", name)
			}
		}
	}
}

// difference is what was counted meanwhile.
func difference(t *testing.T, before, after emulator.JWTUses) (d emulator.JWTUses) {
	t.Helper()
	var was, is map[string]int
	for _, u := range []struct {
		uses emulator.JWTUses
		into *map[string]int
	}{{before, &was}, {after, &is}} {
		if err := json.Unmarshal([]byte(toJSON(t, u.uses)), u.into); err != nil {
			t.Fatal(err)
		}
	}
	for name := range is {
		is[name] -= was[name]
	}
	if err := json.Unmarshal([]byte(toJSON(t, is)), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestJWTRefused(t *testing.T) {
	s, other := rsaSigner("k1", "RS256"), signer{"k1", "RS256", "sig", rsaKeys[1]()}
	ec, enc := ecSigner(t, "ec", "ES256"), signer{"enc", "RS256", "enc", rsaKeys[0]()}
	free := signer{"free", "", "", rsaKeys[0]()} // published without alg
	small := signer{"small", "RS256", "sig", rsaKey(1024)()}
	ecFree := signer{"ec-free", "", "", ec.key}
	strangers := signer{"beta-1", "RS256", "sig", rsaKeys[1]()}

	g, p := startedWithJWT(t, s, emulator.JWT{})
	p.publish(s, ec, enc, free, small, ecFree, signer{"", "RS256", "sig", s.key})
	betas := newProvider(t)
	betas.publish(strangers)
	g.SetJWT(beta, emulator.JWT{Issuer: "https://beta.example", JWKSURL: betas.url})
	g.expect(200, g.jwtDocuments(g.signed(s, g.good()))) // what all of these differ from

	good := g.good()
	ofBeta := but(but(good, "iss", "https://beta.example"), "x-client-id", beta)
	g.expect(200, g.jwtDocuments(g.signed(strangers, ofBeta)))

	head := func(alg, kid string) map[string]any { return map[string]any{"alg": alg, "kid": kid} }
	rs256, rs512, ps256, es256 := jwt.SigningMethodRS256, jwt.SigningMethodRS512, jwt.SigningMethodPS256, jwt.SigningMethodES256
	hmac := func(key []byte) string { return g.forged(head("HS256", "k1"), good, jwt.SigningMethodHS256, key) }
	pkix, err := x509.MarshalPKIXPublicKey(s.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	genuine := g.signed(s, good)
	parts := strings.Split(genuine, ".")
	encoded := func(v any) string { return base64.RawURLEncoding.EncodeToString([]byte(toJSON(t, v))) }

	for name, tc := range map[string]struct {
		jwt  string
		want emulator.JWTUses
	}{
		"none":                             {g.forged(head("none", "k1"), good, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType), wrongAlg},
		"none, with a right signature":     {g.forged(head("none", "k1"), good, rs256, s.key), wrongAlg},
		"None":                             {encoded(head("None", "k1")) + "." + parts[1] + ".", wrongAlg},
		"no alg":                           {encoded(map[string]any{"kid": "k1"}) + "." + parts[1] + "." + parts[2], wrongAlg},
		"HMAC":                             {hmac([]byte("guessed")), wrongAlg},
		"HMAC by the public key's PEM":     {hmac(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pkix})), wrongAlg},
		"HMAC by the public key's JWK":     {hmac([]byte(toJSON(t, s.public()))), wrongAlg},
		"EdDSA":                            {encoded(head("EdDSA", "k1")) + "." + parts[1] + "." + parts[2], wrongAlg},
		"no kid":                           {g.forged(map[string]any{"alg": "RS256"}, good, rs256, s.key), unknownKey},
		"kid of another type":              {g.forged(map[string]any{"alg": "RS256", "kid": 1}, good, rs256, s.key), unknownKey},
		"unknown kid":                      {g.forged(head("RS256", "k2"), good, rs256, s.key), unknownKey},
		"kid of another issuer's set":      {g.signed(strangers, good), unknownKey},
		"another issuer's client, our key": {g.signed(s, ofBeta), unknownKey},
		"RS512 with a JWK for RS256":       {g.forged(head("RS512", "k1"), good, rs512, s.key), wrongAlg},
		"PS256 with a JWK for RS256":       {g.forged(head("PS256", "k1"), good, ps256, s.key), wrongAlg},
		"RS256 with an EC key":             {g.forged(head("RS256", "ec-free"), good, rs256, s.key), wrongAlg},
		"ES256 with an RSA key":            {g.forged(head("ES256", "free"), good, es256, ec.key), wrongAlg},
		"ES384 with a P-256 key":           {g.forged(head("ES384", "ec-free"), good, es256, ec.key), wrongAlg},
		"a key for encryption":             {g.signed(enc, good), wrongAlg},
		"a key of 1024 bits":               {g.signed(small, good), wrongAlg},
		"another key, right kid":           {g.signed(other, good), badSignature},
		"PS256 as RS256":                   {g.forged(head("RS256", "free"), good, ps256, s.key), badSignature},
		"another's claims":                 {parts[0] + "." + encoded(but(good, "x-user-identifier", "bob")) + "." + parts[2], badSignature},
		"another header":                   {encoded(map[string]any{"alg": "RS256", "kid": "k1", "x": 1}) + "." + parts[1] + "." + parts[2], badSignature},
		"no signature":                     {parts[0] + "." + parts[1] + ".", badSignature},
		"expired, and another key":         {g.signed(other, but(good, "exp", start.Add(-time.Hour).Unix())), badSignature},
		"expired this instant":             {g.signed(s, but(good, "exp", start.Unix())), expired},
		"expired":                          {g.signed(s, but(good, "exp", start.Add(-time.Hour).Unix())), expired},
		"no exp":                           {g.signed(s, but(good, "exp", nil)), wrongClaims},
		"exp of another type":              {g.signed(s, but(good, "exp", "2099-01-01")), wrongClaims},
		"iat in the future":                {g.signed(s, but(good, "iat", start.Add(time.Second).Unix())), notYetValid},
		"nbf in the future":                {g.signed(s, but(good, "nbf", start.Add(time.Second).Unix())), notYetValid},
		"wrong iss":                        {g.signed(s, but(good, "iss", issuer+"/")), unknownIssuer},
		"no iss":                           {g.signed(s, but(good, "iss", nil)), unknownIssuer},
		"empty iss":                        {g.signed(s, but(good, "iss", "")), unknownIssuer},
		"iss of another type":              {g.signed(s, but(good, "iss", []string{issuer})), unknownIssuer},
		"another client's id":              {g.signed(s, but(good, "x-client-id", beta)), wrongClaims},
		"an unknown client's id":           {g.signed(s, but(good, "x-client-id", "nobody")), wrongClaims},
		"no client id":                     {g.signed(s, but(good, "x-client-id", nil)), wrongClaims},
		"wrong secret":                     {g.signed(s, but(good, "x-client-secret", "wrong")), wrongClaims},
		"another client's secret":          {g.signed(s, but(good, "x-client-secret", "beta-s3cret")), wrongClaims},
		"empty secret":                     {g.signed(s, but(good, "x-client-secret", "")), wrongClaims},
		"secret of another type":           {g.signed(s, but(good, "x-client-secret", map[string]any{})), wrongClaims},
		"no identifier":                    {g.signed(s, but(good, "x-user-identifier", nil)), wrongClaims},
		"empty identifier":                 {g.signed(s, but(good, "x-user-identifier", "")), wrongClaims},
		"identifier of another type":       {g.signed(s, but(good, "x-user-identifier", 7)), wrongClaims},
		"garbage":                          {"garbage", malformed},
		"garbage in three parts":           {"a.b.c", malformed},
		"nothing":                          {"", malformed},
		"two parts":                        {parts[0] + "." + parts[1], malformed},
		"four parts":                       {genuine + "." + parts[2], malformed},
		"header without claims":            {parts[0] + ".." + parts[2], malformed},
		"claims that are null":             {parts[0] + "." + encoded(nil) + "." + parts[2], malformed},
		"claims that are a list":           {parts[0] + "." + encoded([]int{1}) + "." + parts[2], malformed},
		"signature that is not Base64":     {parts[0] + "." + parts[1] + ".*", malformed},
		"padded":                           {genuine + "==", malformed},
		"oversized":                        {g.signed(s, but(good, "more", strings.Repeat("x", 8<<10))), malformed},
		"crit":                             {g.forged(map[string]any{"alg": "RS256", "kid": "k1", "crit": []string{"exp"}}, good, rs256, s.key), malformed},
	} {
		expectRefused(t, name, func() (*gini, header) { return g, jwtHeader(tc.jwt) }, tc.want)
	}
	for _, value := range []string{genuine, "Basic " + genuine, "Bearer" + genuine, "Bearer"} {
		expectRefused(t, "scheme", func() (*gini, header) { return g, header{"X-JWT-Authorization", value} }, malformed)
	}
	g.expect(200, g.jwtDocuments(genuine))
	g.equal("fetches", []int{p.fetches(), betas.fetches()}, []int{1, 1})
}

// TestTwoJWTs: which one would count is anybody's guess.
func TestTwoJWTs(t *testing.T) {
	s := rsaSigner("k1", "RS256")
	g, _ := startedWithJWT(t, s, emulator.JWT{})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/documents", nil)
	r.Header["X-Jwt-Authorization"] = []string{"Bearer " + g.signed(s, g.good()), "Bearer " + g.signed(s, g.good())}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	g.equal("status", w.Code, 401)
	g.equal("uses", g.Ledger().JWTUses, malformed)
}

// TestJWKSetRefused: what the JWK Set's server may answer.
func TestJWKSetRefused(t *testing.T) {
	s := rsaSigner("k1", "RS256")
	good := keySet(t, s)
	with := func(more any) string { return `{"keys":[` + toJSON(t, s.public()) + "," + toJSON(t, more) + `]}` }
	private := jose.JSONWebKey{Key: ecSigner(t, "k2", "ES256").key, KeyID: "k2"}
	for name, tc := range map[string]struct {
		status int
		body   string
		header map[string]string
		want   emulator.JWTUses
	}{
		"as it should be":                  {200, good, nil, emulator.JWTUses{Accepted: 1}},
		"a kind of the future":             {200, with(map[string]any{"kty": "new", "kid": "k9"}), nil, emulator.JWTUses{Accepted: 1}},
		"just small enough":                {200, good + strings.Repeat(" ", 256<<10-len(good)), nil, emulator.JWTUses{Accepted: 1}},
		"too large":                        {200, good + strings.Repeat(" ", 256<<10-len(good)+1), nil, noKeySet},
		"500":                              {500, good, nil, noKeySet},
		"404":                              {404, good, nil, noKeySet},
		"201":                              {201, good, nil, noKeySet},
		"a redirect":                       {302, "", map[string]string{"Location": "/elsewhere.json"}, noKeySet},
		"a redirect with set":              {307, good, map[string]string{"Location": "/elsewhere.json"}, noKeySet},
		"a page":                           {200, "<html></html>", nil, noKeySet},
		"no keys":                          {200, "{}", nil, noKeySet},
		"an empty set":                     {200, `{"keys":[]}`, nil, unknownKey},
		"cut":                              {200, good[:len(good)-2], nil, noKeySet},
		"something behind":                 {200, good + good, nil, noKeySet},
		"a key that is null":               {200, with(nil), nil, noKeySet},
		"a broken key":                     {200, with(map[string]any{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}), nil, noKeySet},
		"a private key":                    {200, with(private), nil, noKeySet},
		"its own private key":              {200, `{"keys":[` + toJSON(t, jose.JSONWebKey{Key: s.key, KeyID: "k1"}) + `]}`, nil, noKeySet},
		"a symmetric key":                  {200, with(jose.JSONWebKey{Key: []byte("secret"), KeyID: "k2"}), nil, noKeySet},
		"oct without k":                    {200, with(map[string]any{"kty": "oct", "kid": "k2"}), nil, noKeySet},
		"private, of a kind of the future": {200, with(map[string]any{"kty": "new", "d": "AA"}), nil, noKeySet},
	} {
		fresh := func() (*gini, header) {
			g, p := startedWithJWT(t, s, emulator.JWT{})
			p.answer(tc.status, tc.body, tc.header)
			return g, jwtHeader(g.signed(s, g.good()))
		}
		if tc.want.Accepted == 0 {
			expectRefused(t, name, fresh, tc.want)
			continue
		}
		g, credential := fresh()
		if r := g.do("GET", "/documents", "", credential); r.status != 200 {
			t.Errorf("%s: status %d: %s", name, r.status, r.body)
		}
	}
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	expectRefused(t, "nobody there", func() (*gini, header) {
		g, _ := startedWithJWT(t, s, emulator.JWT{})
		g.SetJWT(acme, emulator.JWT{Issuer: issuer, JWKSURL: closed.URL})
		return g, jwtHeader(g.signed(s, g.good()))
	}, noKeySet)
}
