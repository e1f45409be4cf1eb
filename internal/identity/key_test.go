package identity_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/gini-operator/gini-operator/internal/identity"
)

func TestGeneratedKeysFitTheirAlgorithm(t *testing.T) {
	for _, algorithm := range algorithms {
		key, err := identity.GenerateKey(algorithm)
		if err != nil {
			t.Fatalf("%s: %v", algorithm, err)
		}
		again, err := identity.ParseKey(key.PEM(), algorithm)
		if err != nil || again.ID() != key.ID() || again.Public() != key.Public() || !bytes.Equal(again.PEM(), key.PEM()) {
			t.Errorf("%s: the key is not read as it was written: %v", algorithm, err)
		}
		if key.Algorithm() != algorithm || key.Public().Algorithm != algorithm || key.Public().ID != key.ID() {
			t.Errorf("%s: the key is for %s", algorithm, key.Algorithm())
		}
		decoded, _ := pem.Decode(key.PEM())
		parsed, err := x509.ParsePKCS8PrivateKey(decoded.Bytes)
		if err != nil || decoded.Type != "PRIVATE KEY" {
			t.Fatalf("%s: %s: %v", algorithm, decoded.Type, err)
		}
		if key, isRSA := parsed.(*rsa.PrivateKey); isRSA && key.N.BitLen() != 2048 {
			t.Errorf("%s: %d bits", algorithm, key.N.BitLen())
		}
		if other := must(identity.GenerateKey(algorithm)); other.ID() == key.ID() {
			t.Errorf("%s: the same key twice", algorithm)
		}
	}
	for _, unknown := range []identity.Algorithm{"", "none", "HS256", "ES512", "rs256"} {
		if _, err := identity.GenerateKey(unknown); err == nil || unknown.Known() {
			t.Errorf("%q is an algorithm", unknown)
		}
	}
}

func TestPEMIsACopy(t *testing.T) {
	key := fresh()
	clear(key.PEM())
	if _, err := identity.ParseKey(key.PEM(), identity.ES256); err != nil {
		t.Errorf("who changes what PEM gave changes the key: %v", err)
	}
}

