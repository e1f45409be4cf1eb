package identity_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/identity"
)

const day = 24 * time.Hour

var (
	noon       = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	algorithms = []identity.Algorithm{identity.RS256, identity.RS384, identity.RS512, identity.ES256, identity.ES384, identity.PS256}
)

// rsaKey is made once: that takes a while.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })

var (
	p256 = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	p384 = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// native is the key that fits an algorithm, as the standard library has it.
func native(algorithm identity.Algorithm) crypto.Signer {
	switch algorithm {
	case identity.ES256:
		return p256()
	case identity.ES384:
		return p384()
	default:
		return rsaKey()
	}
}

func pkcs8(key any) []byte { return block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key))) }

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// keyFor gives the same key for an algorithm each time.
func keyFor(algorithm identity.Algorithm) *identity.Key {
	return must(identity.ParseKey(pkcs8(native(algorithm)), algorithm))
}

// fresh makes a key that is quick to make.
func fresh() *identity.Key { return must(identity.GenerateKey(identity.ES256)) }

// pkcs1 is an RSA key of any numbers.
func pkcs1(version int, numbers ...*big.Int) []byte {
	values := []any{version}
	for _, number := range numbers {
		values = append(values, number)
	}
	var content []byte
	for _, value := range values {
		content = append(content, must(asn1.Marshal(value))...)
	}
	return must(asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: content}))
}

// numbers of an RSA key, in the order of PKCS#1.
func numbers(key *rsa.PrivateKey) []*big.Int {
	return []*big.Int{
		key.N, big.NewInt(int64(key.E)), key.D, key.Primes[0], key.Primes[1], key.Precomputed.Dp, key.Precomputed.Dq, key.Precomputed.Qinv,
	}
}

// noPrivateMember looks through a document for members that only private JWKs have.
func noPrivateMember(t *testing.T, document []byte) {
	t.Helper()
	var parsed any
	if err := json.Unmarshal(document, &parsed); err != nil {
		t.Fatalf("%s: %v", document, err)
	}
	var look func(value any)
	look = func(value any) {
		switch value := value.(type) {
		case map[string]any:
			for name, member := range value {
				if slices.Contains([]string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}, name) {
					t.Errorf("there is a member %q", name)
				}
				look(member)
			}
		case []any:
			for _, element := range value {
				look(element)
			}
		}
	}
	look(parsed)
}
