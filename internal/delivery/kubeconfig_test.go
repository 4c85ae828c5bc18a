package delivery_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/delivery"
)

// kubeconfigFor is the file for a server.
func kubeconfigFor(server string, cluster delivery.Cluster) []byte {
	template := v1alpha1.SecretTemplate{Format: v1alpha1.SecretFormatKubeconfig, Servers: []string{server}}
	return delivery.Data(template, delivered, cluster)[delivery.KeyKubeconfig]
}

// TestClientsOfKubernetesSignInWithTheKubeconfig reads the file with the library
// that kubectl has it read by.
func TestClientsOfKubernetesSignInWithTheKubeconfig(t *testing.T) {
	signedIn := make(chan string, 1)
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		signedIn <- r.Header.Get("Authorization")
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "https://")
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	file := kubeconfigFor(host, delivery.Cluster{Host: host, Authority: authority})

	config, err := clientcmd.NewClientConfigFromBytes(file)
	if err != nil {
		t.Fatal(err)
	}
	if namespace, _, err := config.Namespace(); err != nil || namespace != delivered.Namespace {
		t.Errorf("the namespace is %q (%v)", namespace, err)
	}
	if err := request(t, file); err != nil {
		t.Fatal(err)
	}
	if got := <-signedIn; got != "Bearer "+plaintext {
		t.Errorf("signed in with %q", got)
	}
	if err := request(t, kubeconfigFor(host, delivery.Cluster{})); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without an authority a server is trusted all the same: %v", err)
	}
}

// request asks the server of a kubeconfig for something.
func request(t *testing.T, file []byte) error {
	t.Helper()
	config, err := clientcmd.RESTConfigFromKubeConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	ask, err := http.NewRequestWithContext(t.Context(), http.MethodGet, config.Host, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(ask)
	if err != nil {
		return err
	}
	return answer.Body.Close()
}

func TestTheAuthorityOfTheClusterIsForTheClusterOnly(t *testing.T) {
	cluster := delivery.Cluster{Host: "Api.example.com:443", Authority: []byte("pem")}
	for server, trusted := range map[string]bool{
		"kubernetes.default.svc":               true,
		"kubernetes.default.svc:443":           true,
		"kubernetes.default.svc.cluster.local": true,
		"kubernetes.default":                   true,
		"kubernetes":                           true,
		"api.example.com":                      true,
		"API.example.com:443":                  true,
		"api.example.com:6443":                 false,
		"kubernetes.default.svc:6443":          false,
		"kubernetes.default.example.com":       false,
		"other.example.com":                    false,
	} {
		config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfigFor(server, cluster))
		if err != nil {
			t.Fatal(err)
		}
		if config.Host != "https://"+server || config.Insecure {
			t.Errorf("%s is asked at %s, insecurely: %t", server, config.Host, config.Insecure)
		}
		if got := string(config.CAData) == "pem"; got != trusted {
			t.Errorf("%s gets the authority of the cluster: %t, want %t", server, got, trusted)
		}
	}
}
