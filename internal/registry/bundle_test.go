package registry_test

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// aCertificate is one of somebody else.
func aCertificate(t *testing.T) string {
	t.Helper()
	_, certificate, err := emulator.SelfSignedCertificate()
	if err != nil {
		t.Fatal(err)
	}
	return string(certificate)
}

// put puts a file where the bundle of the GiniClient is looked for, as kubectl does it.
func (w *world) put(kind string, file []byte) {
	w.t.Helper()
	w.client.Spec.TLS.CABundleRef = api.CABundleReference{Kind: kind, Name: "ca"}
	if kind == "Secret" {
		object := &corev1.Secret{ObjectMeta: meta("ca")}
		w.change(object, func() { object.Data = map[string][]byte{"ca.crt": file} })
		return
	}
	object := &corev1.ConfigMap{ObjectMeta: meta("ca")}
	w.change(object, func() {
		object.Data, object.BinaryData = nil, nil
		if kind == "binaryData" {
			object.BinaryData = map[string][]byte{"ca.crt": file}
		} else {
			object.Data = map[string]string{"ca.crt": string(file)}
		}
	})
	w.client.Spec.TLS.CABundleRef.Kind = "ConfigMap"
}

var bundleKinds = []string{"ConfigMap", "binaryData", "Secret"}

// TestBundles: certificates are read as people have them, and what cannot be read is counted.
func TestBundles(t *testing.T) {
	const bom = "\ufeff"
	other := aCertificate(t)
	damaged := strings.Replace(other, "MII", "AII", 1)
	indented := func(of string) string {
		return "    " + strings.ReplaceAll(strings.TrimSpace(of), "\n", "\n    ") + "\n"
	}
	block := func(kind string) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte("s3cr3t of some length")}))
	}
	for name, c := range map[string]struct {
		file func(ours string) string
		want string // of what is not used; empty: all is
	}{
		"one":                         {func(ours string) string { return ours }, ""},
		"a byte-order mark first":     {func(ours string) string { return bom + ours + other }, ""},
		"a byte-order mark within":    {func(ours string) string { return other + bom + ours }, ""},
		"indented":                    {func(ours string) string { return indented(ours) + other }, ""},
		"indented by tabs":            {func(ours string) string { return strings.ReplaceAll(indented(ours), "    ", "\t") }, ""},
		"indented by no-break spaces": {func(ours string) string { return strings.ReplaceAll(indented(ours), "    ", "\u00a0") }, ""},
		"zero-width spaces":           {func(ours string) string { return strings.ReplaceAll(ours, "\n", "\u200b\n") }, ""},
		"line ends of Windows":        {func(ours string) string { return strings.ReplaceAll(other+ours, "\n", "\r\n") }, ""},
		"line ends of old":            {func(ours string) string { return strings.ReplaceAll(other+ours, "\n", "\r") }, ""},
		"blank lines":                 {func(ours string) string { return strings.ReplaceAll(ours, "\n", "\n\n") }, ""},
		"folded into one line":        {func(ours string) string { return strings.ReplaceAll(ours, "\n", " ") }, ""},
		"no line end between":         {func(ours string) string { return strings.TrimSpace(other) + ours }, ""},
		"comments":                    {func(ours string) string { return "# Gr\xfc\xdfe\nsubject=x\n" + ours }, ""},
		"one commented out":           {func(ours string) string { return "# " + strings.ReplaceAll(damaged, "\n", "\n# ") + "\n" + ours }, ""},
		"an old kind of marker":       {func(ours string) string { return strings.ReplaceAll(ours, " CERTIFICATE", " X509 CERTIFICATE") }, ""},
		"one damaged":                 {func(ours string) string { return ours + damaged + other + ours }, "3 certificates, 1 block unreadable"},
		"one damaged first":           {func(ours string) string { return damaged + ours }, "1 certificate, 1 block unreadable"},
		"one without its end":         {func(ours string) string { return strings.Split(other, "-----END")[0] + ours }, "1 certificate, 1 block unreadable"},
		"one with another end":        {func(ours string) string { return strings.Replace(other, "END CERT", "END A CERT", 1) + ours }, "1 certificate, 1 block unreadable"},
		"cut off":                     {func(ours string) string { return ours + other[:200] }, "1 certificate, 1 block unreadable"},
		"a stray letter":              {func(ours string) string { return ours + strings.Replace(other, "MII", "M*II", 1) }, "1 certificate, 1 block unreadable"},
		"a private key":               {func(ours string) string { return block("EC PRIVATE KEY") + ours }, "1 certificate, 1 private key, which does not belong there"},
		"other blocks":                {func(ours string) string { return block("PKCS7") + block("X509 CRL") + ours }, "1 certificate, 2 blocks that are no certificates"},
	} {
		for _, kind := range bundleKinds {
			t.Run(name+" in "+kind, func(t *testing.T) {
				w := newWorld(t)
				w.put(kind, []byte(c.file(string(w.gini.CertPEM()))))
				application := w.resolved()
				if err := application.Gini.VerifyCredentials(t.Context()); err != nil {
					t.Errorf("not used: %v", err)
				}
				want := ""
				if c.want != "" {
					want = "Key ca.crt of " + w.client.Spec.TLS.CABundleRef.Kind + " ca (spec.tls.caBundleRef) is used in part: it holds " + c.want + ". Put the rest right, or take it out"
				}
				if got := application.Authorities(); got != want {
					t.Errorf("%q, want %q", got, want)
				}
			})
		}
	}
}

