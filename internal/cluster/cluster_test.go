package cluster_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/onsi/gomega"

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