// TestKeysAreReadInEachForm: whatever tool made them, and whatever it wrote around them.
func TestKeysAreReadInEachForm(t *testing.T) {
	sec1 := block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(p256())))
	sec1P384 := block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(p384())))
	parameters := block("EC PARAMETERS", must(asn1.Marshal(asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7})))
	certificate := block("CERTIFICATE", []byte("anything"))
	longer := must(rsa.GenerateKey(rand.Reader, 3072))
	for _, c := range []struct {
		name      string
		encoded   []byte
		algorithm identity.Algorithm
	}{
		{"PKCS#1", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey())), identity.RS256},
		{"PKCS#1 for PSS", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey())), identity.PS256},
		{"PKCS#8 of RSA", pkcs8(rsaKey()), identity.RS512},
		{"3072 bits", pkcs8(longer), identity.RS384},
		{"PKCS#8 of P-256", pkcs8(p256()), identity.ES256},
		{"PKCS#8 of P-384", pkcs8(p384()), identity.ES384},
		{"SEC 1", sec1, identity.ES256},
		{"SEC 1 on P-384", sec1P384, identity.ES384},
		{"openssl ecparam -genkey", join(parameters, sec1), identity.ES256},
		{"text before and after", join([]byte("Bag Attributes\n    friendlyName: x\n"), pkcs8(p256()), []byte("thanks\n")), identity.ES256},
		{"a certificate before", join(certificate, pkcs8(p256())), identity.ES256},
		{"certificates after", join(pkcs8(p256()), certificate, certificate), identity.ES256},
		{"line ends of Windows", bytes.ReplaceAll(pkcs8(p256()), []byte("\n"), []byte("\r\n")), identity.ES256},
		{"a byte-order mark before", join([]byte("\ufeff"), pkcs8(p256())), identity.ES256},
		{"indented", bytes.ReplaceAll(pkcs8(p256()), []byte("\n"), []byte("\n  ")), identity.ES256},
		{"no newline at the end", bytes.TrimSpace(pkcs8(p256())), identity.ES256},
		{"mislabelled", bytes.ReplaceAll(pkcs8(rsaKey()), []byte("PRIVATE"), []byte("RSA PRIVATE")), identity.RS256},
	} {
		key, err := identity.ParseKey(c.encoded, c.algorithm)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if key.Algorithm() != c.algorithm {
			t.Errorf("%s: read as a key for %s", c.name, key.Algorithm())
		}
	}
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestUnusableKeysAreRefused(t *testing.T) {
	good := numbers(rsaKey())
	with := func(at int, number *big.Int) []byte {
		changed := append([]*big.Int(nil), good...)
		changed[at] = number
		return block("RSA PRIVATE KEY", pkcs1(0, changed...))
	}
	plus := func(at int) []byte { return with(at, new(big.Int).Add(good[at], big.NewInt(2))) }
	bits := func(bits uint) []byte { return with(0, new(big.Int).SetBit(big.NewInt(1), int(bits)-1, 1)) }
	_, edwards, _ := ed25519.GenerateKey(rand.Reader)
	p521 := must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	weak := must(rsa.GenerateKey(rand.Reader, 2047))
	public := must(x509.MarshalPKIXPublicKey(&rsaKey().PublicKey))
	encrypted := pem.EncodeToMemory(&pem.Block{
		Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte("s3cr3t"),
	})
	many := bytes.Repeat(block("CERTIFICATE", []byte("x")), 16)
	for _, c := range []struct {
		name      string
		encoded   []byte
		algorithm identity.Algorithm
		problem   identity.Problem
	}{
		{"nothing", nil, identity.RS256, identity.KeyNotPEM},
		{"text", []byte("s3cr3t"), identity.RS256, identity.KeyNotPEM},
		{"DER", x509.MarshalPKCS1PrivateKey(rsaKey()), identity.RS256, identity.KeyNotPEM},
		{"cut off", pkcs8(rsaKey())[:800], identity.RS256, identity.KeyNotPEM},
		{"too large", join(pkcs8(rsaKey()), make([]byte, 16<<10)), identity.RS256, identity.KeyTooLarge},
		{"too many blocks", join(many, pkcs8(rsaKey())), identity.RS256, identity.KeyNotPrivate},
		{"a public key", block("PUBLIC KEY", public), identity.RS256, identity.KeyNotPrivate},
		{"a public key of PKCS#1", block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey)), identity.RS256, identity.KeyNotPrivate},
		{"certificates", many, identity.RS256, identity.KeyNotPrivate},
		{"a passphrase", block("ENCRYPTED PRIVATE KEY", []byte("s3cr3t")), identity.RS256, identity.KeyEncrypted},
		{"a passphrase, the old way", encrypted, identity.RS256, identity.KeyEncrypted},
		{"OpenSSH", block("OPENSSH PRIVATE KEY", []byte("openssh-key-v1\x00s3cr3t")), identity.RS256, identity.KeyOpenSSH},
		{"garbage", block("PRIVATE KEY", []byte("s3cr3t")), identity.RS256, identity.KeyMalformed},
		{"an empty block", block("EC PRIVATE KEY", nil), identity.ES256, identity.KeyMalformed},
		{"a private key that is public", block("PRIVATE KEY", public), identity.RS256, identity.KeyMalformed},
		{"Ed25519", pkcs8(edwards), identity.ES256, identity.KeyWrongType},
		{"P-521", pkcs8(p521), identity.ES384, identity.KeyWrongType},
		{"P-384 for ES256", pkcs8(p384()), identity.ES256, identity.KeyWrongType},
		{"P-256 for ES384", pkcs8(p256()), identity.ES384, identity.KeyWrongType},
		{"EC for RS256", pkcs8(p256()), identity.RS256, identity.KeyWrongType},
		{"EC for PS256", pkcs8(p256()), identity.PS256, identity.KeyWrongType},
		{"RSA for ES256", pkcs8(rsaKey()), identity.ES256, identity.KeyWrongType},
		{"an unknown algorithm", pkcs8(rsaKey()), "none", identity.KeyWrongType},
		{"2047 bits", pkcs8(weak), identity.RS256, identity.KeyTooWeak},
		{"8192 bits of nonsense", bits(8192), identity.RS256, identity.KeyMalformed},
		{"8193 bits", bits(8193), identity.RS256, identity.KeyTooLong},
		{"80000 bits", bits(80000), identity.RS256, identity.KeyTooLong},
		{"a negative modulus", with(0, new(big.Int).Neg(good[0])), identity.RS256, identity.KeyMalformed},
		{"another modulus", plus(0), identity.RS256, identity.KeyMalformed},
		{"another public exponent", plus(1), identity.RS256, identity.KeyMalformed},
		{"a huge public exponent", with(1, new(big.Int).Lsh(big.NewInt(1), 2000)), identity.RS256, identity.KeyMalformed},
		{"a public exponent of 1", with(1, big.NewInt(1)), identity.RS256, identity.KeyMalformed},
		{"another private exponent", plus(2), identity.RS256, identity.KeyMalformed},
		{"a huge private exponent", with(2, new(big.Int).Lsh(good[2], 60000)), identity.RS256, identity.KeyMalformed},
		{"no private exponent", with(2, new(big.Int)), identity.RS256, identity.KeyMalformed},
		{"another prime", plus(3), identity.RS256, identity.KeyMalformed},
		{"another coefficient", plus(7), identity.RS256, identity.KeyMalformed},
		{"three primes", block("RSA PRIVATE KEY", pkcs1(1, good...)), identity.RS256, identity.KeyMalformed},
		{"an even prime", block("RSA PRIVATE KEY", evenPrime(t)), identity.RS256, identity.KeyMalformed},
	} {
		key, err := identity.ParseKey(c.encoded, c.algorithm)
		var problem *identity.KeyError
		if !errors.As(err, &problem) || problem.Problem != c.problem || key != nil {
			t.Errorf("%s: %v, want %s", c.name, err, c.problem)
			continue
		}
		if text := problem.Error(); text == "" || strings.Contains(text, "s3cr3t") || strings.Contains(text, "\n") || !strings.Contains(text, ": ") {
			t.Errorf("%s: the text %q does not say what to do", c.name, text)
		}
	}
}