// TestUnusableBundles: what keeps a bundle from being used is told, with what to do.
func TestUnusableBundles(t *testing.T) {
	certificate := aCertificate(t)
	decoded, _ := pem.Decode([]byte(certificate))
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("s3cr3t")})
	inUTF16 := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(certificate)) {
		inUTF16 = append(inUTF16, byte(unit), byte(unit>>8))
	}
	const begins = "Put certificates in PEM there, which begin with -----BEGIN CERTIFICATE-----."
	for name, c := range map[string]struct {
		file   []byte
		reason string
		want   string
	}{
		"too large":       {bytes.Repeat([]byte(certificate), 755<<10/len(certificate)+1), api.ReasonCABundleInvalid, "is too large: it has 756 KiB, and at most 512 KiB are read. Leave only the authorities in it that the hosts need."},
		"DER":             {decoded.Bytes, api.ReasonCABundleInvalid, "is in DER. Convert it to PEM: openssl x509 -inform der -in ca.der -out ca.crt"},
		"UTF-16":          {inUTF16, api.ReasonCABundleInvalid, "is text in UTF-16. Convert it to UTF-8: iconv -f UTF-16 -t UTF-8 ca.txt > ca.crt"},
		"encoded twice":   {[]byte(base64.StdEncoding.EncodeToString([]byte(certificate))), api.ReasonCABundleInvalid, "is Base64 of a PEM file. Put the PEM file itself there (stringData of a Secret, data of a ConfigMap), as it was encoded once too often."},
		"text":            {[]byte("s3cr3t"), api.ReasonCABundleInvalid, "holds no certificate. " + begins},
		"blank":           {[]byte(" \n"), api.ReasonCABundleInvalid, "holds no certificate. " + begins},
		"one damaged":     {[]byte(strings.Replace(certificate, "MII", "AII", 1)), api.ReasonCABundleInvalid, "holds no certificate that can be read: 1 block unreadable. " + begins},
		"a key":           {key, api.ReasonCABundleInvalid, "holds no certificate that can be read: 1 private key, which does not belong there. " + begins},
		"empty":           {nil, api.ReasonCABundleNotFound, "is empty. Put certificates in PEM there."},
		"four dashes":     {[]byte(strings.ReplaceAll(certificate, "-----", "----")), api.ReasonCABundleInvalid, "holds no certificate. " + begins},
		"a damaged begin": {[]byte(strings.Replace(certificate, "CERTIFICATE-----", "CERTIFICATE----", 1)), api.ReasonCABundleInvalid, "holds no certificate that can be read: 1 block unreadable. " + begins},
	} {
		for _, kind := range bundleKinds {
			if kind == "ConfigMap" && !utf8.Valid(c.file) {
				continue // no API server takes it there
			}
			t.Run(name+" in "+kind, func(t *testing.T) {
				w := newWorld(t)
				w.put(kind, c.file)
				_, err := w.Resolve(t.Context(), w.client)
				want := "Key ca.crt of " + w.client.Spec.TLS.CABundleRef.Kind + " ca (spec.tls.caBundleRef) " + c.want
				if found, ok := problem.Of(err); !ok || found.Reason != c.reason || found.Message() != want {
					t.Errorf("%v\nwant %s", err, want)
				}
			})
		}
	}
}

