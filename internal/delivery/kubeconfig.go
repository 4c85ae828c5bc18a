package delivery

import (
	"slices"
	"strings"

	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"
)

// KeyKubeconfig holds the file in the format Kubeconfig.
const KeyKubeconfig = "kubeconfig"

// Cluster is the API server that the operator itself talks to. The zero value is
// one that nothing is known of.
type Cluster struct {
	// Host is where the operator reaches it, with a port where one is needed.
	Host string
	// Authority holds the certificates, in PEM, of the authorities that the operator
	// trusts to vouch for it; empty for those of the system.
	Authority []byte
}

// authorityOf returns the certificates to trust for a server: those of the cluster
// for a name that the API server has in it, and none otherwise. A foreign name that
// looks like one gains nothing: nobody else has a certificate of that authority.
func (c Cluster) authorityOf(server string) []byte {
	host := strings.TrimSuffix(strings.ToLower(server), ":443")
	inside := slices.Contains([]string{"kubernetes", "kubernetes.default", "kubernetes.default.svc"}, host) ||
		strings.HasPrefix(host, "kubernetes.default.svc.")
	if inside || c.Host != "" && host == strings.TrimSuffix(strings.ToLower(c.Host), ":443") {
		return c.Authority
	}
	return nil
}

// kubeconfig writes a file for one server. The context begins in the token's
// namespace.
func kubeconfig(servers []string, token Token, cluster Cluster) []byte {
	if len(servers) == 0 {
		return nil
	}
	server := servers[0]
	config, err := yaml.Marshal(clientcmdv1.Config{
		APIVersion: "v1", Kind: "Config",
		Clusters: []clientcmdv1.NamedCluster{{Name: server, Cluster: clientcmdv1.Cluster{
			Server: "https://" + server, CertificateAuthorityData: cluster.authorityOf(server),
		}}},
		AuthInfos: []clientcmdv1.NamedAuthInfo{{Name: token.Name, AuthInfo: clientcmdv1.AuthInfo{Token: token.Plaintext}}},
		Contexts: []clientcmdv1.NamedContext{{Name: token.Name, Context: clientcmdv1.Context{
			Cluster: server, AuthInfo: token.Name, Namespace: token.Namespace,
		}}},
		CurrentContext: token.Name,
	})
	if err != nil {
		panic(err) // texts always encode
	}
	return config
}
