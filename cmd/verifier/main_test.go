package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/assets"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// asVerifier in the environment makes this test binary the verifier: what the
// tests start as a child process is the code under test.
const asVerifier = "ACCESSTOKEN_TEST_AS_VERIFIER"

// managerProgram is a manager that was built for the tests: a verifier has
// nothing to verify without one.
var managerProgram string

const buildTimeout = 5 * time.Minute

func TestMain(m *testing.M) {
	if os.Getenv(asVerifier) != "" {
		leastStaleness = 0 // else its end takes minutes to come
		main()
		return
	}
	ctrl.SetLogger(logr.Discard()) // that of the tests' own clients
	os.Exit(withManager(func() int {
		return testenv.RunWith(m, controlplane.Options{Verifier: &controlplane.Verifier{}})
	}))
}

// withManager builds the manager and calls run.
func withManager(run func() int) int {
	folder, err := os.MkdirTemp("", "accesstoken-verifier-test-")
	if err == nil {
		defer func() { _ = os.RemoveAll(folder) }()
		managerProgram, err = buildManager(filepath.Join(folder, "manager"))
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run()
}

func buildManager(path string) (string, error) {
	root, err := assets.ModuleRoot()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "./cmd/manager")
	build.Dir = root
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the manager: %w\n%s", err, output)
	}
	return path, nil
}
