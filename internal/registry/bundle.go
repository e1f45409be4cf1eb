package registry

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/problem"
)

// largestBundle bounds what is parsed as certificates.
const largestBundle = 512 << 10

// bundle is what a file of certificate authorities holds.
type bundle struct {
	// certificates are those that can be read, as PEM without anything else.
	certificates []byte
	// read is how many these are, unreadable how many blocks are damaged, and keys and others those that are no certificates.
	read, unreadable, keys, others int
	// at is where it stands, for people.
	at string
}

// whole reports whether everything in the file is a certificate that can be read.
func (b bundle) whole() bool { return b.unreadable+b.keys+b.others == 0 }

// String tells what is in it: "3 certificates, 1 block unreadable".
func (b bundle) String() string {
	parts := []string{counted(b.read, "certificate", "certificates")}
	for _, part := range []struct {
		count     int
		one, many string
	}{
		{b.unreadable, "block unreadable", "blocks unreadable"},
		{b.keys, "private key, which does not belong there", "private keys, which do not belong there"},
		{b.others, "block that is no certificate", "blocks that are no certificates"},
	} {
		if part.count > 0 {
			parts = append(parts, counted(part.count, part.one, part.many))
		}
	}
	return strings.Join(parts, ", ")
}

func counted(count int, one, many string) string {
	if count == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", count, many)
}

const (
	pemBegins = "-----BEGIN "
	pemEnds   = "-----END "
)

// parseBundle reads certificates in PEM as people have them: indented, after a byte-order mark, with the line ends of any system or
// without any, one file appended to another whose last line has no end. encoding/pem passes over what it cannot read; here it is counted.
func parseBundle(file []byte) bundle {
	var found bundle
	lines := bytes.FieldsFunc(file, func(r rune) bool { return r == '\n' || r == '\r' })
	text := make([]byte, 0, len(file))
	for _, line := range lines {
		if line = bytes.TrimFunc(line, between); !bytes.HasPrefix(line, []byte("#")) { // a block may be commented out
			text = append(append(text, line...), '\n')
		}
	}
	_, blocks, _ := strings.Cut(string(text), pemBegins)
	for block := range strings.SplitSeq(blocks, pemBegins) {
		if block == "" {
			continue
		}
		kind, rest, _ := strings.Cut(block, "-----")
		content, _, ended := strings.Cut(rest, pemEnds+kind+"-----")
		switch {
		case strings.HasSuffix(kind, "PRIVATE KEY"):
			found.keys++
		case ended && kind != "CERTIFICATE" && kind != "X509 CERTIFICATE":
			found.others++
		case !ended || !found.add(content):
			found.unreadable++
		}
	}
	return found
}

// between reports whether a character may stand around the lines of a block.
func between(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) }

// add takes a certificate from the text of its block; false where it is none.
func (b *bundle) add(text string) bool {
	der, err := base64.StdEncoding.DecodeString(strings.Map(func(r rune) rune {
		if between(r) {
			return -1
		}
		return r
	}, text))
	if err != nil {
		return false
	}
	if _, err := x509.ParseCertificate(der); err != nil {
		return false
	}
	b.read++
	b.certificates = append(b.certificates, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	return true
}

// faultOf says why a file holds no certificate, and what to do about it, in words after its name.
func faultOf(file []byte, found bundle) string {
	text := bytes.TrimFunc(file, between)
	switch {
	case len(file) > largestBundle:
		return fmt.Sprintf("is too large: it has %d KiB, and at most %d KiB are read. Leave only the authorities in it that the hosts need.",
			(len(file)+1023)/1024, largestBundle/1024)
	case bytes.HasPrefix(file, []byte{0xff, 0xfe}), bytes.HasPrefix(file, []byte{0xfe, 0xff}):
		return "is text in UTF-16. Convert it to UTF-8: iconv -f UTF-16 -t UTF-8 ca.txt > ca.crt"
	case len(file) > 1 && file[0] == 0x30 && file[1] >= 0x80: // a sequence in ASN.1
		return "is in DER. Convert it to PEM: openssl x509 -inform der -in ca.der -out ca.crt"
	case bytes.HasPrefix(text, []byte("LS0tLS1CRUdJTi")): // of -----BEGIN
		return "is Base64 of a PEM file. Put the PEM file itself there (stringData of a Secret, data of a ConfigMap), as it was encoded once too often."
	case found.whole():
		return "holds no certificate. Put certificates in PEM there, which begin with -----BEGIN CERTIFICATE-----."
	default:
		found.read = 0
		return "holds no certificate that can be read: " + strings.TrimPrefix(found.String(), "0 certificates, ") +
			". Put certificates in PEM there, which begin with -----BEGIN CERTIFICATE-----."
	}
}

// bundleOf reads what spec.tls.caBundleRef of a GiniClient names.
func (r *Registry) bundleOf(ctx context.Context, name types.NamespacedName, reference api.CABundleReference) (bundle, error) {
	of := types.NamespacedName{Namespace: name.Namespace, Name: string(reference.Name)}
	key := keyOr(reference.Key, api.DefaultCABundleKey)
	at := fmt.Sprintf("Key %s of %s %s (spec.tls.caBundleRef)", key, reference.Kind, reference.Name)
	var file []byte
	var has bool
	if reference.Kind == "Secret" {
		var object corev1.Secret
		if err := r.Live.Get(ctx, of, &object); err != nil {
			return bundle{}, missing(err, api.ReasonCABundleNotFound, name)
		}
		file, has = object.Data[key]
	} else {
		var object corev1.ConfigMap
		if err := r.Live.Get(ctx, of, &object); err != nil {
			return bundle{}, missing(err, api.ReasonCABundleNotFound, name)
		}
		var text string
		if text, has = object.Data[key]; has {
			file = []byte(text)
		} else {
			file, has = object.BinaryData[key] // where a file is put that is not UTF-8 to its last byte
		}
	}
	switch {
	case !has:
		return bundle{}, problem.New(api.ReasonCABundleNotFound, name).Saying(at +
			" does not exist. Create it, or name another key in spec.tls.caBundleRef.key.")
	case len(file) == 0:
		return bundle{}, problem.New(api.ReasonCABundleNotFound, name).Saying(at + " is empty. Put certificates in PEM there.")
	}
	var found bundle
	if len(file) <= largestBundle {
		found = parseBundle(file)
	}
	if found.read == 0 {
		return bundle{}, problem.New(api.ReasonCABundleInvalid, name).Saying(at + " " + faultOf(file, found))
	}
	found.at = at
	return found, nil
}
