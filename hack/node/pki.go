package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lifetime is more than a cluster for tests lives.
const lifetime = 365 * 24 * time.Hour

// authority signs the certificates by which the parts of the cluster know each other.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	serial      int64
}

// pair is a certificate and its key, as PEM.
type pair struct{ certificate, key []byte }

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	a := &authority{key: key}
	template := a.template(pkix.Name{CommonName: clusterName})
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	a.certificate, err = x509.ParseCertificate(der)
	return a, err
}

func (a *authority) template(subject pkix.Name) *x509.Certificate {
	a.serial++
	return &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), Subject: subject,
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(lifetime),
	}
}

// client makes a certificate for somebody who speaks to the API server as user, in a group where one is given.
func (a *authority) client(user string, groups ...string) (pair, error) {
	template := a.template(pkix.Name{CommonName: user, Organization: groups})
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return a.sign(template)
}

// server makes a certificate for somebody who answers at these names and addresses.
func (a *authority) server(name string, names []string, addresses ...string) (pair, error) {
	template := a.template(pkix.Name{CommonName: name})
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.DNSNames = names
	for _, address := range addresses {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(address))
	}
	return a.sign(template)
}

func (a *authority) sign(template *x509.Certificate) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return pair{}, err
	}
	encoded, err := encodeKey(key)
	return pair{certificate: encodeCertificate(der), key: encoded}, err
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key crypto.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), err
}

// writePKI makes every key, certificate and kubeconfig of the cluster.
func writePKI() error {
	a, err := newAuthority()
	if err != nil {
		return fmt.Errorf("a certificate authority cannot be made: %w", err)
	}
	key, err := encodeKey(a.key)
	if err != nil {
		return err
	}
	trusted := encodeCertificate(a.certificate.Raw)
	if err = writePair("ca", pair{certificate: trusted, key: key}); err != nil {
		return err
	}
	tokens, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if key, err = encodeKey(tokens); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(pkiFolder, "service-accounts.key"), key, 0o600); err != nil {
		return err
	}

	api := []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + clusterDomain}
	for name, issue := range map[string]func() (pair, error){
		"kube-apiserver":                func() (pair, error) { return a.server("kube-apiserver", api, "127.0.0.1", nodeAddress, apiAddress) },
		"kubelet":                       func() (pair, error) { return a.server(nodeName, []string{nodeName}, nodeAddress) },
		"kube-apiserver-kubelet-client": func() (pair, error) { return a.client("kube-apiserver-kubelet-client") },
	} {
		made, err := issue()
		if err != nil {
			return err
		}
		if err := writePair(name, made); err != nil {
			return err
		}
	}
	for who, identity := range map[string][]string{ // user, group
		"admin":                   {"gini-cluster-admin", "system:masters"},
		"kube-controller-manager": {"system:kube-controller-manager"},
		"kube-scheduler":          {"system:kube-scheduler"},
		"kube-proxy":              {"system:kube-proxy"},
		"kubelet":                 {"system:node:" + nodeName, "system:nodes"},
		"coredns":                 {"system:coredns"},
	} {
		made, err := a.client(identity[0], identity[1:]...)
		if err != nil {
			return err
		}
		if err := os.WriteFile(kubeconfigOf(who), kubeconfig(trusted, made), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func writePair(name string, made pair) error {
	if err := os.WriteFile(filepath.Join(pkiFolder, name+".crt"), made.certificate, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(pkiFolder, name+".key"), made.key, 0o600)
}

// kubeconfig holds everything it needs, so that it can be copied.
func kubeconfig(trusted []byte, user pair) []byte {
	encode := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: %[1]s
clusters:
- name: %[1]s
  cluster: {server: "%[2]s", certificate-authority-data: %[3]s}
users:
- name: %[1]s
  user: {client-certificate-data: %[4]s, client-key-data: %[5]s}
contexts:
- name: %[1]s
  context: {cluster: %[1]s, user: %[1]s}
`, clusterName, apiServer, encode(trusted), encode(user.certificate), encode(user.key))
}
