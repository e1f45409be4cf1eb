package main

import (
	"bytes"
	"encoding/pem"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// certificatesModule is where the authorities come from: Mozilla's list, as a Go module with a checksum. To follow that list, raise its version.
const certificatesModule = "golang.org/x/crypto/x509roots/fallback"

// certificates are the authorities that programs trust, in PEM. Those of which Mozilla trusts only what they issued before some day are left out,
// since a file cannot say so.
func certificates() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a Buffer takes everything
		}
	}
	return out.Bytes()
}
