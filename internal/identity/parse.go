package identity

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"strings"
	"unicode"
)

const (
	// maxKeySize is far more than an RSA key of 8192 bits takes, and little enough for the PEM and DER parsers, whose time grows
	// with the square of what they are given.
	maxKeySize = 16 << 10
	// maxBlocks is how many PEM blocks are looked at for a private key.
	maxBlocks = 16

	minModulusBits = 2048
	maxModulusBits = 8192

	pkcs8Block = "PRIVATE KEY"
)

// ParseKey reads a private key in PEM: PKCS#1, PKCS#8 or SEC 1. What stands before and after it is ignored. The text may
// be anybody's: it is bounded before it is parsed, and an RSA key before it is calculated with. Errors are a *KeyError.
func ParseKey(encoded []byte, algorithm Algorithm) (*Key, error) {
	if !algorithm.Known() {
		return nil, &KeyError{Problem: KeyWrongType, Algorithm: algorithm}
	}
	signer, problem := parsePrivate(encoded)
	if problem != "" {
		return nil, &KeyError{Problem: problem, Algorithm: algorithm}
	}
	return newKey(signer, algorithm)
}

// parsePrivate reads a private key for whatever algorithm. The problem is "" where there is none.
func parsePrivate(encoded []byte) (crypto.Signer, Problem) {
	if len(encoded) > maxKeySize {
		return nil, KeyTooLarge
	}
	encoded = trimmed(encoded)
	found := KeyNotPEM
	for range maxBlocks {
		block, rest := pem.Decode(encoded)
		if block == nil {
			break
		}
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY", strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			return nil, KeyEncrypted
		case block.Type == "OPENSSH PRIVATE KEY":
			return nil, KeyOpenSSH
		case strings.HasSuffix(block.Type, pkcs8Block):
			return parseDER(block.Bytes)
		}
		found, encoded = KeyNotPrivate, rest
	}
	return nil, found
}

// trimmed takes off what editors leave around lines, which encoding/pem passes over with the block: indents, and byte-order marks.
func trimmed(encoded []byte) []byte {
	lines := bytes.Split(encoded, []byte("\n"))
	for i := range lines {
		lines[i] = bytes.TrimFunc(lines[i], func(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) })
	}
	return bytes.Join(lines, []byte("\n"))
}

// The beginnings of the three forms, as far as they tell them apart. What follows is ignored here.
type (
	pkcs8 struct {
		Version   int
		Algorithm struct {
			Name       asn1.ObjectIdentifier
			Parameters asn1.RawValue `asn1:"optional"`
		}
		Key []byte
	}
	pkcs1 struct {
		Version       int
		N, E, D, P, Q *big.Int
	}
	sec1 struct {
		Version int
		Key     []byte
	}
)

var (
	oidRSA = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidEC  = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
)

// parseDER goes by what stands in the block, and not by what its first line says: tools mislabel keys.
func parseDER(der []byte) (crypto.Signer, Problem) {
	var wrapped pkcs8
	if _, err := asn1.Unmarshal(der, &wrapped); err == nil {
		switch {
		case wrapped.Algorithm.Name.Equal(oidRSA):
			return parseRSA(wrapped.Key)
		case !wrapped.Algorithm.Name.Equal(oidEC):
			return nil, KeyWrongType
		}
		parsed, err := x509.ParsePKCS8PrivateKey(der)
		return usable(parsed, err)
	}
	if _, err := asn1.Unmarshal(der, &sec1{}); err == nil {
		parsed, err := x509.ParseECPrivateKey(der)
		return usable(parsed, err)
	}
	return parseRSA(der)
}

// parseRSA looks at how long the numbers are before anything is calculated with them, which takes time for long ones. That
// the primes' product is the modulus is checked here too: crypto/rsa is content where it is so modulo the modulus, which
// even primes can satisfy, and those make it panic later.
func parseRSA(der []byte) (crypto.Signer, Problem) {
	var numbers pkcs1
	if _, err := asn1.Unmarshal(der, &numbers); err != nil || numbers.Version != 0 || numbers.N.Sign() <= 0 {
		return nil, KeyMalformed
	}
	bits := numbers.N.BitLen()
	switch {
	case bits < minModulusBits:
		return nil, KeyTooWeak
	case bits > maxModulusBits:
		return nil, KeyTooLong
	}
	for _, number := range []*big.Int{numbers.E, numbers.D, numbers.P, numbers.Q} {
		if number.Sign() <= 0 || number.BitLen() > bits {
			return nil, KeyMalformed
		}
	}
	if new(big.Int).Mul(numbers.P, numbers.Q).Cmp(numbers.N) != 0 {
		return nil, KeyMalformed
	}
	parsed, err := x509.ParsePKCS1PrivateKey(der)
	return usable(parsed, err)
}

func usable(parsed any, err error) (crypto.Signer, Problem) {
	if err != nil {
		return nil, KeyMalformed
	}
	signer, signs := parsed.(crypto.Signer)
	if !signs {
		return nil, KeyWrongType
	}
	return signer, ""
}
