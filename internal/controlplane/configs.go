package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// serviceAccountLife is how long the tokens of ServiceAccountConfig are asked
// for: longer than anybody keeps a control plane in the foreground.
const serviceAccountLife = 365 * 24 * time.Hour

// Config returns the configuration of an administrator (group system:masters),
// without a client-side rate limit.
func (cp *ControlPlane) Config() *rest.Config { return rest.CopyConfig(cp.admin) }

// Kubeconfig is the path of a kubeconfig with the administrator in it, readable by
// its owner only, for whoever plays with the control plane: clusters, users and
// contexts that somebody added, and what is current, stay over a restart.
func (cp *ControlPlane) Kubeconfig() string { return filepath.Join(cp.dir, personsKubeconfig) }

// adminKubeconfig is one that nobody else changes, so that the control plane goes on
// as administrator whatever people make current in theirs.
func (cp *ControlPlane) adminKubeconfig() string { return filepath.Join(cp.dir, adminKubeconfig) }

// ServiceAccountConfig returns a configuration with the rights of an existing
// service account and nothing more, good for a year and without a client-side
// rate limit.
func (cp *ControlPlane) ServiceAccountConfig(ctx context.Context, namespace, name string) (*rest.Config, error) {
	clients, err := kubernetes.NewForConfig(cp.admin)
	if err != nil {
		return nil, fmt.Errorf("client of the API server: %w", err)
	}
	seconds := int64(serviceAccountLife / time.Second)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	answer, err := clients.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("token of service account %s/%s: %w", namespace, name, err)
	}
	config := rest.AnonymousClientConfig(cp.admin)
	config.BearerToken = answer.Status.Token
	config.QPS = -1
	return config, nil
}

// Metrics returns what the API server's /metrics says, in the text format of
// Prometheus.
func (cp *ControlPlane) Metrics(ctx context.Context) ([]byte, error) {
	clients, err := kubernetes.NewForConfig(cp.admin)
	if err != nil {
		return nil, fmt.Errorf("client of the API server: %w", err)
	}
	metrics, err := clients.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("metrics of the API server: %w", err)
	}
	return metrics, nil
}

// kubeconfigName is what the cluster, the user and the context are called.
const kubeconfigName = "accesstoken"

// WriteKubeconfig writes config as a kubeconfig that only its owner can read.
func WriteKubeconfig(config *rest.Config, path string) error {
	kubeconfig := clientcmdapi.NewConfig()
	addTo(kubeconfig, config)
	return writeEncoded(kubeconfig, path)
}

// mergeKubeconfig brings the cluster and the user of a kubeconfig up to date, and
// leaves what else is in it.
func mergeKubeconfig(config *rest.Config, path string) error {
	kubeconfig, err := clientcmd.LoadFromFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		kubeconfig = clientcmdapi.NewConfig()
	case err != nil:
		return fmt.Errorf("read %s, to which people may have added: %w; mend it, or delete it to have a new one", path, err)
	}
	addTo(kubeconfig, config)
	return writeEncoded(kubeconfig, path)
}

// addTo adds the cluster and the user that config is for, and a context of both
// unless there is one.
func addTo(kubeconfig *clientcmdapi.Config, config *rest.Config) {
	const name = kubeconfigName
	kubeconfig.Clusters[name] = &clientcmdapi.Cluster{
		Server:                   config.Host,
		CertificateAuthority:     config.CAFile,
		CertificateAuthorityData: config.CAData,
	}
	kubeconfig.AuthInfos[name] = &clientcmdapi.AuthInfo{
		ClientCertificate:     config.CertFile,
		ClientCertificateData: config.CertData,
		ClientKey:             config.KeyFile,
		ClientKeyData:         config.KeyData,
		Token:                 config.BearerToken,
	}
	if kubeconfig.Contexts[name] == nil {
		kubeconfig.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	}
	if kubeconfig.Contexts[kubeconfig.CurrentContext] == nil {
		kubeconfig.CurrentContext = name
	}
}

func writeEncoded(kubeconfig *clientcmdapi.Config, path string) error {
	content, err := clientcmd.Write(*kubeconfig)
	if err != nil {
		return fmt.Errorf("encode kubeconfig: %w", err)
	}
	return writeFile(path, content)
}

// writeConfigs sets the administrator's configuration and writes the
// kubeconfigs; both name the port.
func (cp *ControlPlane) writeConfigs() error {
	admin, err := cp.clientConfig("admin")
	if err != nil {
		return err
	}
	controllers, err := cp.clientConfig("controller-manager")
	if err != nil {
		return err
	}
	cp.admin = admin
	return errors.Join(
		WriteKubeconfig(admin, cp.adminKubeconfig()),
		mergeKubeconfig(admin, cp.Kubeconfig()),
		WriteKubeconfig(controllers, filepath.Join(cp.dir, controllersKubeconfig)),
	)
}

// clientConfig holds the certificates themselves, not their paths: it stays good
// when it is copied elsewhere.
func (cp *ControlPlane) clientConfig(name string) (*rest.Config, error) {
	files := map[string][]byte{cp.pki.certFile("ca"): nil, cp.pki.certFile(name): nil, cp.pki.keyFile(name): nil}
	for path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("client certificate %s: %w", name, err)
		}
		files[path] = content
	}
	return &rest.Config{
		Host: "https://127.0.0.1:" + strconv.Itoa(cp.port),
		QPS:  -1,
		TLSClientConfig: rest.TLSClientConfig{
			CAData:   files[cp.pki.certFile("ca")],
			CertData: files[cp.pki.certFile(name)],
			KeyData:  files[cp.pki.keyFile(name)],
		},
	}, nil
}

// get returns nil when url answers 200.
func get(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}
