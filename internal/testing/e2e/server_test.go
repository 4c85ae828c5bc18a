//go:build e2e

package e2e

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/keys"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

// server is a forge over HTTPS: a git repository, an image and a greeting, for
// whoever signs in with a token whose record verifies it.
type server struct {
	*httptest.Server
	folder string // holds the certificate (ca.crt) and the repositories
	port   string
}

const (
	manifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",` +
		`"config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,` +
		`"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[]}`
	greeting = "signed in"
)

func newServer(ctx context.Context, reader client.Reader) (*server, error) {
	verify, err := newVerifier(ctx, reader)
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "accesstoken-e2e-")
	if err != nil {
		return nil, fmt.Errorf("folder of the forge: %w", err)
	}
	execPath, err := exec.CommandContext(ctx, "git", "--exec-path").Output()
	if err != nil {
		return nil, fmt.Errorf("find git's programs: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, greeting) })
	mux.Handle("/git/", &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(execPath)), "git-http-backend"),
		Root: "/git",
		Env:  []string{"GIT_PROJECT_ROOT=" + folder, "GIT_HTTP_EXPORT_ALL=1"},
	})
	mux.HandleFunc("/v2/", serveRegistry)
	s := &server{Server: httptest.NewTLSServer(demandToken(verify, mux)), folder: folder}
	address, err := url.Parse(s.URL)
	if err != nil {
		return nil, fmt.Errorf("address of the forge: %w", err)
	}
	s.port = address.Port()
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return s, os.WriteFile(filepath.Join(folder, "ca.crt"), certificate, 0o600)
}

// Close stops the server and removes its folder.
func (s *server) Close() {
	s.Server.Close()
	_ = os.RemoveAll(s.folder)
}

// address is of 127.0.0.1: the certificate of httptest is good for it.
func (s *server) address(path string) string { return "https://127.0.0.1:" + s.port + path }

func demandToken(verify func(context.Context, string, string) bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, ok := r.BasicAuth()
		if !ok || !verify(r.Context(), user, password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="forge"`)
			http.Error(w, "sign in with a token", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func serveRegistry(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.URL.Path, "/manifests/") {
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		_, _ = fmt.Fprint(w, manifest)
	}
}

// newVerifier says whether a user name and a token are good now, by the token's
// record, read live, and the operator's keys.
func newVerifier(ctx context.Context, reader client.Reader) (func(context.Context, string, string) bool, error) {
	secret := &corev1.Secret{}
	if err := reader.Get(ctx, client.ObjectKey{Namespace: operator.Namespace, Name: keys.SecretName}, secret); err != nil {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	set := record.KeySet{}
	for id, material := range secret.Data {
		set[id] = record.Key(material)
	}
	system := &corev1.Namespace{}
	if err := reader.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, system); err != nil {
		return nil, fmt.Errorf("read the cluster's ID: %w", err)
	}
	opener := record.Opener{Keys: set, ClusterID: string(system.UID)}
	return func(ctx context.Context, user, password string) bool {
		presented, err := token.Parse(password)
		if err != nil || presented.ID() != user {
			return false
		}
		records := &v1alpha1.TokenRecordList{}
		if err := reader.List(ctx, records); err != nil {
			return false
		}
		for i := range records.Items {
			if rec := &records.Items[i]; rec.Name == user {
				sealed, err := opener.Open(rec)
				return err == nil && sealed.Verify(presented.SecretDigest()) && !record.Ended(rec, wall.Now())
			}
		}
		return false
	}, nil
}
