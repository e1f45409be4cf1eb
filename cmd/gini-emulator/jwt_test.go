package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// TestJWT: the flags reach the emulator.
func TestJWT(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sets := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1"}}})
	}))
	defer sets.Close()
	addresses, out, stop := serving(t, 1, "--client", "acme:s3cret", "--jwt", "acme=https://id.example/?a=b,"+sets.URL+"/a,b",
		"--jwt-audience", "gini", "--jwt-leeway", "1h", "--jwks-cache", "1h")
	documents := func(audience string) int {
		// Expired, but not by more than the leeway.
		made := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": "https://id.example/?a=b", "aud": audience, "x-client-id": "acme",
			"x-user-identifier": "alice", "exp": time.Now().Add(-time.Minute).Unix()})
		made.Header["kid"] = "k1"
		signed, err := made.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addresses[0]+"/documents", nil)
		req.Header.Set("X-JWT-Authorization", "Bearer "+signed)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode
	}
	for _, want := range []struct {
		audience string
		status   int
	}{{"gini", 200}, {"other", 401}, {"gini", 200}} {
		if got := documents(want.audience); got != want.status {
			t.Errorf("for the audience %s: status %d", want.audience, got)
		}
	}
	if l := ledger(t, "http://"+addresses[0]); !strings.Contains(l, `"jwk_set_fetches":{"acme":{"total":1,"failed":0}}`) {
		t.Errorf("not fetched once: %s", l)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if strings.Contains(out.String(), "eyJ") {
		t.Error("a JWT was logged")
	}
}
