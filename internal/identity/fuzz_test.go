package identity_test

import (
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gini-operator/gini-operator/internal/identity"
)

// fixedKeys are the forms of keys for seeds. They are made anew each time: only their form matters.
func fixedKeys() [][]byte {
	return [][]byte{
		pkcs8(p256()), pkcs8(p384()), pkcs8(rsaKey()),
		block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(p256()))),
		block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey())),
		block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(&p256().PublicKey))),
		block("ENCRYPTED PRIVATE KEY", []byte("x")), block("OPENSSH PRIVATE KEY", []byte("x")),
		block("PRIVATE KEY", []byte{0x30, 0x80, 0, 0}), pkcs8(p256())[:80],
		[]byte(strings.Repeat("-----BEGIN PRIVATE KEY-----\n", 500)), []byte(strings.Repeat("-----BEGIN ", 1400)), nil,
	}
}

func FuzzParseKey(f *testing.F) {
	for i, encoded := range fixedKeys() {
		f.Add(encoded, string(algorithms[i%len(algorithms)]))
		f.Add(encoded, "ES256")
	}
	f.Fuzz(func(t *testing.T, encoded []byte, algorithm string) {
		key, err := identity.ParseKey(encoded, identity.Algorithm(algorithm))
		var problem *identity.KeyError
		if err != nil {
			if !errors.As(err, &problem) || problem.Error() == "" || key != nil {
				t.Fatalf("%v", err)
			}
			return
		}
		again, err := identity.ParseKey(key.PEM(), key.Algorithm())
		if err != nil || again.Public() != key.Public() {
			t.Fatalf("not read as written: %v", err)
		}
		// It may fail, where primes are none, but must not panic.
		signer := identity.Signer{Issuer: issuer, Key: key}
		_, _ = signer.Sign(alice, noon)
	})
}

func FuzzParsePublicKey(f *testing.F) {
	for _, algorithm := range algorithms {
		f.Add(keyFor(algorithm).Public().JSON())
	}
	f.Add(`{"kty":"RSA","n":"AQAB","e":"AQAB","d":"AQAB"}`)
	f.Add(`{"kty":"oct","k":"AQAB"}`)
	f.Add(`{"keys":[]}`)
	f.Fuzz(func(t *testing.T, text string) {
		key, err := identity.ParsePublicKey(text)
		if err != nil {
			return
		}
		again, err := identity.ParsePublicKey(key.JSON())
		if err != nil || again != key || !key.Algorithm.Known() {
			t.Fatalf("not read as written: %v", err)
		}
		noPrivateMember(t, identity.Set([]identity.PublicKey{key}))
	})
}

func FuzzDecodeRing(f *testing.F) {
	data := must(full().Encode())
	f.Add(data[identity.DataSigningKey], data[identity.DataNextKey], data[identity.DataRecords])
	f.Add(data[identity.DataNextKey], data[identity.DataNextKey], data[identity.DataRecords])
	f.Add(data[identity.DataSigningKey], []byte("x"), []byte(`{"keys":[{},{"stage":"Retired"},1,null]}`))
	for _, encoded := range fixedKeys() {
		f.Add(encoded, encoded, data[identity.DataRecords])
	}
	f.Fuzz(func(t *testing.T, signing, next, records []byte) {
		ring, err := identity.DecodeRing(map[string][]byte{
			identity.DataSigningKey: signing, identity.DataNextKey: next, identity.DataRecords: records,
		}, "")
		if err != nil {
			return
		}
		written, err := ring.Encode()
		if err != nil {
			t.Fatal(err)
		}
		noPrivateMember(t, written[identity.DataRecords])
		sameData(t, written, must(must(identity.DecodeRing(written, "")).Encode()))

		policy := identity.Policy{Algorithm: identity.ES256}
		advanced, _, at := advance(t, ring, policy, noon)
		if !at.After(noon) || len(advanced.Keys) > 8 {
			t.Fatalf("%d keys, due at %s", len(advanced.Keys), at)
		}
		ids := map[string]bool{}
		for _, key := range advanced.Published() {
			ids[key.ID] = true
		}
		if len(ids) != len(advanced.Keys) || !slices.Contains(advanced.Published(), ring.Keys[0].Public) {
			t.Fatalf("%+v", advanced.Keys)
		}
		must(advanced.Encode())
	})
}
