package main

import (
	"bytes"
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
)

// environment is an environment of these variables only.
func environment(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}

func TestOptionsHaveSafeDefaults(t *testing.T) {
	got, err := parseOptions(nil, environment(nil), &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	want := options{
		namespace: "accesstoken-system", metricsAddress: ":8443", metricsSecure: true, healthAddress: ":8081", leaderElect: true,
		workers: 16, retention: 7 * 24 * time.Hour, keyMaxAge: 365 * 24 * time.Hour, logLevel: slog.LevelInfo,
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(options{})); diff != "" {
		t.Error(diff)
	}
}

func TestOptionsAreRead(t *testing.T) {
	kubeconfig := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(kubeconfig, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := parseOptions([]string{
		"--kubeconfig=" + kubeconfig, "--metrics-bind-address=0", "--metrics-secure=false", "--health-probe-bind-address=127.0.0.1:1", "--leader-elect=false",
		"--workers=3", "--record-retention=1h", "--key-max-age=0", "--log-level=DEBUG", "--pprof-bind-address=:6060", "--version",
	}, environment(map[string]string{"POD_NAMESPACE": "elsewhere"}), &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	want := options{
		kubeconfig: kubeconfig, namespace: "elsewhere", metricsAddress: "0", healthAddress: "127.0.0.1:1",
		workers: 3, retention: time.Hour, logLevel: slog.LevelDebug, pprofAddress: ":6060", showVersionAndEnd: true,
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(options{})); diff != "" {
		t.Error(diff)
	}
}

func TestEveryProblemOfTheOptionsIsReportedAtOnce(t *testing.T) {
	g := gomega.NewWithT(t)
	_, err := parseOptions([]string{"--workers=0", "--record-retention=-1s", "--key-max-age=-1h", "--kubeconfig=/does/not/exist", "--namespace=", "surplus"}, environment(nil), &bytes.Buffer{})
	for _, problem := range []string{"--workers: 0", "--record-retention: -1s", "--key-max-age: -1h", "--kubeconfig: stat /does/not/exist", "--namespace", `"surplus"`} {
		g.Expect(err).To(gomega.MatchError(gomega.ContainSubstring(problem)))
	}
}

func TestUnknownOptionsAndHelp(t *testing.T) {
	g := gomega.NewWithT(t)
	var output bytes.Buffer
	_, err := parseOptions([]string{"--no-such-flag"}, environment(nil), &output)
	g.Expect(err).To(gomega.MatchError(gomega.And(gomega.ContainSubstring("no-such-flag"), gomega.ContainSubstring("--help"))))
	_, err = parseOptions([]string{"--log-level=LOUD"}, environment(nil), &output)
	g.Expect(err).To(gomega.MatchError(gomega.ContainSubstring("LOUD")))
	g.Expect(output.String()).To(gomega.BeEmpty(), "main prints the error, once")

	output.Reset()
	_, err = parseOptions([]string{"--help"}, environment(nil), &output)
	g.Expect(errors.Is(err, flag.ErrHelp)).To(gomega.BeTrue())
	g.Expect(output.String()).To(gomega.MatchRegexp(`(?m)^  --record-retention duration\n.*\(default 168h0m0s\)$`))
	g.Expect(output.String()).To(gomega.MatchRegexp(`(?m)^  --version\n`))
}

func TestAKubeconfigThatIsMissingIsNamed(t *testing.T) {
	g := gomega.NewWithT(t)
	t.Setenv("KUBECONFIG", "/does/not/exist")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	_, err := clusterConfig("")
	g.Expect(err).To(gomega.MatchError(gomega.And(gomega.ContainSubstring("/does/not/exist"), gomega.ContainSubstring("--kubeconfig"))))
}

// TestKubeconfigIsFoundAsKubectlFindsIt gives the manager what kubectl reads: a
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

	config, err := clusterConfig("")
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(config.Host).To(gomega.Equal("https://one.example.com"))
	config, err = clusterConfig(third)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(config.Host).To(gomega.Equal("https://two.example.com"), "the flag wins")
}
