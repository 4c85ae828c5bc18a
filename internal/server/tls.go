package server

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// caInterval is how long a client CA file is trusted to be unchanged.
const caInterval = 10 * time.Second

// Certificates give the certificate to serve with; see certwatcher.CertWatcher.
type Certificates interface {
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// ServingTLS is the configuration of a server that asks for no client
// certificate. It speaks TLS 1.2 and newer.
func ServingTLS(certificates Certificates, protocols ...string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificates.GetCertificate, NextProtos: protocols}
}

// ClientCA is a file of certificate authorities whose clients are let in. It is
// read anew when it changes.
type ClientCA struct {
	path  string
	names []string
	clock clock.PassiveClock

	mu      sync.Mutex
	read    time.Time // when the file was last looked at
	changed time.Time // its modification time then
	pool    *x509.CertPool
}

// NewClientCA reads the file. With names, only clients whose certificate has one
// of them as its common name are let in.
func NewClientCA(path string, names []string, c clock.PassiveClock) (*ClientCA, error) {
	ca := &ClientCA{path: path, names: names, clock: c}
	if _, err := ca.current(); err != nil {
		return nil, err
	}
	return ca, nil
}

// TLS is the configuration of a server that demands a client certificate of the
// CA.
func (ca *ClientCA) TLS(certificates Certificates, protocols ...string) *tls.Config {
	config := ServingTLS(certificates, protocols...)
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		pool, err := ca.current()
		if err != nil {
			return nil, err
		}
		now := config.Clone()
		now.GetConfigForClient, now.ClientCAs = nil, pool
		now.VerifyConnection = ca.verify
		return now, nil
	}
	return config
}

func (ca *ClientCA) verify(state tls.ConnectionState) error {
	if len(ca.names) == 0 {
		return nil
	}
	if name := state.PeerCertificates[0].Subject.CommonName; !slices.Contains(ca.names, name) {
		return fmt.Errorf("client certificate of %q is not of those that are let in: %q", name, ca.names)
	}
	return nil
}

// current is what the file holds. A file that cannot be read, or holds no
// certificate, leaves what was read before.
func (ca *ClientCA) current() (*x509.CertPool, error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	now := ca.clock.Now()
	if ca.pool != nil && now.Sub(ca.read) < caInterval {
		return ca.pool, nil
	}
	pool, changed, err := ca.load()
	switch {
	case err == nil:
		ca.pool, ca.changed = pool, changed
	case ca.pool == nil:
		return nil, err
	}
	ca.read = now
	return ca.pool, nil
}

func (ca *ClientCA) load() (*x509.CertPool, time.Time, error) {
	info, err := os.Stat(ca.path)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("client CA file: %w", err)
	}
	if ca.pool != nil && info.ModTime().Equal(ca.changed) {
		return ca.pool, ca.changed, nil
	}
	content, err := os.ReadFile(ca.path)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("client CA file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, time.Time{}, fmt.Errorf("client CA file %s holds no certificate in PEM", ca.path)
	}
	return pool, info.ModTime(), nil
}
