package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
)

const redacted = "[redacted]"

// Key is a private key for one algorithm. Every way of printing it yields "[redacted]". What is private stands behind a
// func, because fmt prints unexported fields of a struct without asking the methods of their types.
type Key struct {
	public PublicKey
	reveal func() private
}

// private is what must never be printed.
type private struct {
	signer crypto.Signer
	pem    []byte
}

// GenerateKey makes a key: RSA of 2048 bits, P-256 or P-384, as the algorithm needs.
func GenerateKey(algorithm Algorithm) (*Key, error) {
	need, known := needs[algorithm]
	switch {
	case !known:
		return nil, &KeyError{Problem: KeyWrongType, Algorithm: algorithm}
	case need.curve != nil:
		signer, err := ecdsa.GenerateKey(need.curve, rand.Reader)
		if err != nil {
			return nil, err
		}
		return newKey(signer, algorithm)
	default:
		signer, err := rsa.GenerateKey(rand.Reader, minModulusBits)
		if err != nil {
			return nil, err
		}
		return newKey(signer, algorithm)
	}
}

func newKey(signer crypto.Signer, algorithm Algorithm) (*Key, error) {
	if !algorithm.fits(signer.Public()) {
		return nil, &KeyError{Problem: KeyWrongType, Algorithm: algorithm}
	}
	public, err := newPublicKey(signer.Public(), algorithm)
	if err != nil {
		return nil, &KeyError{Problem: KeyMalformed, Algorithm: algorithm}
	}
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return nil, &KeyError{Problem: KeyMalformed, Algorithm: algorithm}
	}
	hidden := private{signer: signer, pem: pem.EncodeToMemory(&pem.Block{Type: pkcs8Block, Bytes: der})}
	return &Key{public: public, reveal: func() private { return hidden }}, nil
}

// ID is the RFC 7638 thumbprint of the public half: SHA-256, in base64url.
func (k *Key) ID() string { return k.public.ID }

// Algorithm is the one that the key signs by.
func (k *Key) Algorithm() Algorithm { return k.public.Algorithm }

// Public is the half that may be published.
func (k *Key) Public() PublicKey { return k.public }

// PEM is the private key itself, in PKCS#8. Call it only where the key leaves for its Secret's data.
func (k *Key) PEM() []byte { return append([]byte(nil), k.reveal().pem...) }

// Format implements fmt.Formatter for every verb.
func (Key) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, redacted) }

// MarshalJSON implements json.Marshaler.
func (Key) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText implements encoding.TextMarshaler.
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalLog implements logr.Marshaler.
func (Key) MarshalLog() any { return redacted }
