package cluster_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/onsi/gomega"
	"k8s.io/client-go/rest"

	"github.com/accesstoken-dev/accesstoken-operator/internal/cluster"
)

func TestAKubeconfigThatIsMissingIsNamed(t *testing.T) {
	g := gomega.NewWithT(t)
	t.Setenv("KUBECONFIG", "/does/not/exist")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	_, err := cluster.Config("")
	g.Expect(err).To(gomega.MatchError(gomega.And(gomega.ContainSubstring("/does/not/exist"), gomega.ContainSubstring("--kubeconfig"))))
}

// TestKubeconfigIsFoundAsKubectlFindsIt gives a program what kubectl reads: a
// list of files in KUBECONFIG.
func TestKubeconfigIsFoundAsKubectlFindsIt(t *testing.T) {
	g := gomega.NewWithT(t)
	folder := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(folder, name)
		g.Expect(os.WriteFile(path, []byte(content), 0o600)).To(gomega.Succeed())
		return path
	}
	first := file("first", `{apiVersion: v1, kind: Config, current-context: it, contexts: [{name: it, context: {cluster: it, user: it}}]}`)
	second := file("second", `{apiVersion: v1, kind: Config, clusters: [{name: it, cluster: {server: "https://one.example.com"}}], users: [{name: it, user: {token: t}}]}`)
	third := file("third", `{apiVersion: v1, kind: Config, current-context: it, contexts: [{name: it, context: {cluster: it}}], clusters: [{name: it, cluster: {server: "https://two.example.com"}}]}`)
	t.Setenv("KUBECONFIG", first+string(filepath.ListSeparator)+second)

	config, err := cluster.Config("")
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(config.Host).To(gomega.Equal("https://one.example.com"))
	config, err = cluster.Config(third)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(config.Host).To(gomega.Equal("https://two.example.com"), "the flag wins")
}

func TestTheAuthorityIsThatOfTheConfiguration(t *testing.T) {
	g := gomega.NewWithT(t)
	file := filepath.Join(t.TempDir(), "ca.crt")
	g.Expect(os.WriteFile(file, []byte("from a file"), 0o600)).To(gomega.Succeed())
	for _, c := range []struct {
		config    rest.Config
		host      string
		authority string
	}{
		{rest.Config{Host: "https://10.96.0.1:443", TLSClientConfig: rest.TLSClientConfig{CAFile: file}}, "10.96.0.1:443", "from a file"},
		{rest.Config{Host: "https://api.example.com/k8s/clusters/c1", TLSClientConfig: rest.TLSClientConfig{CAData: []byte("inline")}}, "api.example.com", "inline"},
		{rest.Config{Host: "https://api.example.com"}, "api.example.com", ""},
	} {
		host, authority, err := cluster.Authority(&c.config)
		g.Expect(err).NotTo(gomega.HaveOccurred())
		g.Expect(host).To(gomega.Equal(c.host))
		g.Expect(string(authority)).To(gomega.Equal(c.authority))
		g.Expect(c.config.CAFile == "" || c.config.CAData == nil).To(gomega.BeTrue(), "the configuration is left as it is")
	}
	_, _, err := cluster.Authority(&rest.Config{Host: "https://api.example.com", TLSClientConfig: rest.TLSClientConfig{CAFile: file + ".missing"}})
	g.Expect(err).To(gomega.MatchError(gomega.And(gomega.ContainSubstring("https://api.example.com"), gomega.ContainSubstring(".missing"))))
}