// TestExplain: a status tells what was used of a bundle where TLS fails, and what looks odd about credentials that are refused.
func TestExplain(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*world)
		kind   gini.Kind
		want   string // contained; empty: it is what the table says
	}{
		"a right secret":      {func(*world) {}, gini.CredentialsRejected, ""},
		"an odd secret":       {odd("acme", "\ufeffs3cr3t "), gini.CredentialsRejected, "; what looks odd: the client secret begins with a byte-order mark and ends in a blank"},
		"an odd id":           {odd(`"acme"`, "s3cr3t"), gini.CredentialsRejected, "; what looks odd: the client id is wrapped in quotes"},
		"odd, and no trouble": {odd("acme", "s3cr3t "), gini.Timeout, ""},
		"a whole bundle": {
			func(*world) {}, gini.TLS,
			"although the CA bundle was used. Key ca.crt of ConfigMap ca (spec.tls.caBundleRef) holds 1 certificate. Put the authority there",
		},
		"a bundle in part": {
			func(w *world) { w.put("Secret", []byte(string(w.gini.CertPEM())+aCertificate(w.t)[:100])) }, gini.TLS,
			"although the CA bundle was used. Key ca.crt of Secret ca (spec.tls.caBundleRef) holds 1 certificate, 1 block unreadable. Put the authority there",
		},
		"no bundle": {func(w *world) { w.client.Spec.TLS = nil }, gini.TLS, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.change(w)
			w.resolved()
			found := problem.Kind(c.kind, "payments/acme")
			told := w.Explain(w.client.UID, found)
			if told.Reason != found.Reason || strings.Contains(told.Message(), "s3cr3t") {
				t.Errorf("%+v", told)
			}
			if c.want == "" && told.Message() != found.Message() || !strings.Contains(told.Message(), c.want) {
				t.Errorf("%s\nwant %s", told.Message(), c.want)
			}
		})
	}
	w := newWorld(t)
	if w.Explain("nobody", nil) != nil || w.Explain("nobody", problem.Kind(gini.TLS, "payments/acme")).Reason != api.ReasonTLSFailure {
		t.Error("what is not known is explained")
	}
}

func odd(id, secret string) func(*world) {
	return func(w *world) {
		w.changeCredentials(func(object *corev1.Secret) {
			object.Data["client-id"], object.Data["client-secret"] = []byte(id), []byte(secret)
		})
	}
}

// TestExplainProvider: the same for the credentials that a customer's identity provider refuses.
func TestExplainProvider(t *testing.T) {
	w, _ := newProviderWorld(t)
	w.changeSecret("acme-id", func(object *corev1.Secret) { object.Data["client-secret"] = []byte("id-s3cr3t\u00a0") })
	w.identified()
	told := w.Explain(w.client.UID, problem.ProviderKind(gini.CredentialsRejected, "payments/acme")).Message()
	if !strings.HasSuffix(told, "; what looks odd: the client secret ends in a no-break space") || strings.Contains(told, "s3cr3t") {
		t.Error(told)
	}
	told = w.Explain(w.client.UID, problem.ProviderKind(gini.TLS, "payments/acme")).Message()
	if !strings.HasSuffix(told, ". Key ca.crt of ConfigMap ca (spec.tls.caBundleRef) was used, and holds 2 certificates") {
		t.Error(told)
	}
}
