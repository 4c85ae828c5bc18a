package cluster

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Config reads the kubeconfig of this path; of an empty one, whatever kubectl
// would read, and in a pod without such a file the account of the pod.
func Config(path string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = path
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	switch {
	case clientcmd.IsEmptyConfig(err):
		return nil, fmt.Errorf("read cluster address and credentials: there are none in %s, and this is no pod: give --kubeconfig, or set KUBECONFIG",
			strings.Join(rules.GetLoadingPrecedence(), ", "))
	case err != nil:
		return nil, fmt.Errorf("read cluster address and credentials: %w", err)
	}
	return config, nil
}

// ID is what seals records to this cluster: the UID of the namespace
// kube-system.
func ID(ctx context.Context, live client.Reader) (string, error) {
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := live.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, namespace); err != nil {
		return "", fmt.Errorf("read the UID of namespace %s, which records are sealed to: %w", metav1.NamespaceSystem, err)
	}
	return string(namespace.UID), nil
}

// Authority returns where the API server of a configuration is, with a port where
// one is needed, and the certificates in PEM of the authorities that are trusted to
// vouch for it: none where the system's are. Files are read now.
func Authority(config *rest.Config) (host string, certificates []byte, err error) {
	loaded := rest.CopyConfig(config)
	if err := rest.LoadTLSFiles(loaded); err != nil {
		return "", nil, fmt.Errorf("read the certificates to trust of %s: %w", config.Host, err)
	}
	server, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return "", nil, fmt.Errorf("read the address %s of the API server: %w", config.Host, err)
	}
	return server.Host, loaded.CAData, nil
}