// evenPrime is a key whose primes' product is the modulus but for a factor of two, with all else in accordance: crypto/x509
// takes it, and then panics as it signs.
func evenPrime(t *testing.T) []byte {
	t.Helper()
	one, e := big.NewInt(1), big.NewInt(65537)
	for range 200 {
		a, b := must(rand.Prime(rand.Reader, 1024)), must(rand.Prime(rand.Reader, 1024))
		p := new(big.Int).Lsh(a, 1)
		n := new(big.Int).Mul(a, b)
		p1, q1 := new(big.Int).Sub(p, one), new(big.Int).Sub(b, one)
		if n.BitLen() != 2048 {
			continue
		}
		dp, dq := new(big.Int).ModInverse(e, p1), new(big.Int).ModInverse(e, q1)
		inverse, coefficient := new(big.Int).ModInverse(p1, q1), new(big.Int).ModInverse(b, p)
		if dp == nil || dq == nil || inverse == nil || coefficient == nil {
			continue
		}
		// The one number that is dp modulo p-1 and dq modulo q-1.
		d := new(big.Int).Sub(dq, dp)
		d.Mul(d, inverse).Mod(d, q1).Mul(d, p1).Add(d, dp)
		if d.Cmp(n) >= 0 {
			continue
		}
		return pkcs1(0, n, e, d, p, b, dp, dq, coefficient)
	}
	t.Fatal("no such key was found")
	return nil
}

func TestKeysAreNeverPrinted(t *testing.T) {
	for _, algorithm := range []identity.Algorithm{identity.RS256, identity.ES256} {
		key := keyFor(algorithm)
		body := strings.Split(string(key.PEM()), "\n")[2]
		der, _ := base64.StdEncoding.DecodeString(body)
		scalar := p256().D //nolint:staticcheck // the number that must not be seen
		if algorithm == identity.RS256 {
			scalar = rsaKey().D
		}
		type holder struct {
			Public string
			Key    *identity.Key
			Ring   identity.Ring
			key    *identity.Key
			plain  identity.Key
		}
		held := holder{Public: "p", Key: key, key: key, plain: *key, Ring: identity.Ring{Keys: []identity.RingKey{{Public: key.Public(), Private: key}}}}
		subjects := []any{
			key, *key, held, &held, []*identity.Key{key}, map[string]*identity.Key{"k": key}, held.Ring, identity.Signer{Key: key}, key.MarshalLog(),
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			for _, subject := range subjects {
				printed := fmt.Sprintf(verb, subject)
				for _, private := range []string{body, scalar.String(), fmt.Sprintf("%x", scalar), fmt.Sprintf("%x", der), strings.Trim(fmt.Sprintf("%d", der), "[]")} {
					if strings.Contains(strings.ToLower(printed), strings.ToLower(private)) {
						t.Fatalf("%s of %T prints the key", verb, subject)
					}
				}
			}
		}
		if printed := fmt.Sprintf("%v %+v", key, *key); printed != "[redacted] [redacted]" {
			t.Errorf("printed as %s", printed)
		}
		encoded, err := json.Marshal(map[string]any{"a": held, "b": key, "c": map[string]identity.Key{"k": *key}})
		if err != nil || strings.Contains(string(encoded), body) || !strings.Contains(string(encoded), `"b":"[redacted]"`) {
			t.Errorf("json.Marshal: %v", err)
		}
		if text, err := key.MarshalText(); err != nil || string(text) != "[redacted]" {
			t.Errorf("MarshalText: %v", err)
		}
	}
}
