package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/assets"
)

// DefaultTokenCacheTTL is short, so that a revoked token is soon refused: another
// cache of 10 s comes on top, which no flag changes.
const DefaultTokenCacheTTL = 2 * time.Second

const (
	verifierAddressFile = "verifier-address"
	// verifierFolder holds the files of config/apiserver as kube-apiserver reads
	// them, and what they name.
	verifierFolder = "verifier"
	// verifierName is what the verifier's certificate is checked for.
	verifierName = "accesstoken-verifier.accesstoken-system.svc"
)

// What the files of config/apiserver have for an administrator to replace.
const (
	templateAddress = "verifier.example:9443"
	templateFolder  = "/etc/kubernetes/accesstoken/"
)

// apiServerFiles are the files of config/apiserver.
var apiServerFiles = []string{authorizationFile, tokenReviewFile, accessReviewFile}

const (
	authorizationFile = "authorization.yaml"
	tokenReviewFile   = "tokenreview.kubeconfig"
	accessReviewFile  = "accessreview.kubeconfig"
)

// Verifier says how kube-apiserver asks a verifier about tokens (TokenReview) and
// about what they may do (SubjectAccessReview). The verifier need not run yet:
// until it does, access tokens are refused and all else works. The zero value is
// good.
type Verifier struct {
	// Address is where the verifier listens or will listen, a loopback host:port.
	// Empty means a free port, the same again at a later start in the same Dir if
	// it is still free.
	Address string

	// TokenCacheTTL is how long kube-apiserver keeps what a verifier said of a
	// token, on top of 10 s for a token that was good. 0 means
	// DefaultTokenCacheTTL.
	TokenCacheTTL time.Duration
}

// VerifierEndpoint is what a verifier needs to be asked by kube-apiserver.
type VerifierEndpoint struct {
	// Address is the host:port to listen on.
	Address string

	// CertFile and KeyFile are its serving certificate, in PEM.
	CertFile, KeyFile string

	// ClientCAFile is the authority that kube-apiserver's client certificate is
	// from, in PEM. The verifier has to demand one.
	ClientCAFile string
}

// Verifier returns what the verifier has to listen on and with. It is the zero
// value unless Options asked for a verifier.
func (cp *ControlPlane) Verifier() VerifierEndpoint {
	if cp.options.Verifier == nil {
		return VerifierEndpoint{}
	}
	return VerifierEndpoint{
		Address:      cp.verifierAddress,
		CertFile:     cp.pki.certFile("verifier"),
		KeyFile:      cp.pki.keyFile("verifier"),
		ClientCAFile: cp.pki.certFile("ca"),
	}
}

// prepareVerifier writes what kube-apiserver reads: the files of config/apiserver
// with the address and the folder put in, and its client certificate.
func (cp *ControlPlane) prepareVerifier(ctx context.Context) error {
	if cp.options.Verifier == nil {
		return nil
	}
	if err := cp.chooseVerifierAddress(ctx); err != nil {
		return err
	}
	root, err := assets.ModuleRoot()
	if err != nil {
		return err
	}
	folder := filepath.Join(cp.dir, verifierFolder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("folder of the verifier: %w", err)
	}
	var errs []error
	for name, source := range map[string]string{
		"ca.crt":     cp.pki.certFile("ca"),
		"client.crt": cp.pki.certFile("apiserver-client"),
		"client.key": cp.pki.keyFile("apiserver-client"),
	} {
		errs = append(errs, copyFile(source, filepath.Join(folder, name), nil))
	}
	fill := func(content []byte) []byte {
		content = bytes.ReplaceAll(content, []byte(templateAddress), []byte(cp.verifierAddress))
		return bytes.ReplaceAll(content, []byte(templateFolder), []byte(folder+"/"))
	}
	for _, name := range apiServerFiles {
		errs = append(errs, copyFile(filepath.Join(root, "config", "apiserver", name), filepath.Join(folder, name), fill))
	}
	return errors.Join(errs...)
}

// copyFile copies a file, changed by change unless that is nil.
func copyFile(from, to string, change func([]byte) []byte) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("file for kube-apiserver: %w", err)
	}
	if change != nil {
		content = change(content)
	}
	return writeFile(to, content)
}

// chooseVerifierAddress takes what the options say, or else the port of the last
// start if nobody has it now, or else a free one.
func (cp *ControlPlane) chooseVerifierAddress(ctx context.Context) error {
	if cp.verifierAddress = cp.options.Verifier.Address; cp.verifierAddress != "" {
		return nil
	}
	path := filepath.Join(cp.dir, verifierAddressFile)
	if last, err := os.ReadFile(path); err == nil && listenable(ctx, string(last)) {
		cp.verifierAddress = string(last)
		return nil
	}
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	cp.verifierAddress = fmt.Sprintf("127.0.0.1:%d", port)
	return writeFile(path, []byte(cp.verifierAddress))
}

func listenable(ctx context.Context, address string) bool {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	return err == nil && listener.Close() == nil
}

// authorizationArgs are the arguments of kube-apiserver that say who may do what.
func (cp *ControlPlane) authorizationArgs() []string {
	if cp.options.Verifier == nil {
		return []string{"--authorization-mode=RBAC"}
	}
	ttl := cp.options.Verifier.TokenCacheTTL
	if ttl == 0 {
		ttl = DefaultTokenCacheTTL
	}
	return []string{
		"--authorization-config=" + filepath.Join(verifierFolder, authorizationFile),
		"--authentication-token-webhook-config-file=" + filepath.Join(verifierFolder, tokenReviewFile),
		"--authentication-token-webhook-version=v1",
		"--authentication-token-webhook-cache-ttl=" + ttl.String(),
	}
}
