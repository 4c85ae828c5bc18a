package controlplane

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certificateLife is long, because a development state folder is kept for as
// long as it is useful and nobody renews anything in it.
const certificateLife = 10 * 365 * 24 * time.Hour

// pki is a certificate authority of one's own, the certificates that it signed
// and the key for service-account tokens, all kept in one folder.
type pki struct {
	folder string
	now    time.Time
	ca     *x509.Certificate
	caKey  *ecdsa.PrivateKey
}

// newPKI loads what folder holds and makes what it lacks, so that kubeconfigs
// and tokens stay good across restarts with the same folder.
func newPKI(folder string, now time.Time) (*pki, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("certificate folder: %w", err)
	}
	p := &pki{folder: folder, now: now}
	if err := p.loadOrMakeCA(); err != nil {
		return nil, err
	}
	serving := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		DNSNames:    []string{"localhost", "kubernetes.default.svc"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	admin := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	controllerManager := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "system:kube-controller-manager"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	verifier := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "accesstoken-verifier"},
		DNSNames:    []string{"localhost", verifierName},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	apiServerClient := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	return p, errors.Join(
		p.ensureLeaf("apiserver", serving),
		p.ensureLeaf("admin", admin),
		p.ensureLeaf("controller-manager", controllerManager),
		p.ensureLeaf("verifier", verifier),
		p.ensureLeaf("apiserver-client", apiServerClient),
		p.ensureKey("service-account"),
	)
}

func (p *pki) certFile(name string) string { return filepath.Join(p.folder, name+".crt") }
func (p *pki) keyFile(name string) string  { return filepath.Join(p.folder, name+".key") }

func (p *pki) loadOrMakeCA() error {
	err := p.loadCA()
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key, err := p.makeKey("ca")
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "accesstoken control plane"},
		KeyUsage:              x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	if err := p.sign("ca", template, template, key.Public(), key); err != nil {
		return err
	}
	return p.loadCA()
}

func (p *pki) loadCA() error {
	certificate, err := readPEM(p.certFile("ca"))
	if err != nil {
		return err
	}
	if p.ca, err = x509.ParseCertificate(certificate); err != nil {
		return fmt.Errorf("read %s: %w", p.certFile("ca"), err)
	}
	keyBytes, err := readPEM(p.keyFile("ca"))
	if err != nil {
		return err
	}
	if p.caKey, err = x509.ParseECPrivateKey(keyBytes); err != nil {
		return fmt.Errorf("read %s: %w", p.keyFile("ca"), err)
	}
	return nil
}

// ensureLeaf makes a certificate unless its file is there. The certificate is
// written after its key, so its presence means that both are whole.
func (p *pki) ensureLeaf(name string, template *x509.Certificate) error {
	if _, err := os.Stat(p.certFile(name)); err == nil {
		return nil
	}
	key, err := p.makeKey(name)
	if err != nil {
		return err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	return p.sign(name, template, p.ca, key.Public(), p.caKey)
}

func (p *pki) ensureKey(name string) error {
	if _, err := os.Stat(p.keyFile(name)); err == nil {
		return nil
	}
	_, err := p.makeKey(name)
	return err
}

func (p *pki) makeKey(name string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key %s: %w", name, err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key %s: %w", name, err)
	}
	return key, writePEM(p.keyFile(name), "EC PRIVATE KEY", der)
}

func (p *pki) sign(name string, template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) error {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return fmt.Errorf("serial number of %s: %w", name, err)
	}
	template.SerialNumber = serial
	template.NotBefore = p.now.Add(-time.Hour) // clocks of virtual machines step back
	template.NotAfter = p.now.Add(certificateLife)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return fmt.Errorf("sign certificate %s: %w", name, err)
	}
	return writePEM(p.certFile(name), "CERTIFICATE", der)
}

func readPEM(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read certificate or key: %w", err)
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block: delete its folder to start anew", path)
	}
	return block.Bytes, nil
}

// writePEM writes by rename, so that a crash leaves no half file behind.
func writePEM(path, kind string, der []byte) error {
	return writeFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func writeFile(path string, content []byte) error {
	temporary := path + ".new"
	if err := os.WriteFile(temporary, content, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
