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

	"github.com/accesstoken-dev/accesstoken-operator/internal/program"
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
		Options: program.Options{
			Namespace: "accesstoken-system", MetricsAddress: ":8443", MetricsSecure: true, HealthAddress: ":8081", LogLevel: slog.LevelInfo,
		},
		leaderElect: true, workers: 16, retention: 7 * 24 * time.Hour, keyMaxAge: 365 * 24 * time.Hour, auditLog: "-",
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
		"--workers=3", "--record-retention=1h", "--key-max-age=0", "--audit-log=", "--log-level=DEBUG", "--pprof-bind-address=:6060", "--version",
	}, environment(map[string]string{"POD_NAMESPACE": "elsewhere"}), &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	want := options{
		Options: program.Options{
			Kubeconfig: kubeconfig, Namespace: "elsewhere", MetricsAddress: "0", HealthAddress: "127.0.0.1:1",
			LogLevel: slog.LevelDebug, PprofAddress: ":6060", ShowVersion: true,
		},
		workers: 3, retention: time.Hour,
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(options{})); diff != "" {
		t.Error(diff)
	}
}

func TestEveryProblemOfTheOptionsIsReportedAtOnce(t *testing.T) {
	g := gomega.NewWithT(t)
	_, err := parseOptions([]string{"--workers=0", "--record-retention=-1s", "--key-max-age=-1h", "--kubeconfig=/does/not/exist", "--namespace="}, environment(nil), &bytes.Buffer{})
	for _, problem := range []string{"--workers: 0", "--record-retention: -1s", "--key-max-age: -1h", "--kubeconfig: stat /does/not/exist", "--namespace"} {
		g.Expect(err).To(gomega.MatchError(gomega.ContainSubstring(problem)))
	}
}

func TestHelpListsTheFlags(t *testing.T) {
	g := gomega.NewWithT(t)
	var output bytes.Buffer
	_, err := parseOptions([]string{"--help"}, environment(nil), &output)
	g.Expect(errors.Is(err, flag.ErrHelp)).To(gomega.BeTrue())
	g.Expect(output.String()).To(gomega.MatchRegexp(`(?m)^  --record-retention duration\n.*\(default 168h0m0s\)$`))
	g.Expect(output.String()).To(gomega.MatchRegexp(`(?m)^  --version\n`))
}
